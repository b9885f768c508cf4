"""Files of this computer that a person has dropped or chosen, known to the page by opaque handles only."""

import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import Refused

HANDLE_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Offer:
    """What the page is told about one file or folder."""

    handle: str
    name: str
    bytes: int
    folder: bool

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return {"handle": self.handle, "name": self.name, "bytes": self.bytes, "folder": self.folder}


class FileHandles:
    """Handles to paths, the newest `HANDLE_LIMIT`. The page never names a path, so it can read nothing else."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paths: dict[str, Path] = {}

    def offer(self, paths: Iterable[Path]) -> list[Offer]:
        """Handles for the paths that exist."""
        offers = []
        for path in paths:
            try:
                size, folder = path.stat().st_size, path.is_dir()
            except OSError:
                continue
            handle = secrets.token_urlsafe(18)
            offers.append(Offer(handle, path.name, 0 if folder else size, folder))
            with self._lock:
                self._paths[handle] = path.absolute()
                while len(self._paths) > HANDLE_LIMIT:
                    del self._paths[next(iter(self._paths))]
        return offers

    def path(self, handle: str) -> Path:
        """The path behind a handle. Raises `Refused` for one that was never given, or long ago."""
        with self._lock:
            path = self._paths.get(handle)
        if path is None:
            raise Refused("This file is not at hand any more.", "Drop it or choose it again.")
        return path
