"""Draws each ``*.seq`` beside this file as a sequence diagram, ``*.svg``. Standard library only.

    python docs/drawings/draw.py            writes the drawings
    python docs/drawings/draw.py --check    exits 1 if one of them is not what its text says

A text has one item a line; empty lines and those that begin with "#" are skipped::

    title The handshake
    lane client The side that connects
    lane worker The worker
    client -> worker HELLO | role, id, nonce
    worker --> client CHALLENGE | id, nonce
    note worker looks up the key of that role
    rule from here on every frame is sealed

``->`` draws a full arrow, ``-->`` a dashed one; what follows ``|`` stands under the arrow in small letters. A note
belongs to one lane; a rule crosses all of them.
"""

import re
import sys
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
LETTER, SMALL_LETTER = 7.1, 6.1
"""Widths of an average letter, in pixels, of the two sizes of text."""
MARGIN, HEAD, STEP, LEAST_GAP = 24, 34, 46, 190

_ARROW = re.compile(r"(\w+) (-->|->) (\w+) ([^|]+?)(?: \| (.+))?")
_NOTE = re.compile(r"note (\w+) (.+)")
_LANE = re.compile(r"lane (\w+) (.+)")

STYLE = (
    "text{font:13px system-ui,-apple-system,'Segoe UI',sans-serif;fill:#1d2733}"
    ".small{font-size:11px;fill:#5b6776}.title{font-size:16px;font-weight:600}"
    ".head{fill:#e8f0ee;stroke:#2c6e63}.life{stroke:#a9b4bf;stroke-dasharray:3 4}"
    ".arrow{stroke:#2c6e63;stroke-width:1.5;fill:none}.answer{stroke-dasharray:6 4}"
    ".note{fill:#fff6dd;stroke:#c9a646}.rule{stroke:#1d2733;stroke-dasharray:1 4}.paper{fill:#ffffff}"
)


@dataclass(frozen=True, slots=True)
class Arrow:
    """One message from a lane to another."""

    source: str
    target: str
    label: str
    detail: str
    answer: bool


