"""What a removed file took goes soon, never from under somebody who uses it, and is not missed at the next start."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.node.fakes import FakeLoop, FakeTransfers
from worker.registry.registry import Registry
from worker.registry.rows import FileRow
from worker.released import FILE, IDLE_S, LOOK_S, Released, load_notes, save_notes
from worker.storage.blobs import BlobStore
from worker.storage.disk import DiskFull, OsDisk

APPLIED = 7


class FullDisk(OsDisk):
    full = False

    def open(self, path: Path, *, write: bool = False) -> Any:
        if self.full and write and path.name.startswith(FILE):
            raise DiskFull("The disk is full.")
        return super().open(path, write=write)


class Bench:
    def __init__(self, path: Path) -> None:
        self.path, self.disk, self.loop = path, FullDisk(), FakeLoop()
        self.store = BlobStore(self.disk, path / "blobs", clock=lambda: self.loop.now)
        self.registry = Registry()
        self.registry.applied_index = APPLIED
        self.driver = SimpleNamespace(queued=False)
        self.settled = True
        self.logged: list[str] = []
        node: Any = SimpleNamespace(
            disk=self.disk,
            loop=self.loop,
            transfers=FakeTransfers(self.loop),
            store=self.store,
            registry=self.registry,
            driver=self.driver,
            installation=SimpleNamespace(busy=False),
            snapshots=SimpleNamespace(is_settled=lambda digest: self.settled),
            entry_log=SimpleNamespace(first_index=lambda: 3),
            settings=SimpleNamespace(data=path, blob_idle_s=600.0),
            log=self.logged.append,
        )
        self.released = Released(node, {"cc" * 32: 2, "dd" * 32: 3})
        self.digest = self.store.put(b"what was released")
        self.released.add(self.digest)

    def wait(self, seconds: float = IDLE_S + 2 * LOOK_S) -> bool:
        """Whether the blob is gone after that."""
        self.loop.advance(seconds)
        return not self.store.has(self.digest)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_nobody_uses_goes_and_is_noted(bench: Bench) -> None:
    assert bench.wait()
    assert load_notes(bench.disk, bench.path) == {"dd" * 32: 3, bench.digest: APPLIED}


def test_what_somebody_uses_stays_until_it_is_idle(bench: Bench) -> None:
    for _ in range(4):
        assert not bench.wait(IDLE_S / 2)
        assert bench.store.use(bench.digest)
    assert bench.wait()


def test_what_a_row_names_again_stays(bench: Bench) -> None:
    bench.registry._table.add(FileRow(1, "again", 100_000, bench.digest, 0))
    assert not bench.wait()
    bench.registry._table.remove(1)
    assert bench.wait(LOOK_S)


def test_what_an_entry_may_name_that_is_not_applied_yet_stays(bench: Bench) -> None:
    bench.settled = False
    assert not bench.wait()
    bench.settled, bench.driver.queued = True, True
    assert not bench.wait()
    bench.driver.queued = False
    assert bench.wait(LOOK_S)


def test_nothing_goes_that_could_not_be_noted(bench: Bench) -> None:
    bench.disk.full = True
    assert not bench.wait()
    bench.disk.full = False
    assert bench.wait(LOOK_S)
    assert bench.logged == ["blobs removed that no file has any more: 1"]


@pytest.mark.parametrize("at", [0, 35, 45, -1])
def test_notes_that_are_not_what_was_written_say_nothing(bench: Bench, at: int) -> None:
    notes = {"aa" * 32: 5, "bb" * 32: 6}
    save_notes(bench.disk, bench.path, notes)
    assert load_notes(bench.disk, bench.path) == notes
    data = bytearray((bench.path / FILE).read_bytes())
    data[at] ^= 1
    (bench.path / FILE).write_bytes(data)
    assert load_notes(bench.disk, bench.path) == {}
    (bench.path / FILE).write_bytes(b"")
    assert load_notes(bench.disk, bench.path) == {}
