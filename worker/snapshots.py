"""This worker's snapshots: made when the log has grown, read at the start, given to followers that are far behind.

One step after the other, and never two at once::

    log has grown -> the compaction process makes a snapshot of what is applied -> its digest is this worker's own
    -> records are durable -> the log begins after the snapshot before -> blobs that nothing names are collected

Two snapshots are kept, and the log since the older: a damaged one costs nothing, and laggards have time. Whatever either
names, or the log since the older, is kept with them.
"""

import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError
from worker.children import Children
from worker.compaction import decode_digests
from worker.raft.entries import Entry, EntryKind, Membership, SnapshotMeta
from worker.registry import commands
from worker.registry.registry import Registry
from worker.storage.disk import Corrupt, Disk
from worker.storage.identity import Identity
from worker.storage.log import EntryLog, LogCorrupt
from worker.storage.packs import Packs
from worker.storage.snapshots import SnapshotFile, SnapshotStore

if TYPE_CHECKING:
    from worker.node import Node

BLOB_SHARE = 16
"""A blob that is named counts as a part of its size when the growth of the log is measured."""
RETRY_S = 60.0
SNAPSHOTS = "snapshots"
"""The directory, within that of the worker."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A snapshot in memory; index 0 stands for none."""

    index: int
    registry: Registry
    packs: Packs


@dataclass(frozen=True, slots=True)
class _Job:
    index: int
    term: int
    membership: Membership
    digest: str
    previous: int


def newest_state(store: SnapshotStore, log: EntryLog, say: Callable[[str], None]) -> Loaded:
    """The state that the log goes on from. Raises `LogCorrupt` if the log no longer has what no snapshot has either."""
    for index in store.indexes():
        if not log.first_index() - 1 <= index <= min(log.snapshot().index, log.last_index()):
            continue  # never taken into use, or too old
        try:
            snapshot = store.open(index)
            try:
                return _loaded(snapshot)
            finally:
                snapshot.close()
        except (Corrupt, ValueError, LookupError, TypeError) as damage:
            say(f"ALARM: the snapshot at entry {index} cannot be used: {damage}")
    if log.first_index() > 1:
        raise LogCorrupt(store.path(log.snapshot().index), 0, "the snapshot before the log is lost")
    return Loaded(0, Registry(), Packs())


def open_log(disk: Disk, data: Path, owner: Identity, say: Callable[[str], None]) -> tuple[EntryLog, Loaded]:
    """The log in the directory `data`, and the state that it goes on from. Raises `LogCorrupt` for either."""
    log = EntryLog.open(disk, data / "log", owner)
    try:
        return log, newest_state(SnapshotStore(disk, data / SNAPSHOTS), log, say)
    except BaseException:
        log.close()
        raise


def _loaded(snapshot: SnapshotFile) -> Loaded:
    registry, packs = Registry(), Packs()
    for rows in snapshot.pieces():
        registry.load(packs.load(rows))
    if (registry.applied_index, registry.state_digest) != (snapshot.heading.index, snapshot.heading.digest):
        raise ValueError("it holds another state than it says")
    return Loaded(registry.applied_index, registry, packs)


