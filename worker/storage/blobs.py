"""Large immutable contents, each in a file named by its SHA-256.

    blobs/ab/abcd...(64 hex digits)   a whole blob: whatever has this name was verified and durable before it got it
    blobs/partial/abcd...             the first bytes of one that is being received
    blobs/damaged/abcd...             what a blob had become on this disk, until it has come again from a peer

Any thread may call anything here: an `Upload` has a lock of its own, and different uploads do not wait for each other.
All of this reads, writes and hashes files, and belongs on a transfer thread, never on the node thread; `use`, `has`, `size`
and `path` cost one look at the file system.
"""

import contextlib
import hashlib
import math
import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Literal

from shared.errors import Busy, Refused
from worker.storage.disk import PIECE_BYTES, Disk, DiskFull, File, pieces
from worker.storage.upload import Upload

READ_BYTES = 16 * 1_048_576
MAX_BLOB_BYTES = 1 << 40
MARGIN_BYTES = 64 * 1_048_576
"""Kept free of blobs, for the log and all else."""

State = Literal["ok", "missing", "corrupt"]
"""Of a copy, as it was found when it was read again."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class BlobStore:
    """The blobs under the directory `path`; at most `max_uploads` are received at a time."""

    def __init__(
        self,
        disk: Disk,
        path: Path,
        *,
        max_uploads: int = 64,
        margin_bytes: int = MARGIN_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._disk = disk
        self._root = path
        self._partial = path / "partial"
        self._damaged = path / "damaged"
        self._max_uploads = max_uploads
        self._margin_bytes = margin_bytes
        # The node thread takes it too, in `use`: nobody who holds it does more than one look at the file system.
        self._books = threading.Condition()
        self._uploads: dict[str, Upload] = {}
        self._going: set[str] = set()
        """Digests whose file is being removed at this moment."""
        self._leaving: set[str] = set()
        """Digests whose upload is being closed: it is not begun again before its file is."""
        self._expiring: set[str] = set()
        """Digests whose partial file is being removed: the blob itself, if it is here, may be used all the same."""
        self._mending: set[str] = set()
        """Digests whose damaged bytes are being written anew: their file stays meanwhile."""
        self.quota_left_bytes: Callable[[], float] = lambda: math.inf
        """Asked before a blob is received, beside the disk."""
        self.grown_bytes = 0
        """What has come; whoever measures what is here takes off what it has measured."""
        self._clock = clock
        self._opened = clock()
        self._used: dict[str, float] = {}
        """When each blob that came, or was asked for, was last in use."""
        disk.make_directory(self._partial)
        disk.make_directory(self._damaged)

    # --- what is there

    def path(self, digest: str) -> Path:
        """Where the blob is or would be; `Refused` for what is not 64 lower-case hex digits."""
        if not _DIGEST.fullmatch(digest):
            raise Refused(f"{digest[:80]!r} is not a SHA-256 digest in hex.")
        return self._root / digest[:2] / digest

    def has(self, digest: str) -> bool:
        return self._disk.size(self.path(digest)) is not None

    def size(self, digest: str) -> int:
        """The blob's length in bytes; `Refused` if it is not here."""
        size_bytes = self._disk.size(self.path(digest))
        if size_bytes is None:
            raise _not_here(digest)
        return size_bytes

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """At most `length` bytes (and 16 MiB) from `offset`, fewer at the end; `Refused` if the blob is not here."""
        file = self._open(digest)
        try:
            return file.read_at(offset, min(length, READ_BYTES))
        finally:
            file.close()

    def verify(self, digest: str) -> State:
        """Hash the blob again."""
        check = self.check(digest)
        while True:
            try:
                next(check)
            except StopIteration as end:
                state: State = end.value
                return state

    def check(self, digest: str) -> Generator[int, None, State]:
        """As `verify`, a piece at a time: yields how many bytes it has hashed."""
        try:
            file = self._open(digest)
        except Refused:
            return "missing"
        hasher = hashlib.sha256()
        try:
            for piece in pieces(file, piece_bytes=PIECE_BYTES):
                hasher.update(piece)
                yield len(piece)
        finally:
            file.close()
        return "ok" if hasher.hexdigest() == digest else "corrupt"

    def lay_aside(self, digest: str) -> None:
        """The blob is damaged: it is not here any more, and may come again. What it had become is kept until `mended`."""
        with self._moving(digest, self._going) as may, contextlib.suppress(FileNotFoundError):
            if may:
                self._disk.replace(self.path(digest), self._damaged / digest)

    def write_into(self, digest: str, offset: int, data: bytes) -> None:
        """Put back bytes of a blob that were damaged, or all of them piece by piece; durable on return.

        The caller knows that they are the blob's: nothing is verified.
        """
        with self._moving(digest, self._mending) as may:
            if not may:
                raise Busy("This blob is being removed, or received.", "Try again in a moment.")
            path = self.path(digest)
            self._disk.make_directory(path.parent)
            file = self._disk.open(path, write=True)
            try:
                file.write_at(offset, data)
                file.sync()
            finally:
                file.close()
            self._disk.sync_directory(path.parent)

    def mended(self, digest: str) -> None:
        """The blob has come again: what it had become may go."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(self._damaged / digest)

    def digests(self) -> Iterator[str]:
        """Every blob that is here, in order; blobs that come or go meanwhile may or may not be among them."""
        for directory in self._disk.list(self._root):
            if len(directory) == 2:
                yield from filter(_DIGEST.fullmatch, self._disk.list(self._root / directory))

    def use(self, digest: str) -> bool:
        """Whether the blob is here; if so, it is in use from now on, and not collected for a while."""
        path = self.path(digest)
        with self._books:
            here = digest not in self._going and self._disk.size(path) is not None
            if here:
                self._used[digest] = self._clock()
            return here

    def idle(self, digests: Iterable[str], idle_s: float) -> list[str]:
        """Those of `digests` that `collect` would remove now, but for what is being received."""
        before = self._clock() - idle_s
        if self._opened > before:
            return []
        with self._books:
            return [digest for digest in digests if self._used.get(digest, -math.inf) <= before]

    def collect(self, digests: Iterable[str], idle_s: float) -> list[str]:
        """Remove those of `digests`, which nothing names, that were not in use for `idle_s` seconds; returns them.

        What was in use before this store was opened is not known: nothing is removed in its first `idle_s` seconds.
        """
        gone: list[str] = []
        before = self._clock() - idle_s
        if self._opened > before:
            return gone
        for digest in digests:
            with (
                contextlib.suppress(Busy, FileNotFoundError),  # it is open, or gone already
                self._moving(digest, self._going, used_until=before) as may,
            ):
                if may:
                    self._disk.remove(self.path(digest))
                    gone.append(digest)
        with self._books:
            self._used = {digest: used for digest, used in self._used.items() if used > before}
        return gone

    @contextlib.contextmanager
    def _moving(self, digest: str, marks: set[str], used_until: float = math.inf) -> Iterator[bool]:
        """Whether a file of `digest` may be removed now: then `marks` has it, and nobody receives it, until that is done.

        Not if it was in use later than `used_until`, is being received, or removed already.
        """
        with self._books:
            idle = self._used.get(digest, -math.inf) <= used_until
            may = idle and digest not in self._uploads and not self._is_moving(digest)
            if may:
                marks.add(digest)
        try:
            yield may
        finally:
            if may:
                with self._books:
                    marks.discard(digest)
                    self._books.notify_all()

    def _is_moving(self, digest: str) -> bool:
        return any(digest in marks for marks in (self._going, self._leaving, self._expiring, self._mending))

    def _settle(self, digest: str) -> None:
        """With `_books`: wait until nothing is being removed or closed under this name."""
        self._books.wait_for(lambda: not self._is_moving(digest))

    # --- what comes in

    def begin(self, digest: str, size_bytes: int) -> Upload | None:
        """Start to receive a blob, or go on where it stopped; None if it is already here.

        Bytes of an earlier try are read and hashed again first. `Busy` when too many are being received, `Refused` if
        another size was announced for it, `DiskFull` if it cannot fit.
        """
        path = self.path(digest)
        if not 0 <= size_bytes <= MAX_BLOB_BYTES:
            raise Refused(f"A blob cannot have {size_bytes} bytes.")
        here_bytes = min(self._disk.size(self._partial / digest) or 0, size_bytes)
        free_bytes = min(self._disk.free_bytes(self._root) - self._margin_bytes, self.quota_left_bytes())
        with self._books:
            self._settle(digest)
            upload = self._uploads.get(digest)
            over = upload is None or upload.is_over
            # Asked second: a finished upload's file had its name before.
            if self._disk.size(path) is not None:
                self._used[digest] = self._clock()
                return None
            if upload is None or over:
                upload = self._new_upload(digest, size_bytes, here_bytes, free_bytes)
            elif upload.size_bytes != size_bytes:
                raise Refused(
                    f"The same content was announced with {upload.size_bytes} bytes, and with {size_bytes}."
                )
            upload.users += 1
        try:
            with upload._lock:
                if upload._file is None and upload._over is None:
                    upload._resume(self._disk.open(self._partial / digest, write=True))
        except BaseException:
            self._leave(upload, forget=False)
            raise
        return upload

    def put(self, data: bytes) -> str:
        """Keep these bytes; returns their digest. Durable on return."""
        digest = hashlib.sha256(data).hexdigest()
        upload = self.begin(digest, len(data))
        if upload is not None:
            try:
                upload.append(0, data)
                upload.finish()
            finally:
                upload.close()
        return digest

    def adopt(self, path: Path) -> str:
        """Take a finished file in, which must be on the same file system and not change any more; returns its digest."""
        file = self._disk.open(path, write=True)
        try:
            digest = _digest(file)
            file.sync()
        finally:
            file.close()
        with self._books:
            self._settle(digest)
            self._used[digest] = self._clock()  # so that it is not collected
        if self.has(digest):
            self._disk.remove(path)
        else:
            self._rename(path, digest)
        return digest

    def expire(self, now: float, idle_s: float) -> list[str]:
        """Remove partial files that nobody is sending and that have not grown for `idle_s` seconds before `now`."""
        return [
            digest
            for digest in self._disk.list(self._partial)
            if self._forget(digest, lambda path: now - self._disk.modified(path) >= idle_s)
        ]

    def forget(self, digest: str) -> None:
        """Remove the partial file of a blob, unless somebody is sending it."""
        self._forget(digest, lambda path: True)

    def _forget(self, digest: str, stale: Callable[[Path], bool]) -> bool:
        path = self._partial / digest
        with self._moving(digest, self._expiring) as may:
            gone = may and self._disk.size(path) is not None and stale(path)
            if gone:
                self._disk.remove(path)
        return gone

    # --- between a store and its uploads

    def _new_upload(self, digest: str, size_bytes: int, here_bytes: int, free_bytes: float) -> Upload:
        if len(self._uploads) >= self._max_uploads:
            raise Busy(f"{self._max_uploads} uploads are under way already.", "Try again in a moment.")
        wanted = size_bytes - here_bytes + sum(upload.missing_bytes for upload in self._uploads.values())
        if wanted > free_bytes:
            raise DiskFull(
                f"{wanted} bytes are to come; this worker's disk and quota leave {max(free_bytes, 0)} for them.",
                "Remove files that are not needed, or make space.",
            )
        upload = self._uploads[digest] = Upload(self, digest, size_bytes)
        return upload

    def _leave(self, upload: Upload, *, forget: bool) -> None:
        with self._books:
            upload.users -= 1
            if upload.users > 0:
                return
            if self._uploads.get(upload.digest) is not upload:
                return  # it was over, its file closed, and another one took its place
            del self._uploads[upload.digest]
            self._leaving.add(upload.digest)
        try:
            with upload._lock:
                if forget:
                    upload._discard("it was given up")
                upload._give_up()
        finally:
            with self._books:
                self._leaving.discard(upload.digest)
                self._books.notify_all()

    def _grew(self, size_bytes: int) -> None:
        with self._books:
            self.grown_bytes += size_bytes

    def _discard(self, digest: str) -> None:
        self._disk.remove(self._partial / digest)

    def _name(self, digest: str) -> None:
        self._rename(self._partial / digest, digest)

    def _rename(self, source: Path, digest: str) -> None:
        target = self.path(digest)
        self._disk.make_directory(target.parent)
        with self._books:
            self._used[digest] = self._clock()
        self._disk.replace(source, target)

    def _open(self, digest: str) -> File:
        try:
            return self._disk.open(self.path(digest))
        except FileNotFoundError as error:
            raise _not_here(digest) from error


def _not_here(digest: str) -> Refused:
    return Refused(f"The blob {digest[:12]} is not on this worker.")


def _digest(file: File) -> str:
    digest = hashlib.sha256()
    for piece in pieces(file, piece_bytes=PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()
