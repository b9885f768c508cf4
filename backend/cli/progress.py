"""Progress on stderr: one live line on a terminal, a plain line now and then elsewhere."""

import os
import shutil
import threading
import time
from typing import TextIO

LIVE_EVERY_S = 0.1
PLAIN_EVERY_S = 2.0
BAR_CELLS = 24


class ProgressLine:
    """Shows the latest of many texts. Thread-safe; texts that come too fast are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._lock = threading.Lock()
        self._shown_at = -PLAIN_EVERY_S
        self._pending = ""
        self._shown = ""
        self._on_screen = False

    def update(self, text: str) -> None:
        """Show `text` in place of what was shown before, if it is time."""
        with self._lock:
            self._pending = text if text != self._shown else ""
            now = time.monotonic()
            if self._pending and now - self._shown_at >= (LIVE_EVERY_S if self._live else PLAIN_EVERY_S):
                self._show(now)

    def end(self) -> None:
        """Show the last text, if it was left out, and leave it there."""
        with self._lock:
            if self._pending:
                self._show(time.monotonic())
            if self._on_screen:
                self._stream.write("\n")
                self._stream.flush()
            self._on_screen = False
            self._shown_at = -PLAIN_EVERY_S

    def _show(self, now: float) -> None:
        text, self._pending, self._shown_at = self._pending, "", now
        self._shown = text
        if self._live:
            self._stream.write(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}")
            self._on_screen = True
        else:
            self._stream.write(f"{text}\n")
        self._stream.flush()


def bar(part: float) -> str:
    """A part of 1, drawn."""
    filled = round(BAR_CELLS * min(1.0, max(0.0, part)))
    return f"[{'=' * filled}{' ' * (BAR_CELLS - filled)}] {100 * part:3.0f} %"


class TransferMeter:
    """Turns the bytes done into a line with the rate and the time left."""

    def __init__(self, line: ProgressLine, what: str) -> None:
        self._line = line
        self._what = what
        self._start_s = time.monotonic()
        self._start_bytes: int | None = None

    def __call__(self, done: int, total: int) -> None:
        from backend.cli.console import size

        now = time.monotonic()
        if self._start_bytes is None:  # what an earlier attempt had done does not count as speed
            self._start_s, self._start_bytes = now, done
        elapsed_s = now - self._start_s
        rate = (done - self._start_bytes) / elapsed_s if elapsed_s > 0 else 0.0
        text = f"{self._what}  {bar(done / total if total else 1.0)}  {size(done)} of {size(total)}"
        if rate > 0:
            left = f", {(total - done) / rate:.0f} s left" if done < total else ""
            text += f"  {size(rate)}/s{left}"
        self._line.update(text)
