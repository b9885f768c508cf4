"""The end of the log, where the log-writer thread writes. Nothing here is touched by any other thread."""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from worker.raft.entries import Entry, HardState
from worker.storage.disk import Disk, DiskFailed, DiskFull
from worker.storage.identity import Identity
from worker.storage.recovery import Recovered, Segment, create_segment, segment_path, write_footer
from worker.storage.segment import (
    BATCH_BYTES,
    MAX_BATCH_BYTES,
    Compaction,
    encode_batch_header,
)

SEGMENT_BYTES = 64 * 1_048_576
"""A segment is rolled over by the first write after it has grown to this."""

COMPACTED_BYTES = 4 * 1_048_576
"""As `SEGMENT_BYTES`, for a write that compacts: what stands before it is given up with the next one or two."""

AHEAD_BYTES = 1_048_576
"""Zeros laid after the end, so that most writes change neither the file's length nor its extents.

Measured on ext4 with fdatasync after each write: 4 KiB 0.11 ms instead of 0.18 ms, 68 KiB 0.25 ms instead of 0.33 ms
(means, the laying included). More zeros at once did not help and made single writes slow (16 MiB: 40 ms);
posix_fallocate did not help, since the first write to each extent still changes it.
"""


class Batch:
    """What one `Ready` has to make durable, encoded. Made by the node thread, written by the log-writer thread."""

    __slots__ = (
        "compaction",
        "entries",
        "hard_state",
        "offset",
        "offsets",
        "pieces",
        "records",
        "segment",
        "size_bytes",
    )

    def __init__(
        self,
        hard_state: HardState | None,
        compaction: Compaction | None,
        entries: Sequence[Entry],
        pieces: list[bytes],
        offsets: list[int],
        size_bytes: int,
    ) -> None:
        self.hard_state = hard_state
        self.compaction = compaction
        self.entries = entries
        self.pieces = pieces
        self.offsets = offsets
        """Where each entry's record begins, within the batch."""
        self.size_bytes = size_bytes
        self.records = len(pieces) // 2
        self.segment = 0
        self.offset = 0
        """Where the batch's first record stands, once it is written."""

    def __repr__(self) -> str:
        entries = f"{self.entries[0].index} to {self.entries[-1].index}" if self.entries else "no entries"
        return f"Batch({self.hard_state}, {entries}, {self.size_bytes} bytes)"


class Tail:
    """Appends to the last segment and makes new ones; `made` is told of each."""

    def __init__(
        self, disk: Disk, path: Path, owner: Identity, found: Recovered, made: Callable[[Segment], None]
    ) -> None:
        self._disk = disk
        self._path = path
        self._owner = owner
        self._made = made
        self._segment = found.segments[-1]
        self._end = found.end
        self._zeroed_to = self._segment.file.size()
        self._hard_state = found.hard_state
        self._compaction = found.compaction
        self._next_index = found.positions.last_index + 1
        self._zeros = bytes(AHEAD_BYTES)
        self._failed: DiskFailed | None = None
        self._marked = False
        self.retired: deque[Segment] = deque()
        """Segments that the node thread no longer reads: closed and removed, oldest first, at the next write."""

    def write(self, batches: Sequence[Batch]) -> None:
        """Make all of `batches` durable with one write and one sync.

        Raises `DiskFull`: nothing was written, and the same batches may be tried again; `DiskFailed`: nobody knows
        what was written, and every later call raises it again.
        """
        if self._failed is not None:
            raise self._failed
        try:
            self._remove_retired()
            if not any(batch.records for batch in batches):
                return
            compacts = any(batch.compaction is not None for batch in batches)
            if self._end >= (COMPACTED_BYTES if compacts else SEGMENT_BYTES):
                self._roll()
            data = self._encode(batches)
            try:
                self._segment.file.write_at(self._end, data)
            except DiskFull:
                self._cut()
                raise
            self._marked = False
            end = self._end + len(data)
            self._lay_zeros(end, len(data))
            self._segment.file.sync()
        except DiskFailed as error:
            self._failed = error
            raise
        self._end = end
        for batch in batches:
            self._remember(batch)

    def mark(self) -> None:
        """Leave a note after the end, not made durable itself, that all before it is: damage is then never taken for a
        torn write. Cheap; worth it whenever there is nothing else to write. The next write goes over it.
        """
        if self._failed is not None or self._marked:
            return
        header = encode_batch_header(self._end, self._end, 0, 0, self._segment.header.salt)
        try:
            self._segment.file.write_at(self._end, header)
            self._marked = True
        except DiskFull:
            self._cut()
        except DiskFailed as error:
            self._failed = error
            raise
        self._zeroed_to = max(self._zeroed_to, self._end + len(header))

    def close(self) -> None:
        """Mark the end durably, if the disk still works. The files are closed by the log."""
        if self._failed is None:
            self.mark()
            self._segment.file.sync()

    def _encode(self, batches: Sequence[Batch]) -> bytes:
        """Consecutive batches share a batch header, as long as they keep within its limit."""
        pieces: list[bytes] = []
        at = self._end
        body: list[bytes] = []
        body_bytes = records = 0
        for batch in batches:
            if body_bytes + batch.size_bytes > MAX_BATCH_BYTES:
                pieces += (self._header(at, records, body_bytes), *body)
                at += BATCH_BYTES + body_bytes
                body, body_bytes, records = [], 0, 0
            batch.segment = self._segment.header.number
            batch.offset = at + BATCH_BYTES + body_bytes
            body += batch.pieces
            body_bytes += batch.size_bytes
            records += batch.records
        pieces += (self._header(at, records, body_bytes), *body)
        return b"".join(pieces)

    def _header(self, at: int, records: int, body_bytes: int) -> bytes:
        return encode_batch_header(at, self._end, records, body_bytes, self._segment.header.salt)

    def _remember(self, batch: Batch) -> None:
        if batch.hard_state is not None:
            self._hard_state = batch.hard_state
        if batch.compaction is not None:
            self._compaction = batch.compaction
            if batch.compaction.replaces:
                self._next_index = batch.compaction.snapshot.index + 1
        if batch.entries:
            self._next_index = batch.entries[-1].index + 1

    def _lay_zeros(self, end: int, written_bytes: int) -> None:
        if end <= self._zeroed_to:
            return
        self._zeroed_to = end
        if written_bytes >= AHEAD_BYTES // 4 or end >= SEGMENT_BYTES:
            return
        with contextlib.suppress(DiskFull):  # they only save time
            self._segment.file.write_at(end, self._zeros)
            self._zeroed_to = end + len(self._zeros)

    def _cut(self) -> None:
        self._segment.file.truncate(self._end)
        self._zeroed_to = self._end
        self._marked = False

    def _roll(self) -> None:
        last = self._segment.header
        following = create_segment(
            self._disk,
            self._path,
            self._owner,
            last.number + 1,
            self._next_index,
            self._end,
            self._hard_state,
            self._compaction,
        )
        try:
            write_footer(self._segment, self._end)
        except DiskFull:
            following.file.close()
            self._cut()
            raise
        self._segment = following
        self._end = self._zeroed_to = following.header.opening_end
        self._marked = False
        self._made(following)

    def _remove_retired(self) -> None:
        while self.retired:
            segment = self.retired.popleft()
            segment.file.close()
            self._disk.remove(segment_path(self._path, segment.header.number))
            self._disk.sync_directory(self._path)
