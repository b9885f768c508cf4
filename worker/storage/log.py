"""The replicated log on this worker's disk: what the consensus core reads, and what must be durable before it promises.

Duties of the caller, in this order for every `Ready` that has something to persist:

1. node thread:        ``batch = log.prepare(hard_state, entries)``
2. log-writer thread:  ``log.write([batch, ...])``: one write and one sync for all that wait
3. node thread:        ``log.installed(batch)``, in the order of `write`; from now on the entries can be read

Only `write`, `mark` belong to the log-writer thread; all else belongs to the node thread. Reads need no lock: a segment's
bytes are not changed once they are installed, and new ones are only added.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from shared.errors import Refused
from worker.raft.entries import Entry, HardState, SnapshotMeta
from worker.storage.disk import Disk
from worker.storage.framing import Extent
from worker.storage.identity import Identity
from worker.storage.mending import EntryPlace
from worker.storage.reading import read, readable
from worker.storage.recent import RecentEntries
from worker.storage.recovery import Recovered, Segment, compact, recover, segment_path
from worker.storage.segment import (
    FOOTER_BYTES,
    MAX_BATCH_BYTES,
    RECORD_BYTES,
    Compaction,
    LogCorrupt,
    encode_entry,
    encode_hard_state,
    encode_snapshot,
)
from worker.storage.tail import Batch, Tail

__all__ = ["Batch", "EntryLog", "LogCorrupt"]

PIN_LIMIT = 256
"""Entries in one go: the node thread has other things to do."""
CACHE_BYTES = 64 * 1_048_576


class EntryLog:
    """Implements `worker.raft.storage.LogStorage` on segment files; made by `open`."""

    def __init__(self, disk: Disk, path: Path, owner: Identity, found: Recovered, cache_bytes: int) -> None:
        self._path = path
        self._positions = found.positions
        self._compaction = found.compaction
        self._hard_state = self._prepared_state = found.hard_state
        self._prepared_compaction = found.compaction
        self._recent = RecentEntries(cache_bytes)
        self._segments = {segment.header.number: segment for segment in found.segments}
        self._files = {number: segment.file for number, segment in self._segments.items()}
        self._tail = Tail(disk, path, owner, found, self._add_segment)
        self._ends = {found.segments[-1].header.number: found.end}
        """How far the last segment is durable, and others were when they were it."""
        self._pins: Counter[int] = Counter()
        """Segments that somebody reads on another thread, and for how many entries."""
        self.torn_bytes = found.torn_bytes
        """How much of an unfinished write `open` cut off."""
        self.repaired = tuple(found.repaired)
        """What else `open` put in order, in words."""
        self.is_damaged: Callable[[int], None] = lambda index: None
        """Told of an entry that was to be read, and is not what was written."""
        self._retire()

    @classmethod
    def open(cls, disk: Disk, path: Path, owner: Identity, *, cache_bytes: int = CACHE_BYTES) -> "EntryLog":
        """The log in the directory `path`; a new one if there is none and `owner` is not established yet.

        Raises `LogCorrupt` if anything that was durable is damaged or gone, `Refused` if the log is another owner's.
        The caller holds the data directory's lock.
        """
        return cls(disk, path, owner, recover(disk, path, owner), cache_bytes)

    def __repr__(self) -> str:
        return (
            f"EntryLog({str(self._path)!r}, {self.first_index()} to {self.last_index()}, {self._hard_state})"
        )

    # --- what the core reads (node thread)

    @property
    def hard_state(self) -> HardState:
        """Term and vote, as they are durable."""
        return self._hard_state

    def first_index(self) -> int:
        """The index of the first entry that is still there: 1 before any compaction."""
        return self._positions.base_index + 1

    def last_index(self) -> int:
        """The index of the last durable entry; ``first_index() - 1`` if there is none."""
        return self._positions.last_index

    def term(self, index: int) -> int:
        """The term at `index`, from ``first_index() - 1`` to `last_index()`; IndexError for any other."""
        return self._positions.term(index)

    def snapshot(self) -> SnapshotMeta:
        """The newest snapshot that the log knows of; index 0 for one never taken."""
        return self._compaction.snapshot

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low, ..., high - 1 in order: at least the first, then as many as keep their data within `max_bytes`.

        Recent ones come from memory, older ones from disk, up to the first that is no longer what was written. IndexError
        outside of the log; `LogCorrupt` if that is the one at `low`.
        """
        if not self.first_index() <= low < high <= self.last_index() + 1:
            raise IndexError(f"entries {low} to {high - 1} of {self.first_index()} to {self.last_index()}")
        if low >= self._recent.first and len(self._recent):
            return self._recent.between(low, high, max_bytes)
        taken: list[Entry] = []
        while low < high:
            count, data_bytes = readable(self._positions, low, high, max_bytes, not taken)
            if not count:
                break
            try:
                found = read(self._path, self._positions, self._files, low, low + count)
            except LogCorrupt:
                if taken:
                    break
                self.is_damaged(low)
                raise
            taken += found
            if len(found) < count:
                break
            low += count
            max_bytes -= data_bytes
        return taken

    def pin(self, low: int, limit_bytes: int) -> list[EntryPlace]:
        """Where the entries from `low` on stand on the disk: at least one, as many as keep within `limit_bytes`, few enough.

        For whoever reads them there again, on another thread; their segments stay until `unpin`. IndexError outside of the
        log.
        """
        if not self.first_index() <= low <= self.last_index():
            raise IndexError(f"entry {low} of {self.first_index()} to {self.last_index()}")
        found: list[EntryPlace] = []
        for index in range(low, min(low + PIN_LIMIT, self.last_index() + 1)):
            size_bytes = self._positions.size_bytes(index)
            limit_bytes -= size_bytes
            if found and limit_bytes < 0:
                break
            found.append(self._place(index))
        self._pins.update(place.segment for place in found)
        return found

    def _place(self, index: int) -> EntryPlace:
        positions = self._positions
        segment, offset = positions.segment(index), positions.offset(index)
        path = segment_path(self._path, segment)
        return EntryPlace(segment, path, offset, positions.size_bytes(index), positions.term(index), index)

    def unpin(self, places: Sequence[EntryPlace]) -> None:
        """Nobody reads them any more."""
        self._pins.subtract(place.segment for place in places)
        self._pins = +self._pins
        self._retire()

    def segments(self) -> list[int]:
        """The numbers of the segments that there are, oldest first."""
        return sorted(self._segments)

    def hold(self, number: int) -> Extent | None:
        """What is durable of this segment, which stays until `release`; None if it has gone."""
        segment = self._segments.get(number)
        if segment is None:
            return None
        self._pins[number] += 1
        path = segment_path(self._path, number)
        following = self._segments.get(number + 1)
        if following is not None:
            footer = following.header.previous_end
            return Extent(path, segment.header, footer + FOOTER_BYTES, footer)
        return Extent(path, segment.header, self._ends.get(number, segment.header.opening_end), 0)

    def release(self, number: int) -> None:
        """Nobody reads this segment any more."""
        self._pins[number] -= 1
        self._pins = +self._pins
        self._retire()

    def within(self, number: int, start: int, end: int) -> list[EntryPlace]:
        """Where the entries stand whose records begin in segment `number` from byte `start` on, and before `end`."""
        return [self._place(index) for index in self._positions.within(number, start, end)]

    def remembered(self, index: int) -> Entry | None:
        """Entry `index`, if it is still in memory."""
        return self._recent.at(index)

    # --- writing

    def prepare(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None = None,
        keep_from: int | None = None,
    ) -> Batch:
        """Encode what has to become durable (node thread).

        With `snapshot` the entries below `keep_from` (durable here, at most one after the snapshot's index) are given
        up; without `keep_from` the snapshot came from the leader, and replaces the whole log. `Refused` if it is too large.
        """
        compaction = None if snapshot is None else self._compaction_to(snapshot, keep_from)
        return self._encoded(hard_state, compaction, entries)

    def repeat(self) -> Batch:
        """What has been prepared last of term, vote and snapshot, once more: what the log says of them earlier may go."""
        return self._encoded(self._prepared_state, replace(self._prepared_compaction, replaces=False), ())

    def _encoded(
        self, hard_state: HardState | None, compaction: Compaction | None, entries: Sequence[Entry]
    ) -> Batch:
        pieces: list[bytes] = []
        offsets: list[int] = []
        if hard_state is not None:
            pieces += encode_hard_state(hard_state)
        if compaction is not None:
            pieces += encode_snapshot(compaction)
        at = sum(map(len, pieces))
        for entry in entries:
            offsets.append(at)
            pieces += encode_entry(entry)
            at += RECORD_BYTES + len(entry.data)
        if at > MAX_BATCH_BYTES:
            raise Refused(f"A batch of {at} bytes is above the log's limit of {MAX_BATCH_BYTES}.")
        self._prepared_state = hard_state or self._prepared_state
        self._prepared_compaction = compaction or self._prepared_compaction
        return Batch(hard_state, compaction, entries, pieces, offsets, at)

    def write(self, batches: Sequence[Batch]) -> None:
        """Make `batches` durable, in order, with one write and one sync (log-writer thread).

        Raises `DiskFull`: the log is as it was, and the same batches may be written again once there is space;
        `DiskFailed`: the log refuses everything from now on, and the process must end.
        """
        self._tail.write(batches)

    def mark(self) -> None:
        """Note after the end that all before it is durable (log-writer thread, when there is nothing to write)."""
        self._tail.mark()

    def installed(self, batch: Batch) -> None:
        """Show what `write` made durable (node thread, in the order of writing); a lower index cuts what was after it."""
        if batch.hard_state is not None:
            self._hard_state = batch.hard_state
        if batch.compaction is not None:
            self._compaction = batch.compaction
            compact(self._positions, batch.compaction)
            if batch.compaction.replaces:
                self._recent.clear()
            self._recent.forget_below(self.first_index())
        if batch.records:
            self._ends[batch.segment] = batch.offset + batch.size_bytes
        append, cache = self._positions.append, self._recent.append
        for entry, offset in zip(batch.entries, batch.offsets, strict=True):
            size_bytes = RECORD_BYTES + len(entry.data)
            append(entry.index, entry.term, batch.segment, batch.offset + offset, size_bytes)
            cache(entry)
        if batch.compaction is not None:
            self._retire()

    def close(self) -> None:
        """Close the files (either thread, once the other has ended). Nothing waits to be written: `write` is durable."""
        try:
            self._tail.close()
        finally:
            for segment in (*self._segments.values(), *self._tail.retired):
                segment.file.close()

    # --- the rest

    def _add_segment(self, segment: Segment) -> None:
        self._files[segment.header.number] = segment.file
        self._segments[segment.header.number] = segment

    def _retire(self) -> None:
        """Give up the oldest segments, as long as the next one begins at or below the first entry."""
        numbers = sorted(self._segments)
        for number, following in itertools.pairwise(numbers):
            if number in self._pins or self._segments[following].header.first_index > self.first_index():
                break
            del self._files[number]
            self._ends.pop(number, None)
            self._tail.retired.append(self._segments.pop(number))

    def _compaction_to(self, snapshot: SnapshotMeta, keep_from: int | None) -> Compaction:
        if keep_from is None:
            return Compaction(snapshot, snapshot.index, snapshot.term, True)
        if not self.first_index() <= keep_from <= snapshot.index + 1:
            raise ValueError(f"a log that begins at {self.first_index()}, cut to {keep_from} with {snapshot}")
        return Compaction(snapshot, keep_from - 1, self.term(keep_from - 1), False)
