"""The compaction process: ``python -m worker.compaction``, started by its node when there is a snapshot to make.

A snapshot is a pure function of the one before it and of the log, so another process makes it, at low priority, from the
same files and with the same state machine; the node compares the digest of the outcome with its own. Request ``snapshot``::

    {"previous": index or 0, "index", "term", "voters", "learners", "idle_s"}  ->  {"digest", "size_bytes", "records"}
    the body of the reply: SHA-256 (32 bytes each) of the blobs that nothing names any more
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shared import fields
from shared.errors import MinkaError, Unreachable, failure_fields
from shared.frames import Frame, FrameType
from shared.messages import INLINE_BYTES
from worker.child import join_node
from worker.raft.entries import EntryKind, Membership
from worker.registry import commands
from worker.registry.registry import Registry
from worker.storage.blobs import BlobStore
from worker.storage.disk import Disk, OsDisk
from worker.storage.packs import Packs, Place
from worker.storage.reading import LogReader
from worker.storage.snapshots import Heading, SnapshotStore, write_snapshot
from worker.training.environment import lower_priority

READ_BYTES = 4 * 1_048_576
UNNAMED_LIMIT = 400_000
"""Blobs to be collected in one go: their digests fit a frame."""


@dataclass(frozen=True, slots=True)
class Order:
    """What snapshot is to be made; a blob that nothing names is left alone for `idle_s` seconds."""

    previous: int
    index: int
    term: int
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    idle_s: float


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it; `unnamed` are the blobs that nothing names any more, in hex."""

    digest: str
    size_bytes: int
    records: int
    unnamed: list[str]


class Compaction:
    """One snapshot in the making, in a worker's data directory."""

    def __init__(self, disk: Disk, data: Path, order: Order) -> None:
        self._disk = disk
        self._data = data
        self._order = order
        self._store = BlobStore(disk, data / "blobs")
        self._snapshots = SnapshotStore(disk, data / "snapshots")
        self._registry = Registry()
        self._packs = Packs()
        self._named: set[str] = set()
        """Whatever the snapshot before, the log since, or this snapshot names."""

    def run(self) -> Made:
        """Make the snapshot; raises `Corrupt`, `DiskFull`, FileNotFoundError, IndexError."""
        order = self._order
        self._load_previous()
        log = LogReader(self._disk, self._data / "log")
        try:
            self._replay(log)
            self._pack(log)
        finally:
            log.close()
        heading = Heading(
            order.index,
            order.term,
            Membership(frozenset(order.voters), frozenset(order.learners)),
            self._registry.state_digest,
        )
        path = self._snapshots.path(order.index)
        size_bytes = write_snapshot(self._disk, path, heading, self._rows())
        return Made(heading.digest, size_bytes, self._registry.record_count, self._unnamed())

    def _load_previous(self) -> None:
        if self._order.previous:
            snapshot = self._snapshots.open(self._order.previous)
            try:
                for rows in snapshot.pieces():
                    self._registry.load(self._packs.load(rows))
            finally:
                snapshot.close()
        self._named |= {blob.digest for blob in self._registry.live_blobs()} | self._packs.sizes.keys()

    def _replay(self, log: LogReader) -> None:
        low = self._order.previous + 1
        while low <= self._order.index:
            entries = log.entries(low, self._order.index + 1, READ_BYTES)
            for entry in entries:
                if entry.kind is EntryKind.COMMAND:
                    self._registry.apply(entry.index, entry.data)
                    self._named |= {blob.digest for blob in commands.named_blobs(entry.data)}
                else:
                    self._registry.skip(entry.index)
            low += len(entries)

    def _pack(self, log: LogReader) -> None:
        """Move the small files that only the log holds into a pack, with what is worth taking along."""
        small = {row.digest: row for row in self._registry.live_files() if row.size_bytes <= INLINE_BYTES}
        before = self._packs
        fresh_bytes = sum(row.size_bytes for digest, row in small.items() if digest not in before.places)
        self._packs = before.rewritten(small.keys(), fresh_bytes)
        moved = [digest for digest in small if digest not in self._packs.places]
        if not moved:
            return
        path = self._data / "snapshots" / "pack"
        laid: dict[str, tuple[int, int]] = {}
        file = self._disk.open(path, write=True)
        try:
            file.truncate(0)
            offset = 0
            for digest in moved:
                place = before.places.get(digest)
                data = self._packed(place) if place else _body(log, small[digest].carrier)
                file.write_at(offset, data)
                laid[digest] = (offset, len(data))
                offset += len(data)
        finally:
            file.close()
        self._packs.add(self._store.adopt(path), offset, laid)
        self._named |= self._packs.sizes.keys()

    def _packed(self, place: Place) -> bytes:
        return self._store.read(place.pack, place.offset, place.size_bytes) if place.size_bytes else b""

    def _rows(self) -> Iterator[list[object]]:
        yield from self._packs.dump()
        yield from self._registry.dump()

    def _unnamed(self) -> list[str]:
        """Blobs here that nothing names, and that have not come of late."""
        before = time.time() - self._order.idle_s
        found: list[str] = []
        for digest in self._store.digests():
            if digest in self._named or len(found) >= UNNAMED_LIMIT:
                continue
            try:
                if self._disk.modified(self._store.path(digest)) < before:
                    found.append(digest)
            except FileNotFoundError:
                continue
        return found


def _body(log: LogReader, index: int) -> bytes:
    return commands.body_of(log.entries(index, index + 1, READ_BYTES)[0].data)


def encode_digests(digests: Iterable[str]) -> bytes:
    return b"".join(map(bytes.fromhex, digests))


def decode_digests(body: bytes) -> list[str]:
    """The inverse of `encode_digests`."""
    return [body[at : at + 32].hex() for at in range(0, len(body), 32)]


def main() -> None:
    """Make what the node asks for, until the node ends this process."""
    node, settings = join_node()
    lower_priority()
    data = Path(settings["data"])
    with node, contextlib.suppress(Unreachable):  # the node has ended: so does this
        while True:
            frame = node.receive()
            number = frame.header["id"]
            try:
                made = Compaction(OsDisk(), data, fields.decode(Order, frame.header)).run()
            except (MinkaError, OSError, IndexError) as error:
                failure = error if isinstance(error, MinkaError) else MinkaError(str(error))
                node.send(Frame(FrameType.FAILURE, {**failure_fields(failure), "id": number}))
                continue
            answer = {"digest": made.digest, "size_bytes": made.size_bytes, "records": made.records}
            node.send(Frame(FrameType.REPLY, {**answer, "id": number}, encode_digests(made.unnamed)))


if __name__ == "__main__":
    main()