class Snapshots:
    """Looks after the snapshots. Node thread only."""

    def __init__(self, node: "Node", store: SnapshotStore, found: Loaded, children: Children) -> None:
        self.store = store
        self.packs = found.packs
        self._node = node
        self._newest = found.index
        self._growth_bytes = self._growth_entries = 0
        self._not_before = 0.0
        self._job: _Job | None = None
        self._named: dict[str, int] = {}
        """Blobs that were named of late: an index at or after the last entry that does."""
        self._fresh: set[str] = set()
        """Those whose index is not known yet."""
        self._child = children.add(
            "compaction", "worker.compaction", {"data": str(node.settings.data)}, os.environ
        )
        self._child.joined = self._order
        store.keep([index for index in store.indexes() if index <= found.index][:2])

    # --- what happens meanwhile

    def named(self, digest: str) -> None:
        """An entry that is about to be in the log names this blob."""
        self._fresh.add(digest)

    def is_settled(self, digest: str) -> bool:
        """Whether every entry of the log that names this blob is applied."""
        return digest not in self._fresh and self._named.get(digest, 0) <= self._node.registry.applied_index

    def applied(self, entry: Entry) -> None:
        """The log has grown."""
        self._growth_entries += 1
        self._growth_bytes += len(entry.data)
        if entry.kind is EntryKind.COMMAND:
            self._growth_bytes += (
                sum(blob.size_bytes for blob in commands.named_blobs(entry.data)) // BLOB_SHARE
            )

    def call_off(self) -> None:
        """The leader's snapshot comes: none is made meanwhile."""
        self._job = None
        self._child.stop()

    def replaced(self, index: int, packs: Packs) -> None:
        """The leader's snapshot at `index` is this worker's state now."""
        self._newest, self.packs = index, packs
        self._growth_bytes = self._growth_entries = 0
        self.store.keep([index])

    def hurry(self) -> None:
        """There is no room: make a snapshot, if the log has grown at all, so that what nothing names any more can go."""
        if self._node.registry.applied_index > self._newest:
            self._growth_entries = max(self._growth_entries, self._node.settings.compact_entries)

    def look(self) -> None:
        """Have a snapshot made if it is time. Called between the turns of the driver."""
        if self._fresh:
            self._named |= dict.fromkeys(self._fresh, self._node.driver.core.status().last_index)
            self._fresh.clear()
        settings = self._node.settings
        grown = (
            self._growth_entries >= settings.compact_entries or self._growth_bytes >= settings.compact_bytes
        )
        if not grown or self._job is not None or self._node.loop.now < self._not_before:
            return
        if self._node.installation.busy:
            return
        registry = self._node.registry
        self._growth_bytes = self._growth_entries = 0
        self._job = _Job(
            registry.applied_index,
            self._node.entry_log.term(registry.applied_index),
            self._node.driver.core.applied_membership(),
            registry.state_digest,
            self._newest,
        )
        self._child.start()

    # --- one snapshot, step by step

    def _order(self) -> None:
        job, connection = self._job, self._child.connection
        assert connection is not None
        if job is None:
            self._child.stop()
            return
        fields = {
            "previous": job.previous,
            "index": job.index,
            "term": job.term,
            "voters": sorted(job.membership.voters),
            "learners": sorted(job.membership.learners),
            "idle_s": self._node.settings.blob_idle_s,
        }

        def came(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if job is not self._job or self._child.connection is not connection:
                return  # it was called off, or its process died: the next one makes it
            self._child.stop()
            if isinstance(answer, MinkaError):
                self._give_up(f"no snapshot could be made: {answer}")
                for number in self._node.entry_log.segments():  # it may have met damage in one of them
                    self._node.scrubber.look_at_segment(number)
            elif answer["digest"] != job.digest:
                self._give_up(f"the snapshot at entry {job.index} holds another state than this worker")
            else:
                self._made(job, answer, decode_digests(body))

        connection.call("snapshot", fields, b"", came)

    def _give_up(self, why: str) -> None:
        self._node.log(f"ALARM: {why}")
        self._job = None
        self._not_before = self._node.loop.now + RETRY_S
        self.store.keep(self._kept())

    def _made(self, job: _Job, answer: dict[str, Any], unnamed: list[str]) -> None:
        """Its packs are learned before the log is shortened, and the records durable."""
        try:
            snapshot = self.store.open(job.index)
        except (MinkaError, FileNotFoundError) as error:
            self._give_up(f"the snapshot at entry {job.index} cannot be read: {error}")
            return
        packs, pieces = Packs(), snapshot.pieces()

        def learn() -> None:
            if self._learned(pieces, packs):
                pieces.close()
                snapshot.close()
                self._node.transfers.run(self._node.records.sync, synced)
            else:
                self._node.loop.call_later(0.0, learn)

        def synced(durable: int, error: BaseException | None) -> None:
            if job is not self._job:
                return
            if error is not None or durable < int(answer["records"]):
                self._give_up(f"the records are not durable: {error or 'they wait for the disk'}")
                return
            meta = SnapshotMeta(job.index, job.term, job.membership, int(answer["size_bytes"]))
            keep_from = max(job.previous + 1, self._node.entry_log.first_index())
            self._node.driver.compact(meta, keep_from, lambda: self._compacted(job, packs, unnamed))

        learn()

    @staticmethod
    def _learned(pieces: Generator[list[list[Any]], None, None], packs: Packs) -> bool:
        """Whether all rows of packs, which come first, are read: one piece a turn."""
        rows = next(pieces, None)
        return rows is None or bool(packs.load(rows))

    def _compacted(self, job: _Job, packs: Packs, unnamed: list[str]) -> None:
        self._job = None
        self._newest, self.packs = job.index, packs
        if not self._node.installation.busy:
            self.store.keep([job.index, job.previous])
        free = [
            digest
            for digest in unnamed
            if digest not in self._fresh and self._named.get(digest, 0) <= job.index
        ]
        self._named = {digest: index for digest, index in self._named.items() if index > job.index}
        self._node.log(f"snapshot at entry {job.index}; the log begins after {job.previous}")
        idle_s = self._node.settings.blob_idle_s
        self._node.transfers.run(lambda: self._node.store.collect(free, idle_s), self._collected)

    def _collected(self, gone: list[str], error: BaseException | None) -> None:
        if error is not None:
            self._node.log(f"ALARM: blobs could not be removed: {error}")
        elif gone:
            self._node.log(f"blobs removed that nothing names any more: {len(gone)}")

    def _kept(self) -> list[int]:
        return [index for index in self.store.indexes() if index <= self._newest][:2]
