"""A disk that can be full, fail to sync, or die at any step; below it the real files, which it does not really sync."""

import os
from pathlib import Path

from worker.storage.disk import DiskFailed, DiskFull, File, Lock, OsDisk


def rewrite(path: Path, data: bytes | bytearray) -> None:
    """Make an existing file hold `data`, in place: some systems wait for the disk when a file is emptied first."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


class Killed(BaseException):
    """The process ended here: no handler of the program may run as if it had not."""


class FaultyDisk:
    """Counts what changes the disk (`steps`, `syncs`); dies at step `dies_at`, is full after `room_bytes` more."""

    def __init__(self) -> None:
        self.real = OsDisk()
        self.steps = 0
        self.syncs = 0
        self.dies_at: int | None = None
        self.room_bytes: int | None = None
        self.fail_syncs = False
        self.handles: list[File] = []

    def step(self) -> None:
        self.steps += 1
        if self.dies_at is not None and self.steps >= self.dies_at:
            raise Killed

    def open(self, path: Path, *, write: bool = False) -> "FaultyFile":
        if write and self.real.size(path) is None:
            self.step()
        file = self.real.open(path, write=write)
        self.handles.append(file)
        return FaultyFile(self, file)

    def abandon(self) -> None:
        """Close what a killed process would have left open."""
        for handle in self.handles:
            handle.close()

    def replace(self, source: Path, target: Path) -> None:
        self.step()
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        self.step()
        if self.room_bytes is not None:
            self.room_bytes += self.real.size(path) or 0
        self.real.remove(path)

    def sync_directory(self, path: Path) -> None:
        pass

    def make_directory(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)

    def list(self, path: Path) -> list[str]:
        return self.real.list(path)

    def size(self, path: Path) -> int | None:
        return self.real.size(path)

    def modified(self, path: Path) -> float:
        return self.real.modified(path)

    def free_bytes(self, path: Path) -> int:
        return self.real.free_bytes(path) if self.room_bytes is None else self.room_bytes

    def lock(self, path: Path) -> Lock:
        return self.real.lock(path)


class FaultyFile:
    def __init__(self, disk: FaultyDisk, file: File) -> None:
        self.disk = disk
        self.file = file

    def size(self) -> int:
        return self.file.size()

    def read_at(self, offset: int, length: int) -> bytes:
        return self.file.read_at(offset, length)

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.disk.step()
        room = self.disk.room_bytes
        if room is not None:
            fits = max(self.file.size() + room - offset, 0)
            grown = max(offset + min(len(data), fits) - self.file.size(), 0)
            self.disk.room_bytes = room - grown
            if fits < len(data):
                self.file.write_at(offset, memoryview(data)[:fits])
                raise DiskFull("The disk is full.", "Make space.")
        self.file.write_at(offset, data)

    def truncate(self, length: int) -> None:
        self.disk.step()
        if self.disk.room_bytes is not None:
            self.disk.room_bytes += max(self.file.size() - length, 0)
        self.file.truncate(length)

    def sync(self) -> None:
        self.disk.step()
        self.disk.syncs += 1
        if self.disk.fail_syncs:
            raise DiskFailed("The disk failed.", "Check it.")

    def close(self) -> None:
        self.file.close()
