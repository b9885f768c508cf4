"""Files that a page sends as bytes, collected on disk until they are whole."""

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.errors import Busy, Refused

OPEN_LIMIT = 16
STALE_S = 60.0


@dataclass(slots=True)
class Arrival:
    """One file on its way from the page."""

    id: int
    name: str
    size_bytes: int
    path: Path
    received: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    touched_at: float = 0.0

    @property
    def whole(self) -> bool:
        """All bytes are here."""
        return self.received == self.size_bytes


class Spool:
    """A folder of its own for one run, removed by `close`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._folder = TemporaryDirectory(prefix="minka-", ignore_cleanup_errors=True)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, Arrival] = {}

    def begin(self, name: str, size_bytes: int) -> Arrival:
        """Room for a file. Raises `Busy` when too many are under way; those that a page left are thrown away first."""
        with self._lock:
            now = self._clock()
            for stale in [each for each in self._open.values() if each.touched_at < now - STALE_S]:
                del self._open[stale.id]
                stale.path.unlink(missing_ok=True)
            if len(self._open) >= OPEN_LIMIT:
                raise Busy("Too many files are being read at once.", "Try again in a moment.")
            id = next(self._numbers)
            arrival = Arrival(id, name, size_bytes, Path(self._folder.name) / str(id), touched_at=now)
            self._open[id] = arrival
        arrival.path.touch()
        return arrival

    def find(self, id: int) -> Arrival:
        """The file under way with this id. Raises `Refused`."""
        with self._lock:
            if id not in self._open:
                raise Refused("This upload is not under way any more.", "Send the file again.")
            return self._open[id]

    def append(self, arrival: Arrival, offset: int, data: bytes) -> None:
        """Adds `data` at `offset`, which must be where the file ends now. Raises `Refused`, OSError.

        A whole file is the caller's from then on: unlink its path when it is not needed any more.
        """
        with arrival.lock:
            if offset != arrival.received or offset + len(data) > arrival.size_bytes:
                raise Refused("The bytes of this upload do not fit together.", "Send the file again.")
            with arrival.path.open("ab") as file:
                file.write(data)
            arrival.received += len(data)
            arrival.touched_at = self._clock()
        if arrival.whole:
            with self._lock:
                self._open.pop(arrival.id, None)

    def close(self) -> None:
        """Removes the folder."""
        self._folder.cleanup()
