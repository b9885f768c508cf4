"""Space set aside, so that a worker whose disk is full can still write down deletions and what was under way."""

from pathlib import Path

from worker.storage.disk import PIECE_BYTES, Disk, DiskFull

FILE_NAME = "reserve"
RESERVE_BYTES = 32 * 1_048_576


class Reserve:
    """A file of `size_bytes` in the data directory `path`, there to be given up. One thread at a time uses it."""

    def __init__(self, disk: Disk, path: Path, size_bytes: int = RESERVE_BYTES) -> None:
        self._disk = disk
        self._path = path / FILE_NAME
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        return self._disk.size(self._path) == self._size_bytes

    def restore(self) -> bool:
        """Set the space aside (again), if the disk has twice as much; returns whether it is there now.

        Writes the whole file: not for the node thread.
        """
        if self.held:
            return True
        if self._disk.free_bytes(self._path.parent) < 2 * self._size_bytes:
            return False
        file = self._disk.open(self._path, write=True)
        try:
            for offset in range(0, self._size_bytes, PIECE_BYTES):
                file.write_at(offset, bytes(min(PIECE_BYTES, self._size_bytes - offset)))
            file.sync()
        except DiskFull:
            file.truncate(0)
            return False
        finally:
            file.close()
        return True

    def release(self) -> bool:
        """Give the space back to the file system; False if there was none."""
        size_bytes = self._disk.size(self._path)
        if size_bytes is None:
            return False
        self._disk.remove(self._path)
        self._disk.sync_directory(self._path.parent)
        return size_bytes > 0
