"""A disk in memory that forgets at a crash what was not synced, as real ones do.

Each file has what a process reads (`data`), what would survive a loss of power (`durable`), and the writes between the
two. At a crash every one of those writes is lost, or kept, or torn at sectors; names that were not synced come or go.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from worker.storage.disk import DiskFailed, DiskFull

SECTOR_BYTES = 512


class Killed(BaseException):
    """The process ended in the middle of this call: no handler of the program may run as if it had not."""


class Inode:
    """The bytes behind a name; `pending` are unsynced (offset, bytes), or (length, None) for a truncation."""

    __slots__ = ("data", "durable", "pending")

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = bytearray()
        self.pending: list[tuple[int, bytes | None]] = []

    def settle(self) -> None:
        """Make everything durable."""
        for offset, data in self.pending:
            _change(self.durable, offset, data)
        self.pending.clear()

    def lose(self, rng: random.Random) -> None:
        """Let chance decide which of the pending changes reached the disk; the rest is gone."""
        fate = rng.random()
        for offset, data in self.pending:
            kept = fate < 0.25 or (fate < 0.75 and rng.random() < 0.5)
            if not kept:
                continue
            if data is None or rng.random() < 0.3:
                _change(self.durable, offset, data)
            else:
                for at, sector in _torn(offset, data, rng):
                    _change(self.durable, at, sector)
        self.pending.clear()
        self.data = bytearray(self.durable)


def _change(target: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del target[offset:]
        target.extend(bytes(offset - len(target)))
        return
    if offset > len(target):
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


def _torn(offset: int, data: bytes, rng: random.Random) -> Iterator[tuple[int, bytes]]:
    """Some of the sectors that a write touches, in half of the cases from the front."""
    end, at = offset + len(data), offset
    from_front = rng.random() < 0.5
    while at < end:
        following = min((at // SECTOR_BYTES + 1) * SECTOR_BYTES, end)
        if rng.random() < 0.6:
            yield at, data[at - offset : following - offset]
        elif from_front:
            return
        at = following


class SimulatedFile:
    """An open file (`worker.storage.disk.File`)."""

    __slots__ = ("disk", "inode")

    def __init__(self, disk: "SimulatedDisk", inode: Inode) -> None:
        self.disk = disk
        self.inode = inode

    def size(self) -> int:
        return len(self.inode.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.inode.data[offset : offset + length])

    def write_at(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.disk.step()
        written = bytes(data)
        room = self.disk.room(offset + len(written) - len(self.inode.data))
        if room is not None:
            written = written[: max(len(self.inode.data) + room - offset, 0)]
        if written:
            _change(self.inode.data, offset, written)
            self.inode.pending.append((offset, written))
        if room is not None:
            raise DiskFull("The simulated disk is full.", "Wait.")

    def truncate(self, length: int) -> None:
        self.disk.step()
        _change(self.inode.data, length, None)
        self.inode.pending.append((length, None))

    def sync(self) -> None:
        self.disk.step()
        if self.disk.fails:
            self.disk.fails = False
            self.inode.lose(self.disk.rng)
            raise DiskFailed("The simulated disk could not sync.", "Restart.")
        self.inode.settle()

    def close(self) -> None:
        """Nothing to give back."""


class SimulatedLock:
    def release(self) -> None:
        """One process at a time uses a simulated disk: nothing was taken."""


class SimulatedDisk:
    """One worker's disk (`worker.storage.disk.Disk`); it outlives the worker's crashes.

    `capacity_bytes` None: never full. `dies_after`: how many more changes until the process that uses it is `Killed`.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.capacity_bytes: int | None = None
        self.fails = False
        self.dies_after: int | None = None

    # --- what happens to it

    def step(self) -> None:
        if self.dies_after is not None:
            self.dies_after -= 1
            if self.dies_after < 0:
                raise Killed

    def lose_power(self) -> None:
        """Keep what was synced, and of the rest what chance leaves."""
        for inode in {
            id(inode): inode for inode in (*self.names.values(), *self.durable_names.values())
        }.values():
            inode.lose(self.rng)
        for path in sorted(self.names.keys() ^ self.durable_names.keys()):
            if self.rng.random() < 0.5:
                inode = self.names.get(path) or self.durable_names[path]
                self.durable_names[path] = inode
            else:
                self.durable_names.pop(path, None)
        self.names = dict(self.durable_names)

    def flip(self, path: Path, offset: int, bit: int) -> None:
        """Damage one bit at rest."""
        inode = self.names[path]
        inode.data[offset] ^= 1 << bit
        if offset < len(inode.durable):
            inode.durable[offset] ^= 1 << bit

    def used_bytes(self) -> int:
        return sum(len(inode.data) for inode in self.names.values())

    def room(self, growth: int) -> int | None:
        """None if a file may grow by so many bytes, else by how many it may."""
        if self.capacity_bytes is None or growth <= 0:
            return None
        free = max(self.capacity_bytes - self.used_bytes(), 0)
        return free if free < growth else None

    # --- what storage asks of it

    def open(self, path: Path, *, write: bool = False) -> SimulatedFile:
        inode = self.names.get(path)
        if inode is None:
            if not write:
                raise FileNotFoundError(path)
            self.step()
            inode = self.names[path] = Inode()
        return SimulatedFile(self, inode)

    def replace(self, source: Path, target: Path) -> None:
        self.step()
        inode = self.names[target] = self.names.pop(source)
        self.step()
        self.durable_names.pop(source, None)
        self.durable_names[target] = inode

    def remove(self, path: Path) -> None:
        self.step()
        if self.names.pop(path, None) is None:
            raise FileNotFoundError(path)

    def sync_directory(self, path: Path) -> None:
        for name in [name for name in self.durable_names if name.parent == path and name not in self.names]:
            del self.durable_names[name]
        self.durable_names.update((name, inode) for name, inode in self.names.items() if name.parent == path)

    def make_directory(self, path: Path) -> None:
        """Directories need no making here."""

    def list(self, path: Path) -> list[str]:
        return sorted(name.name for name in self.names if name.parent == path)

    def size(self, path: Path) -> int | None:
        inode = self.names.get(path)
        return None if inode is None else len(inode.data)

    def modified(self, path: Path) -> float:
        return 0.0

    def free_bytes(self, path: Path) -> int:
        return 1 << 40 if self.capacity_bytes is None else max(self.capacity_bytes - self.used_bytes(), 0)

    def lock(self, path: Path) -> SimulatedLock:
        return SimulatedLock()
