"""Files and directories: the one place that touches them, and the one that knows how systems differ.

Everything else in `worker.storage` takes a `Disk`, so that a simulated one (with lost unsynced writes, torn writes, full
disks) can stand in. `OsDisk` is the real one:

    what                      Linux            macOS                Windows
    make file data durable    fdatasync        fcntl F_FULLFSYNC    FlushFileBuffers (os.fsync)
    make a name durable       fsync directory  fsync directory      nothing to do: NTFS journals names
    read and write at offset  pread, pwrite    pread, pwrite        seek under a lock per file
    exclusive lock            flock            flock                LockFile (msvcrt.locking)
    replace or remove a file  any              any                  not while it is open anywhere

Errors: a full disk or quota is `DiskFull`, a missing file FileNotFoundError, a file that Windows will not replace or
remove because it is open is `Busy`, anything else that the system reports is
`DiskFailed`. After `DiskFailed` from `sync` nobody knows what reached the disk: the caller must not write on.
"""

import contextlib
import errno
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Protocol

from shared.errors import Busy, MinkaError, NoSpace, Refused

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PIECE_BYTES = 1_048_576
"""How much of a file is held in memory at a time by whatever streams it."""

LOCKED_BYTE = 1 << 20
"""Windows forbids reading a locked byte, so the lock lies beyond what the lock file says."""

SHARING_VIOLATION = 32
"""What Windows answers when a file is to be replaced or removed while it is open."""


class DiskFull(NoSpace):
    """The disk or the quota is full; nothing that was on the disk before is affected."""


class DiskFailed(MinkaError):
    """The disk reported an error other than being full; `reason` names the file and the system's words."""


class Corrupt(MinkaError):
    """Stored bytes are not what was written: `path` at byte `offset`. Never repaired silently."""

    def __init__(self, path: Path, offset: int, what: str, advice: str = "") -> None:
        super().__init__(f"{path} is damaged at byte {offset}: {what}.", advice)
        self.path = path
        self.offset = offset


class File(Protocol):
    """An open file. Different threads may read and write at once; offsets and lengths are bytes."""

    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes from `offset`; fewer than `length` only at the end of the file."""

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of `data`; on an error any part of it may have been written."""

    def truncate(self, length: int) -> None: ...

    def sync(self) -> None:
        """Return once everything written before is durable, the file's length included."""

    def close(self) -> None: ...


class Lock(Protocol):
    """An exclusive lock, held until `release` or the end of the process."""

    def release(self) -> None: ...


class Disk(Protocol):
    """What storage needs of a file system. Paths are absolute or relative to the process, as `Path` has them."""

    def open(self, path: Path, *, write: bool = False) -> File:
        """Open for reading, or with `write` for both, made empty if absent (its name durable after `sync_directory`)."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename over `target`: afterwards, also after a crash, `target` is the whole old or the whole new file.

        Durable on return. The data of `source` must have been synced before.
        """

    def remove(self, path: Path) -> None:
        """Remove a file; its absence is durable after `sync_directory`."""

    def sync_directory(self, path: Path) -> None: ...

    def make_directory(self, path: Path) -> None:
        """Make the directory and its parents where absent, durably."""

    def list(self, path: Path) -> list[str]:
        """The names in a directory, sorted; none if it is absent."""

    def size(self, path: Path) -> int | None:
        """The length of the file, None if there is none."""

    def modified(self, path: Path) -> float:
        """When the file was last written, in seconds since 1970."""

    def free_bytes(self, path: Path) -> int:
        """How much an ordinary process can still write to the file system of `path`."""

    def lock(self, path: Path) -> Lock:
        """Lock the file `path`, made if absent; `Refused` if another process, or another lock in this one, has it."""


