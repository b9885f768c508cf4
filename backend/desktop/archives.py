"""Folders of images that become one file of the cluster: dropped on the window, or sent image by image by a page."""

import io
import itertools
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from backend.desktop.calls import NUMBER, Call, Route, route
from backend.desktop.handles import FileHandles
from backend.desktop.jobs import TransferDesk
from backend.folders import Packing, is_image, pack
from shared.errors import Refused
from shared.messages import NAME_CHARACTERS

OPEN_LIMIT = 8
PATH_CHARACTERS = 1_000


@dataclass(slots=True)
class _Open:
    """An archive that a page is filling."""

    name: str
    path: Path
    packing: Packing
    lock: threading.Lock = field(default_factory=threading.Lock)


class Archives:
    """Answers what the page asks; its folder lasts until `close`."""

    def __init__(self, handles: FileHandles, desk: TransferDesk) -> None:
        self._handles = handles
        self._desk = desk
        self._folder = tempfile.TemporaryDirectory(prefix="minka-", ignore_cleanup_errors=True)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, _Open] = {}

    @property
    def routes(self) -> list[Route]:
        return [
            route("POST", "/api/archives", self._begin),
            route("POST", f"/api/archives/{NUMBER}", self._add),
            route("POST", f"/api/archives/{NUMBER}/finish", self._finish),
            route("POST", "/api/archives/handles", self._pack_handle),
        ]

    def close(self) -> None:
        """Throws away what is not whole yet."""
        with self._lock:
            for archive in self._open.values():
                archive.packing.close()
            self._open.clear()
        self._folder.cleanup()

    def _begin(self, call: Call) -> Any:
        name = _checked_name(call.query.get("name", ""))
        with self._lock:
            while len(self._open) >= OPEN_LIMIT:  # pages that were closed left them
                stale = self._open.pop(next(iter(self._open)))
                with stale.lock:
                    stale.packing.close()
                stale.path.unlink(missing_ok=True)
            number = next(self._numbers)
            path = self._place(number)
            self._open[number] = _Open(name, path, Packing(path))
        return {"archive": number}

    def _add(self, call: Call) -> Any:
        archive = self._find(call)
        path = PurePosixPath(call.query.get("path", ""))
        odd = path.is_absolute() or ".." in path.parts or len(str(path)) > PATH_CHARACTERS
        if odd or not is_image(path.name):
            raise Refused(f"{path.name!r} is no image that can be packed.")
        with archive.lock:
            try:
                archive.packing.add(path, io.BytesIO(call.body))
            except ValueError as error:
                raise Refused("This archive is not open any more.", "Drop the folder again.") from error
            except OSError as error:
                raise _cannot_keep(archive.name, error) from error
        return {"images": archive.packing.images}

    def _finish(self, call: Call) -> Any:
        archive = self._find(call)
        with self._lock:
            self._open.pop(int(call.groups[0]), None)
        with archive.lock:
            archive.packing.close()
        return self._send(archive.name, archive.path, archive.packing.images)

    def _pack_handle(self, call: Call) -> Any:
        handle = call.fields().get("handle")
        if not isinstance(handle, str):
            raise Refused("'handle' must be a text.")
        folder = self._handles.path(handle)
        if not folder.is_dir():
            raise Refused(f"{folder.name!r} is no folder.")
        path = self._place(next(self._numbers))
        try:
            images = pack(folder, path)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _cannot_keep(folder.name, error) from error
        return self._send(_checked_name(f"{folder.name}.zip"), path, images)

    def _send(self, name: str, path: Path, images: int) -> Any:
        if not images:
            path.unlink(missing_ok=True)
            raise Refused(f"There are no images in {name.removesuffix('.zip')!r}.")
        return {"transfer": self._desk.upload_packed(path, name), "images": images}

    def _find(self, call: Call) -> _Open:
        with self._lock:
            archive = self._open.get(int(call.groups[0]))
        if archive is None:
            raise Refused("This archive is not open any more.", "Drop the folder again.")
        return archive

    def _place(self, number: int) -> Path:
        return Path(self._folder.name) / f"{number}.zip"


def _checked_name(name: str) -> str:
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise Refused(f"The name of a file has 1 to {NAME_CHARACTERS} characters.")
    return name


def _cannot_keep(name: str, error: OSError) -> Refused:
    return Refused(f"{name!r} cannot be packed here: {error.strerror or error}.", "Make room on the disk.")
