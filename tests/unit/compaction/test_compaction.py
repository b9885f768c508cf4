"""The compaction process, in this one: from a snapshot and a real log to the next snapshot."""

import os
import secrets
from hashlib import sha256
from pathlib import Path

from shared.messages import Ticket
from worker.compaction import Compaction, Made, Order, decode_digests, encode_digests
from worker.raft.entries import Entry, EntryKind, HardState, Membership, SnapshotMeta
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.registry import Registry
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk
from worker.storage.identity import open_identity
from worker.storage.log import EntryLog
from worker.storage.packs import Packs
from worker.storage.snapshots import SnapshotStore

DISK = OsDisk()


class Worker:
    """A data directory, and the registry that its log makes."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.log = EntryLog.open(DISK, data / "log", open_identity(DISK, data, "w1", "c"))
        self.store = BlobStore(DISK, data / "blobs")
        self.snapshots = SnapshotStore(DISK, data / "snapshots")
        self.registry = Registry()
        self.session = self.commit(commands.OpenSession("test", 1))
        self.sequence = 0

    def commit(self, command: Command, body: bytes = b"") -> int:
        index = self.log.last_index() + 1
        data = commands.encode(command, body)
        self.write([Entry(1, index, EntryKind.COMMAND, data)])
        self.registry.apply(index, data)
        return index

    def write(self, entries: list[Entry]) -> None:
        batch = self.log.prepare(HardState(1), entries)
        self.log.write([batch])
        self.log.installed(batch)

    def ticket(self) -> Ticket:
        self.sequence += 1
        return Ticket(self.session, self.sequence, self.sequence)

    def put(self, name: str, data: bytes) -> int:
        digest = sha256(data).hexdigest()
        return self.commit(commands.PutFile(self.ticket(), name, digest, len(data), 1), data)

    def compact(self, previous: int = 0, idle_s: float = 3600.0) -> Made:
        order = Order(previous, self.registry.applied_index, 1, ("w1",), (), idle_s)
        return Compaction(DISK, self.data, order).run()

    def loaded(self, index: int) -> tuple[Registry, Packs]:
        registry, packs = Registry(), Packs()
        file = self.snapshots.open(index)
        for rows in file.pieces():
            registry.load(packs.load(rows))
        file.close()
        return registry, packs

    def packed(self, packs: Packs, data: bytes) -> bytes:
        place = packs.places[sha256(data).hexdigest()]
        return self.store.read(place.pack, place.offset, place.size_bytes)


def test_a_snapshot_is_the_state_that_the_log_makes(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    worker.put("a", b"first")
    worker.put("b", b"second")
    # Entries that were not committed, and stand in the segment still: an index is what it was written as last.
    worker.write([Entry(1, 4, EntryKind.COMMAND, b"never committed")])
    worker.write([Entry(1, 4, EntryKind.NOOP, b"")])
    worker.registry.skip(4)
    made = worker.compact()
    registry, packs = worker.loaded(4)
    assert made.digest == registry.state_digest == worker.registry.state_digest
    assert made.records == worker.registry.record_count
    assert list(registry.dump()) == list(worker.registry.dump())
    assert [worker.packed(packs, data) for data in (b"first", b"second")] == [b"first", b"second"]
    assert len(packs.sizes) == 1


def test_the_next_snapshot_goes_on_from_the_last_when_the_log_begins_there(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    kept, gone = secrets.token_bytes(60_000), secrets.token_bytes(50_000)
    worker.put("kept", kept)
    worker.put("gone", gone)
    made = worker.compact()
    first = worker.registry.applied_index
    meta = SnapshotMeta(first, 1, Membership(frozenset({"w1"})), made.size_bytes)
    batch = worker.log.prepare(None, (), meta, first + 1)
    worker.log.write([batch])
    worker.log.installed(batch)

    worker.commit(commands.RemoveFile(worker.ticket(), 3, 2))
    worker.put("more", b"more")
    made = worker.compact(first)
    registry, packs = worker.loaded(worker.registry.applied_index)
    assert made.digest == worker.registry.state_digest == registry.state_digest
    assert worker.packed(packs, kept) == kept
    assert worker.packed(packs, b"more") == b"more"
    assert sha256(gone).hexdigest() not in packs.places


def test_a_pack_of_which_less_than_half_is_live_is_written_again(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    small, large = b"small" * 1_000, b"large" * 10_000
    worker.put("small", small)
    worker.put("large", large)
    worker.compact()
    first, (_, before) = worker.registry.applied_index, worker.loaded(worker.registry.applied_index)
    worker.commit(commands.RemoveFile(worker.ticket(), 3, 2))
    worker.compact(first)
    _, after = worker.loaded(worker.registry.applied_index)
    assert list(after.sizes.values()) == [len(small)]
    assert before.sizes.keys() != after.sizes.keys()
    assert worker.packed(after, small) == small


def test_superseded_checkpoints_are_unnamed_once_nothing_that_is_kept_names_them(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    source = worker.put("inputs", b"pixels")
    spec = {"arch": "mlp", "epochs": 1}
    model = worker.commit(commands.CreateModel(worker.ticket(), "m", spec, {"inputs": source}, 1))
    id = f"m{model}"
    dataset = Blob(worker.store.put(b"dataset"), 7)
    worker.commit(commands.DatasetReady(id, dataset, spec, {}, 3, 1))
    states = [Blob(worker.store.put(b"state %d" % number), 7) for number in range(3)]
    unnamed, fresh = worker.store.put(b"an upload that was given up"), worker.store.put(b"one under way")
    parent = ""
    for round, state in enumerate(states[:2], 1):
        worker.commit(commands.Checkpoint(id, round, parent, state, (), 1.0, 1))
        parent = state.digest
    for path in (tmp_path / "blobs").glob("??/*"):
        if path.name != fresh:
            os.utime(path, (1, 1))
    assert set(worker.compact().unnamed) == {unnamed, states[2].digest}
    first = worker.registry.applied_index
    worker.commit(commands.Checkpoint(id, 3, parent, states[2], (), 1.0, 1))
    assert set(worker.compact(first).unnamed) == {unnamed, states[0].digest}
    second = worker.registry.applied_index
    worker.put("later", b"later")
    made = worker.compact(second)
    assert set(made.unnamed) >= {unnamed, states[0].digest, states[1].digest}
    assert not {dataset.digest, states[2].digest, fresh} & set(made.unnamed)


def test_the_files_of_a_job_that_waits_are_kept_though_they_were_removed(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    source = worker.put("inputs", b"pixels")
    worker.commit(commands.CreateModel(worker.ticket(), "m", {"arch": "mlp"}, {"inputs": source}, 1))
    worker.commit(commands.RemoveFile(worker.ticket(), source, 1))
    worker.compact()
    _, packs = worker.loaded(worker.registry.applied_index)
    assert worker.packed(packs, b"pixels") == b"pixels"


def test_digests_travel_as_bytes() -> None:
    digests = [sha256(bytes([number])).hexdigest() for number in range(3)]
    assert decode_digests(encode_digests(digests)) == digests


def test_the_images_of_examples_are_packed_as_files_are(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    digest = sha256(b"an image").hexdigest()
    example = commands.AddExample(worker.ticket(), "ants", "red", digest, 8, 1)
    worker.commit(example, b"an image")
    worker.compact()
    registry, packs = worker.loaded(worker.registry.applied_index)
    assert worker.packed(packs, b"an image") == b"an image"
    assert registry.datasets.find("ants") == worker.registry.datasets.find("ants")
    assert registry.small_file(digest) == worker.registry.small_file(digest)


def test_bytes_that_were_written_once_for_two_files_are_packed_for_both(tmp_path: Path) -> None:
    worker = Worker(tmp_path)
    first = worker.put("one", b"same")
    digest = sha256(b"same").hexdigest()
    again = commands.PutFile(worker.ticket(), "two", digest, 4, 1, held=True)
    worker.commit(again)
    worker.commit(commands.RemoveFile(worker.ticket(), first, 2))
    worker.compact()
    before = worker.registry.applied_index
    worker.commit(commands.PutFile(worker.ticket(), "three", digest, 4, 1, held=True))
    worker.compact(before)
    registry, packs = worker.loaded(worker.registry.applied_index)
    assert worker.packed(packs, b"same") == b"same"
    assert list(packs.sizes.values()) == [4]
    assert {row.name: row.carrier for row in registry.files.values()} == {"two": first, "three": first}