def pieces(file: File, start: int = 0, piece_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
    """The file from byte `start` to its end, in memory a piece at a time."""
    while piece := file.read_at(start, piece_bytes):
        yield piece
        start += len(piece)


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Make `path` hold exactly `data`: durable on return, and after a crash either wholly there or as before."""
    temporary = path.with_name(path.name + ".new")
    file = disk.open(temporary, write=True)
    try:
        file.truncate(0)
        file.write_at(0, data)
        file.sync()
    except DiskFull:
        file.close()
        disk.remove(temporary)
        raise
    finally:
        file.close()
    disk.replace(temporary, path)


def read_file(disk: Disk, path: Path, limit_bytes: int) -> bytes:
    """The whole of a small file; `Corrupt` if it is longer than `limit_bytes`, FileNotFoundError if there is none."""
    file = disk.open(path)
    try:
        data = file.read_at(0, limit_bytes + 1)
    finally:
        file.close()
    if len(data) > limit_bytes:
        raise Corrupt(path, limit_bytes, f"it is longer than {limit_bytes} bytes")
    return data


def _fail(error: OSError, doing: str, path: Path) -> NoReturn:
    """Raise what stands for `error`; the only place that reads `errno`."""
    if isinstance(error, FileNotFoundError):
        raise error
    if getattr(error, "winerror", 0) == SHARING_VIOLATION:
        raise Busy(f"{path} is in use and cannot be {doing} now.", "Try again in a moment.") from error
    words = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise DiskFull(
            f"{path} could not be {doing}: {words}.", "Free some space on this worker's disk."
        ) from error
    raise DiskFailed(f"{path} could not be {doing}: {words}.", "Check this worker's disk.") from error


class OsFile:
    """A file of the operating system."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self._seeking = threading.Lock()

    def __repr__(self) -> str:
        return f"OsFile({str(self.path)!r}, {'closed' if self._descriptor < 0 else 'open'})"

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        try:
            data = self._read(offset, length)
            if len(data) == length or not data:
                return data
            parts = [data]
            got = len(data)
            while got < length and (data := self._read(offset + got, length - got)):
                parts.append(data)
                got += len(data)
        except OSError as error:
            _fail(error, "read", self.path)
        return b"".join(parts)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        try:
            written = self._write(offset, data)
            if written < len(data):
                with memoryview(data) as rest:
                    while written < len(rest):
                        written += self._write(offset + written, rest[written:])
        except OSError as error:
            _fail(error, "written", self.path)

    if sys.platform == "win32":

        def _read(self, offset: int, length: int) -> bytes:
            with self._seeking:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.read(self._descriptor, length)

        def _write(self, offset: int, data: bytes | bytearray | memoryview) -> int:
            with self._seeking:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                return os.write(self._descriptor, data)

    else:

        def _read(self, offset: int, length: int) -> bytes:
            return os.pread(self._descriptor, length, offset)

        def _write(self, offset: int, data: bytes | bytearray | memoryview) -> int:
            return os.pwrite(self._descriptor, data, offset)

    def truncate(self, length: int) -> None:
        try:
            os.ftruncate(self._descriptor, length)
        except OSError as error:
            _fail(error, "cut", self.path)

    def sync(self) -> None:
        try:
            if sys.platform == "darwin":
                fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)
            elif sys.platform == "win32":
                os.fsync(self._descriptor)
            else:
                os.fdatasync(self._descriptor)
        except OSError as error:
            # Also when the system says "full" only now: what was written before may be lost.
            raise DiskFailed(
                f"{self.path} could not be made durable: {error.strerror}.", "Check the disk."
            ) from error

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsLock:
    """A lock on a file, which says whose process holds it."""

    def __init__(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        try:
            if sys.platform == "win32":
                os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                os.close(descriptor)
                raise
            os.lseek(descriptor, 0, os.SEEK_SET)
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise Refused(
                f"The directory {path.parent} is in use by another process{f' ({holder})' if holder else ''}.",
                "Stop the worker that uses it, or give this one its own --data directory.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; the file stays, since removing it would race with the next holder."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class OsDisk:
    """The file system of the operating system. It has no state of its own: any thread may use it."""

    def open(self, path: Path, *, write: bool = False) -> OsFile:
        flags = (os.O_RDWR | os.O_CREAT) if write else os.O_RDONLY
        try:
            return OsFile(path, os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600))
        except OSError as error:
            _fail(error, "opened", path)

    def replace(self, source: Path, target: Path) -> None:
        try:
            os.replace(source, target)
        except OSError as error:
            _fail(error, "renamed", source)
        self.sync_directory(target.parent)
        if source.parent != target.parent:
            self.sync_directory(source.parent)

    def remove(self, path: Path) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            _fail(error, "removed", path)

    def sync_directory(self, path: Path) -> None:
        if sys.platform != "win32":
            try:
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
            except OSError as error:
                _fail(error, "made durable", path)

    def make_directory(self, path: Path) -> None:
        if path.is_dir():
            return
        self.make_directory(path.parent)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
        except OSError as error:
            _fail(error, "made", path)
        self.sync_directory(path.parent)

    def list(self, path: Path) -> list[str]:
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []
        except OSError as error:
            _fail(error, "listed", path)

    def size(self, path: Path) -> int | None:
        try:
            return os.stat(path).st_size
        except FileNotFoundError:
            return None
        except OSError as error:
            _fail(error, "examined", path)

    def modified(self, path: Path) -> float:
        try:
            return os.stat(path).st_mtime
        except OSError as error:
            _fail(error, "examined", path)

    def free_bytes(self, path: Path) -> int:
        try:
            return shutil.disk_usage(path).free
        except OSError as error:
            _fail(error, "examined", path)

    def lock(self, path: Path) -> OsLock:
        try:
            return OsLock(path)
        except OSError as error:
            _fail(error, "locked", path)
