"""Being told to end (Ctrl-C, SIGTERM, a closed terminal) comes once, and never so that something is left behind."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
PATIENCE_S = 15.0


class Interruptions:
    """While it is entered, the first such signal raises `KeyboardInterrupt`; later ones do not disturb the tidying up."""

    def __init__(self) -> None:
        self._earlier: dict[signal.Signals, Any] = {}
        self._deferring = False
        self._pending = False
        self._over = False

    def __enter__(self) -> Self:
        for name in SIGNALS:
            number = getattr(signal, name, None)
            if number is not None:
                self._earlier[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._earlier.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """From now on nothing interrupts any more."""
        self._over = True

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, bytes]:
        """Run a program to its end; returns its exit code and what it wrote to stdout.

        When interrupted, the program is asked to end first, and killed if it does not within `PATIENCE_S` seconds. Once
        interruptions are ignored, Ctrl-C does not reach the program either.
        """
        process: subprocess.Popen[bytes] | None = None
        try:
            with self._deferred():  # an exception out of Popen() would lose the process that it has started
                process = subprocess.Popen(
                    command,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    start_new_session=self._over,
                    creationflags=_apart() if self._over else 0,
                )
            output, _ = process.communicate()
        except KeyboardInterrupt:
            if process is not None:
                _end(process)
            raise
        return process.returncode, output

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if self._deferring:
            self._pending = True
        elif not self._over:
            self._over = True
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def _deferred(self) -> Iterator[None]:
        """A signal that comes inside the block raises at its end."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self._pending and not self._over:
            self._over = True
            raise KeyboardInterrupt


def _apart() -> int:
    if sys.platform == "win32":
        return subprocess.CREATE_NEW_PROCESS_GROUP
    return 0


def _end(process: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does on a terminal, where the program has heard it already."""
    if os.name != "nt":
        process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
