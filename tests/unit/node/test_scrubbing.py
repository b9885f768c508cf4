"""The scrubber looks at everything in its turn, at what was read at once, and never for long in one turn."""

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.messages import INLINE_BYTES
from tests.unit.node.fakes import FakeLoop, FakeTransfers
from tests.unit.storage.test_log import entries, opened, write
from worker.raft.entries import Membership, SnapshotMeta
from worker.registry.commands import Blob
from worker.registry.examples import ExampleRow
from worker.registry.registry import Registry
from worker.registry.rows import FileRow
from worker.scrubbing import RATE_BYTES_PER_S, Scrubber
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk
from worker.storage.packs import Packs
from worker.storage.segment import BATCH_BYTES

PAUSE_S = 60.0
SMALL = b"the small file"
LARGE_BYTES = INLINE_BYTES + 1


class Bench:
    """A worker with ten entries, five files and an example, in two blobs and a pack."""

    def __init__(self, path: Path) -> None:
        self.disk, self.loop = OsDisk(), FakeLoop()
        self.log = opened(path / "log", disk=self.disk)
        write(self.log, entries(1, 10))
        self.store = BlobStore(self.disk, path / "blobs")
        self.registry = Registry()
        self.registry.applied_index = 10
        self.large = [self.store.put(bytes([number]) * LARGE_BYTES) for number in range(2)]
        for number, digest in enumerate((*self.large, *self.large, self.large[0]), 1):
            self.registry._table.add(FileRow(number, "name", LARGE_BYTES, digest, 0))
        self.example = self.store.put(b"x" * LARGE_BYTES)
        self.registry.datasets.add("ants", ExampleRow(9, "red", LARGE_BYTES, self.example, 0))
        self.small = hashlib.sha256(SMALL).hexdigest()
        self.packs = Packs()
        self.pack = self.store.put(b"<<" + SMALL + b">>")
        self.packs.add(self.pack, len(SMALL) + 4, {self.small: (2, len(SMALL))})
        self.found: list[Any] = []
        node: Any = SimpleNamespace(
            disk=self.disk,
            loop=self.loop,
            transfers=FakeTransfers(self.loop),
            store=self.store,
            entry_log=self.log,
            registry=self.registry,
            snapshots=SimpleNamespace(packs=self.packs),
            settings=SimpleNamespace(scrub_pause_s=PAUSE_S),
            repairs=SimpleNamespace(
                blob=self.found.append,
                small=self.found.append,
                entry=self.found.append,
                stretch=lambda number, stretch: self.found.append((number, stretch.start)),
            ),
            log=self.found.append,
        )
        self.scrubber = Scrubber(node)

    def flip(self, path: Path, offset: int) -> None:
        data = bytearray(path.read_bytes())
        data[offset] ^= 8
        path.write_bytes(data)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_is_whole_is_left_alone(bench: Bench) -> None:
    bench.loop.advance(3 * PAUSE_S)
    assert bench.found == []
    assert not bench.log._pins


def test_every_kind_of_damage_is_found_in_one_pass(bench: Bench) -> None:
    bench.flip(bench.store.path(bench.large[1]), 70)
    bench.store.path(bench.example).unlink()
    bench.flip(bench.store.path(bench.pack), 5)
    (place,) = bench.log.pin(7, 0)
    bench.flip(place.path, place.offset + place.size_bytes - 1)
    bench.loop.advance(2 * PAUSE_S - 1)
    (first,) = bench.log.pin(1, 0)
    in_log = (1, first.offset - BATCH_BYTES)
    damaged = {Blob(bench.large[1], LARGE_BYTES), Blob(bench.example, LARGE_BYTES), bench.small, in_log}
    assert set(bench.found) == damaged


def test_bytes_of_a_pack_that_nobody_needs_are_no_damage(bench: Bench) -> None:
    bench.flip(bench.store.path(bench.pack), 0)
    bench.loop.advance(2 * PAUSE_S)
    bench.scrubber.blob_was_read(bench.pack)
    bench.loop.settle()
    assert bench.found == []


def test_what_was_just_read_is_looked_at_at_once(bench: Bench) -> None:
    bench.flip(bench.store.path(bench.large[0]), 70)
    bench.flip(bench.store.path(bench.pack), 5)
    (place,) = bench.log.pin(7, 0)
    bench.flip(place.path, place.offset + place.size_bytes - 1)
    bench.scrubber.blob_was_read(bench.large[0])
    bench.scrubber.small_was_read("ab" * 32, 7)
    bench.loop.advance(0.01)
    assert set(bench.found) == {Blob(bench.large[0], LARGE_BYTES), 7}
    write(bench.log, (), None, SnapshotMeta(10, 1, Membership(frozenset({"w1"})), 7), 9)
    bench.scrubber.small_was_read(bench.small, 7)
    bench.scrubber.blob_was_read("ab" * 32)
    bench.loop.advance(0.01)
    assert bench.small in bench.found


def test_the_background_keeps_to_its_rate(bench: Bench) -> None:
    size_bytes = RATE_BYTES_PER_S
    digest = bench.store.put(bytes(size_bytes))
    bench.registry._table.add(FileRow(6, "name", size_bytes, digest, 0))
    bench.flip(bench.store.path(digest), size_bytes - 1)
    bench.loop.advance(PAUSE_S + 0.9)
    assert bench.found == []
    bench.loop.advance(1.0)
    assert bench.found == [Blob(digest, size_bytes)]


def test_what_changes_while_it_is_looked_at_does_no_harm(bench: Bench) -> None:
    bench.loop.advance(PAUSE_S)
    for number in range(20):
        bench.registry.datasets.add(f"set {number}", ExampleRow(100 + number, "red", 5, bench.small, 0))
        bench.registry._table.add(FileRow(20 + number, "name", LARGE_BYTES, bench.large[0], 0))
        bench.loop.advance(0.01)
    write(bench.log, (), None, SnapshotMeta(10, 1, Membership(frozenset({"w1"})), 7), 9)
    bench.loop.advance(3 * PAUSE_S)
    assert bench.found == []


@pytest.mark.parametrize("before", [1, 31])
def test_damage_between_entries_of_the_log_is_found(bench: Bench, before: int) -> None:
    (first,) = bench.log.pin(1, 0)
    bench.flip(first.path, first.offset - before)
    bench.loop.advance(2 * PAUSE_S - 1)
    assert bench.found == [(1, first.offset - BATCH_BYTES)]


def test_a_damaged_head_of_a_segment_is_found_and_what_was_mended_is_looked_at_again(bench: Bench) -> None:
    (first,) = bench.log.pin(1, 0)
    bench.flip(first.path, 30)
    bench.scrubber.look_at_segment(1)
    bench.loop.settle()
    assert bench.found == [(1, 0)]
    bench.log.unpin([first])
    assert not bench.log._pins
