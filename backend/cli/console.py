"""What a command prints: its answer on stdout, for a person or as one JSON document; all else on stderr."""

import contextlib
import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TextIO

from backend.cli.progress import ProgressLine
from shared.errors import MinkaError

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command has to say."""

    document: dict[str, Any]
    """With --json: the keys that CONTRACT names."""
    text: str = ""
    """Without."""
    failure: str | None = None
    """One line, where the answer is bad news: then the exit code is 1."""


class Console:
    """Where one command prints. It is safe against any character in any name, and against a reader that leaves."""

    def __init__(self, stdout: TextIO, stderr: TextIO, *, json: bool) -> None:
        self.json = json
        self._stdout = stdout
        self._stderr = stderr
        for stream in (stdout, stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")
        self.progress = ProgressLine(stderr)

    def answer(self, outcome: Outcome) -> None:
        """Print a command's answer."""
        self.progress.end()
        if self.json:
            self._print(json.dumps(outcome.document, indent=2))
        elif outcome.text:
            self._print(outcome.text)
        if outcome.failure is not None:
            self.say(outcome.failure)

    def failed(self, error: MinkaError) -> None:
        """Print why a command failed: one line, and with --json the same as a document."""
        self.progress.end()
        if self.json:
            fields = {"code": error.code, "reason": error.reason, "advice": error.advice}
            self._print(json.dumps({"error": fields}, indent=2))
        self.say(str(error))

    def show(self, text: str) -> None:
        """A line of an answer that comes bit by bit."""
        self._print(text)

    def say(self, text: str) -> None:
        """One line for the person, beside the answer."""
        self.progress.end()
        print(f"minka: {printable(' '.join(text.split()))}", file=self._stderr, flush=True)

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stdout, flush=True)
        except BrokenPipeError:
            # The reader has seen enough (`| head`). What is still buffered must not fail again at exit.
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stdout.fileno())


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or hide: names are data, of whoever chose them."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Aligned columns; numbers to the right."""
    rows = [list(row) for row in rows]
    lines = [list(headings), *([_cell(value) for value in row] for row in rows)]
    widths = [max(_columns(line[position]) for line in lines) for position in range(len(headings))]
    numbers = [
        any(isinstance(row[position], int | float) for row in rows) for position in range(len(headings))
    ]
    return "\n".join("  ".join(map(_padded, line, widths, numbers)).rstrip() for line in lines)


def listing(pairs: Iterable[tuple[str, Cell]]) -> str:
    """Names and values, one pair a line, those without a value left out."""
    shown = [(name, _cell(value)) for name, value in pairs if value is not None]
    width = max((_columns(name) for name, _ in shown), default=0)
    return "\n".join(f"{_padded(name, width, False)}  {value}".rstrip() for name, value in shown)


def counted(number: int, singular: str) -> str:
    """ "1 file", "2 files"."""
    return f"{number:,} {singular}{'' if number == 1 else 's'}"


def size(size_bytes: float) -> str:
    """Bytes as a person reads them: 12.3 MB."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 1000:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:.1f} TB"


def percent(part: float | None) -> str | None:
    """A part of 1 as 97.62 %."""
    return None if part is None else f"{100 * part:.2f} %"


def moment(time_s: float) -> str:
    """Seconds since 1970 as local date and time."""
    return datetime.fromtimestamp(time_s).strftime("%Y-%m-%d %H:%M:%S")


def short(digest: str | None) -> str:
    """The beginning of a digest, enough to tell two apart by eye."""
    return digest[:12] if digest else ""


def _columns(text: str) -> int:
    """How many cells of a terminal `text` takes (Unicode Annex 11, and none for what combines)."""
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def _padded(text: str, width: int, to_the_right: bool) -> str:
    space = " " * (width - _columns(text))
    return space + text if to_the_right else text + space


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}" if isinstance(value, float) else printable(value)
