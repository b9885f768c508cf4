"""What happened in a run: a running hash of every line, and the last lines in full."""

import hashlib
from collections import deque

LINES_KEPT = 80


class Trace:
    """`digest` is equal for equal runs, to the byte."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._last: deque[str] = deque(maxlen=LINES_KEPT)
        self.faults: list[str] = []

    def note(self, now: float, line: str) -> None:
        text = f"{now:.6f} {line}"
        self._hash.update(text.encode() + b"\n")
        self._last.append(text)

    def fault(self, now: float, line: str) -> None:
        self.note(now, f"*** {line}")
        self.faults.append(f"{now:9.3f} {line}")

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def tail(self) -> str:
        return "\n".join(self._last)
