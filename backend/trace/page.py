"""The timeline as one HTML file: markup, style, program and events, and nothing from anywhere else."""

import base64
import hashlib
import importlib.resources
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.trace.causality import Clock, Step
from shared.errors import Refused

STYLES = ("common/theme.css", "common/pieces.css", "trace/trace.css")
PROGRAMS = ("trace/texts.js", "trace/story.js", "trace/diagram.js", "trace/trace.js")
DARK = "common/dark.css"
_IMPORT = re.compile(r"@import [^;]*;")
_WHATS = {"sent": "s", "heard": "h", "role": "r", "applied": "a"}


def newest(steps: Sequence[Step], last_s: float) -> list[Step]:
    """The steps of the last so many seconds, as a sequence of their own."""
    if not steps:
        return []
    first = next(place for place, step in enumerate(steps) if step.time_s >= steps[-1].time_s - last_s)
    return [Step(step.event, step.time_s, max(-1, step.partner - first)) for step in steps[first:]]


def document(steps: Sequence[Step], clocks: Mapping[str, Clock]) -> dict[str, Any]:
    """What the page is given: times in microseconds since `start`, workers by their place.

    A step is [time, worker, what, peer or -1, message or role, fields, place of the other end or -1].
    """
    workers = sorted({*clocks, *(step.event.peer for step in steps if step.event.peer is not None)})
    place = {worker: number for number, worker in enumerate(workers)}
    start_s = steps[0].time_s if steps else 0.0
    rows = [
        [
            round((step.time_s - start_s) * 1e6),
            place[step.event.worker],
            _WHATS[step.event.what],
            -1 if step.event.peer is None else place[step.event.peer],
            step.event.name,
            step.event.fields,
            step.partner,
        ]
        for step in steps
        if step.event.what in _WHATS
    ]
    return {
        "start": start_s,
        "workers": [_clock_row(worker, clocks.get(worker)) for worker in workers],
        "steps": rows,
    }


def _clock_row(worker: str, clock: Clock | None) -> dict[str, Any]:
    """`told`: it was asked, and has answered; `doubt_ms` None: its clock could not be compared."""
    known = clock is not None and clock.doubt_s is not None
    return {
        "id": worker,
        "told": clock is not None,
        "offset_ms": round(clock.offset_s * 1000, 3) if clock is not None and known else None,
        "doubt_ms": round(clock.doubt_s * 1000, 3)
        if clock is not None and clock.doubt_s is not None
        else None,
    }


def write_page(target: Path, content: Mapping[str, Any]) -> None:
    """Write the file. Raises `Refused` when it cannot be written."""
    frontend = importlib.resources.files("frontend")

    def text(name: str) -> str:
        return frontend.joinpath(name).read_text(encoding="utf-8")

    light, *rest = (_IMPORT.sub("", text(name)) for name in STYLES)
    dark = f"@media (prefers-color-scheme: dark) {{\n{text(DARK)}\n}}"
    style = "\n".join((light, dark, *rest))
    program = '"use strict";\n' + "\n".join(map(text, PROGRAMS))
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(program)}; base-uri 'none'"
    events = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    page = text("trace/index.html")
    for mark, part in (("POLICY", policy), ("STYLE", style), ("EVENTS", events), ("PROGRAM", program)):
        page = page.replace(f"%{mark}%", part, 1)
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error


def _source(text: str) -> str:
    """The hash by which a policy allows an inline style or program."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