@dataclass(frozen=True, slots=True)
class Note:
    """What happens inside one lane."""

    lane: str
    label: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A moment that holds for all lanes."""

    label: str


@dataclass(slots=True)
class Sequence:
    """A diagram as its text describes it; `lanes` maps a name to its heading, from left to right."""

    title: str = ""
    lanes: dict[str, str] = field(default_factory=dict)
    items: list[Arrow | Note | Rule] = field(default_factory=list)


def read(text: str) -> Sequence:
    """The diagram that `text` describes; raises `ValueError` with the line that cannot be read."""
    sequence = Sequence()
    for number, line in enumerate(text.splitlines(), start=1):
        item = line.strip()
        if not item or item.startswith("#"):
            continue
        if item.startswith("title "):
            sequence.title = item.removeprefix("title ")
        elif item.startswith("rule "):
            sequence.items.append(Rule(item.removeprefix("rule ")))
        elif match := _LANE.fullmatch(item):
            sequence.lanes[match[1]] = match[2]
        elif (match := _NOTE.fullmatch(item)) and match[1] in sequence.lanes:
            sequence.items.append(Note(match[1], match[2]))
        elif (match := _ARROW.fullmatch(item)) and len({match[1], match[3]} & sequence.lanes.keys()) == 2:
            sequence.items.append(Arrow(match[1], match[3], match[4], match[5] or "", match[2] == "-->"))
        else:
            raise ValueError(f"line {number} cannot be read: {line}")
    return sequence


def _width(item: Arrow | Note) -> float:
    if isinstance(item, Note):
        return len(item.label) * SMALL_LETTER + 24
    return max(len(item.label) * LETTER, len(item.detail) * SMALL_LETTER) + 40


def _edge(sequence: Sequence) -> float:
    """What stands beyond the outermost lanes: half a heading, or half a note."""
    notes = [_width(item) / 2 for item in sequence.items if isinstance(item, Note)]
    headings = [len(heading) * LETTER / 2 + 14 for heading in sequence.lanes.values()]
    return max([*notes, *headings])


def _columns(sequence: Sequence) -> dict[str, float]:
    """The x of each lane: far enough apart for what stands between and on them."""
    names = list(sequence.lanes)
    gaps = [float(LEAST_GAP)] * (len(names) - 1)
    for item in sequence.items:
        if isinstance(item, Arrow):
            low, high = sorted((names.index(item.source), names.index(item.target)))
            for at in range(low, high):
                gaps[at] = max(gaps[at], _width(item) / (high - low))
        elif isinstance(item, Note):
            lane = names.index(item.lane)
            for at in (lane - 1, lane):
                if 0 <= at < len(gaps):
                    gaps[at] = max(gaps[at], _width(item) / 2 + 30)
    for at, (left, right) in enumerate(pairwise(names)):
        gaps[at] = max(gaps[at], (len(sequence.lanes[left]) + len(sequence.lanes[right])) * LETTER / 2 + 60)
    x = MARGIN + _edge(sequence)
    columns = {}
    for name, gap in zip(names, [*gaps, 0.0], strict=True):
        columns[name] = x
        x += gap
    return columns


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" class="{kind}">{escape(text)}</text>'


def _draw_item(item: Arrow | Note | Rule, columns: dict[str, float], y: float, width: float) -> list[str]:
    if isinstance(item, Rule):
        half = len(item.label) * SMALL_LETTER / 2 + 8
        return [
            f'<path class="rule" d="M{MARGIN} {y:.0f}H{width - MARGIN:.0f}"/>',
            f'<rect class="paper" x="{width / 2 - half:.0f}" y="{y - 9:.0f}" width="{2 * half:.0f}" height="18"/>',
            _text(width / 2, y + 4, item.label, "small"),
        ]
    if isinstance(item, Note):
        x, half = columns[item.lane], _width(item) / 2
        return [
            f'<rect class="note" x="{x - half:.0f}" y="{y - 13:.0f}" width="{2 * half:.0f}" height="24" rx="4"/>',
            _text(x, y + 3, item.label, "small"),
        ]
    start, end = columns[item.source], columns[item.target]
    kind = "arrow answer" if item.answer else "arrow"
    parts = [
        f'<path class="{kind}" marker-end="url(#tip)" d="M{start:.0f} {y:.0f}H{end:.0f}"/>',
        _text((start + end) / 2, y - 6, item.label),
    ]
    if item.detail:
        parts.append(_text((start + end) / 2, y + 15, item.detail, "small"))
    return parts


def draw(sequence: Sequence) -> str:
    """The diagram as one SVG document."""
    columns = _columns(sequence)
    width = max(columns.values()) + _edge(sequence) + MARGIN
    top = MARGIN + 26 + HEAD
    height = top + STEP * (len(sequence.items) + 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(sequence.title)}</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#2c6e63"/></marker></defs>',
        f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
        _text(width / 2, MARGIN + 4, sequence.title, "title"),
    ]
    for name, heading in sequence.lanes.items():
        x, half = columns[name], len(heading) * LETTER / 2 + 14
        parts += [
            f'<path class="life" d="M{x:.0f} {top}V{height - 12:.0f}"/>',
            f'<rect class="head" x="{x - half:.0f}" y="{top - HEAD}" width="{2 * half:.0f}" height="{HEAD}" rx="6"/>',
            _text(x, top - HEAD / 2 + 5, heading),
        ]
    for position, item in enumerate(sequence.items, start=1):
        parts += _draw_item(item, columns, top + STEP * position, width)
    return "\n".join([*parts, "</svg>", ""])


def main(arguments: list[str]) -> int:
    """Writes or checks all drawings; the number of those that were stale decides the exit code of a check."""
    stale = []
    for source in sorted(FOLDER.glob("*.seq")):
        target = source.with_suffix(".svg")
        drawing = draw(read(source.read_text(encoding="utf-8")))
        if not target.exists() or target.read_text(encoding="utf-8") != drawing:
            stale.append(target.name)
            if arguments != ["--check"]:
                target.write_text(drawing, encoding="utf-8", newline="\n")
    print("\n".join(stale), end="\n" if stale else "")
    return 1 if stale and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
