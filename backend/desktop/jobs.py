"""What a transfer does, step by step: from paths, bytes and rows to jobs of the `TransferQueue`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backend.desktop.link import TRANSFER_S, ClusterLink
from backend.desktop.spool import Arrival
from backend.desktop.transfer_queue import Job, Progress, TransferQueue
from backend.transfers import download, upload
from shared.errors import Refused

FOLDER_FILES_LIMIT = 10_000


class TransferDesk:
    """Queues what the page asks for."""

    def __init__(self, link: ClusterLink, queue: TransferQueue, committed: Callable[[], None]) -> None:
        """`committed` is called after each upload that the cluster has taken."""
        self._link = link
        self._queue = queue
        self._committed = committed

    def upload_path(self, path: Path) -> list[dict[str, Any]]:
        """The rows of a file, or of all files below a folder, named with the folder's name. Raises `Refused`, `Busy`."""
        if not path.is_dir():
            return [self._upload(path, path.name)]
        files = list(files_below(path))
        if not files:
            raise Refused(f"There are no files in {path.name!r}.")
        return [self._upload(file, f"{path.name}/{file.relative_to(path).as_posix()}") for file in files]

    def upload_arrival(self, arrival: Arrival) -> dict[str, Any]:
        """The row of a file that the page has sent whole. Raises `Busy`."""
        return self._upload(arrival.path, arrival.name, lambda: arrival.path.unlink(missing_ok=True))

    def upload_packed(self, path: Path, name: str) -> dict[str, Any]:
        """The row of an archive that was made here, and is removed afterwards. Raises `Busy`."""
        return self._upload(path, name, lambda: path.unlink(missing_ok=True))

    def download(self, file: dict[str, Any], target: Path) -> dict[str, Any]:
        """The row of a file on its way to `target`. Raises `Busy`."""

        def job(progress: Progress) -> dict[str, Any]:
            download(self._link.client(TRANSFER_S), file, target, lambda done, _total: progress(done))
            return {"path": str(target)}

        return self._queue.add("download", str(file["name"]), int(file["bytes"]), job)

    def _upload(self, path: Path, name: str, forget: Callable[[], None] = lambda: None) -> dict[str, Any]:
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise Refused(f"{name!r} cannot be read: {error.strerror or error}.") from error

        def work(progress: Progress) -> dict[str, Any]:
            progress(0)
            row = upload(self._link.client(TRANSFER_S), path, name, lambda done, _total: progress(done))
            self._committed()
            return {"file": row["id"]}

        job: Job = work
        return self._queue.add("upload", name, size_bytes, job, forget)


def files_below(folder: Path) -> Iterator[Path]:
    """The files in a folder and its folders, in order, without hidden ones and without following links.

    Raises `Refused` for more than `FOLDER_FILES_LIMIT`.
    """
    found = 0
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            found += 1
            if found > FOLDER_FILES_LIMIT:
                raise Refused(
                    f"{folder.name!r} holds more than {FOLDER_FILES_LIMIT} files.",
                    "Drop its folders one by one.",
                )
            yield path
