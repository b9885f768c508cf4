"""Calm output: what happens, in few lines, in colour where there is a terminal that shows it."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

STATUS_INTERVAL_S = 0.1


class Terminal:
    """Writes to one stream, and knows what that stream can show."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._colour = self.live and "NO_COLOR" not in os.environ
        if self._colour and sys.platform == "win32":
            os.system("")  # makes the console of Windows understand colours
        self.unicode = (stream.encoding or "").lower().replace("-", "") == "utf8"
        self._status_time = 0.0

    def line(self, text: str = "") -> None:
        """One line of plain text."""
        self.clear()
        self._stream.write(self._plain(text) + "\n")
        self._stream.flush()

    def heading(self, text: str) -> None:
        """The name of a step, with room above it."""
        self.line()
        self.line(self.bold(text))

    def status(self, text: str) -> None:
        """What goes on right now: replaces the last status, shown on a live terminal only, a few times a second."""
        if not self.live or time.monotonic() - self._status_time < STATUS_INTERVAL_S:
            return
        self._status_time = time.monotonic()
        width = shutil.get_terminal_size().columns - 3
        self._stream.write("\r\x1b[2K" + self.dim(self._plain("  " + text)[:width]))
        self._stream.flush()

    def clear(self) -> None:
        """Take the status away."""
        if self.live:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()

    @contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """Say what begins; when it has ended well, how long it took."""
        if self.live:
            self.status(text)
        else:
            self.line(f"  {text}")
        start = time.monotonic()
        yield
        if self.live:
            self.line(f"  {text} {self.dim(f'({time.monotonic() - start:.1f} s)')}")

    def bold(self, text: str) -> str:
        return self._paint("1", text)

    def dim(self, text: str) -> str:
        return self._paint("2", text)

    def green(self, text: str) -> str:
        return self._paint("32", text)

    def red(self, text: str) -> str:
        return self._paint("31", text)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text

    def _plain(self, text: str) -> str:
        """`text` with the few signs beyond ASCII replaced where the stream cannot write them."""
        if self.unicode:
            return text
        return (
            text.replace("✓", "ok").replace("✗", "--").replace("…", "...").encode("ascii", "replace").decode()
        )
