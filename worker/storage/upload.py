"""A blob on its way into the store: verified and durable before it gets its name."""

import hashlib
import threading
from typing import TYPE_CHECKING

from shared.errors import Refused
from worker.storage.disk import DiskFailed, DiskFull, File, pieces

if TYPE_CHECKING:
    from worker.storage.blobs import BlobStore

SYNC_BYTES = 8 * 1_048_576
"""An upload is made durable every so often, so that a large one never leaves a heap of unwritten data, which would make
the log's own sync wait."""

FINISHED = "finished"


class Upload:
    """A blob that is being received, shared by all who send it; `close` or `cancel` when done with it."""

    def __init__(self, store: "BlobStore", digest: str, size_bytes: int) -> None:
        self.digest = digest
        self.size_bytes = size_bytes
        self.users = 0
        self._store = store
        self._lock = threading.Lock()
        self._file: File | None = None
        self._hash = hashlib.sha256()
        self._offset = 0
        self._synced = 0
        self._over: str | None = None

    def __repr__(self) -> str:
        return f"Upload({self.digest[:12]}, {self._offset} of {self.size_bytes} bytes)"

    @property
    def offset(self) -> int:
        """How many bytes are here: the next ones to send begin there."""
        return self._offset

    @property
    def is_over(self) -> bool:
        """Nothing more is taken: it is finished, or what came of it is gone."""
        return self._over is not None

    @property
    def missing_bytes(self) -> int:
        return self.size_bytes - self._offset

    def append(self, offset: int, data: bytes | memoryview) -> int:
        """Take bytes that begin at `offset`; returns the new offset. What is already here is passed over.

        `Refused` for a gap, for more than the announced size, or when the upload is over; `DiskFull` leaves it as it was.
        """
        with self._lock:
            if self._over == FINISHED and offset + len(data) <= self.size_bytes:
                return self.size_bytes
            file = self._open_file()
            if offset > self._offset:
                raise Refused(f"Bytes at {offset} leave a gap.", f"Send on from {self._offset}.")
            if offset + len(data) > self.size_bytes:
                raise Refused(f"More bytes were sent than the {self.size_bytes} that were announced.")
            fresh = memoryview(data)[self._offset - offset :]
            if not fresh:
                return self._offset
            try:
                file.write_at(self._offset, fresh)
            except DiskFull:
                file.truncate(self._offset)
                raise
            self._hash.update(fresh)
            self._offset += len(fresh)
            self._store._grew(len(fresh))
            if self._offset - self._synced >= SYNC_BYTES:
                self._sync(file)
            return self._offset

    def finish(self) -> None:
        """Verify the whole and give it its name; on return it is durable. A second call does nothing.

        `Refused` if bytes are missing (send them) or the digest is another one (the partial file is gone: start again).
        """
        with self._lock:
            if self._over == FINISHED:
                return
            file = self._open_file()
            if self._offset < self.size_bytes:
                raise Refused(f"{self.missing_bytes} bytes are missing.", f"Send on from {self._offset}.")
            if self._hash.hexdigest() != self.digest:
                self._discard("the bytes were not those of the digest")
                raise Refused(
                    f"The bytes have the digest {self._hash.hexdigest()}, not {self.digest}.",
                    "Send them again.",
                )
            self._sync(file)
            self._close_file()  # Windows renames no open file
            try:
                self._store._name(self.digest)
            except BaseException:
                self._over = "its file could not be renamed"
                raise
            self._over = FINISHED

    def close(self) -> None:
        """Leave; the bytes stay for a later `begin` to go on with."""
        self._store._leave(self, forget=False)

    def cancel(self) -> None:
        """Leave; if nobody else is sending the same bytes, what came of them is removed."""
        self._store._leave(self, forget=True)

    def _resume(self, file: File) -> None:
        """Take over what the file holds; called once, before anyone else knows this upload."""
        self._file = file
        if file.size() > self.size_bytes:
            file.truncate(0)
        for piece in pieces(file):
            self._hash.update(piece)
            self._offset += len(piece)
        self._synced = self._offset

    def _open_file(self) -> File:
        if self._file is None:
            raise Refused(f"This upload is over: {self._over or 'not begun'}.", "Begin it again.")
        return self._file

    def _sync(self, file: File) -> None:
        try:
            file.sync()
        except DiskFailed:
            # A second sync could succeed, and still have lost what the first did.
            self._discard("the disk failed")
            raise
        self._synced = self._offset

    def _discard(self, why: str) -> None:
        if self._close_file():
            self._over = why
            self._store._discard(self.digest)

    def _give_up(self) -> None:
        if self._close_file():
            self._over = "it was given up"

    def _close_file(self) -> bool:
        file, self._file = self._file, None
        if file is not None:
            file.close()
        return file is not None
