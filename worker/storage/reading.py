"""Reads entries of the log from its segment files: for the log itself, and for whoever only reads it."""

from collections.abc import Mapping
from pathlib import Path

from worker.raft.entries import Entry, EntryKind
from worker.storage.disk import PIECE_BYTES, Disk, File
from worker.storage.positions import Positions
from worker.storage.recovery import segment_path, survey
from worker.storage.segment import RECORD_BYTES, LogCorrupt, RecordKind, checked_payload


def readable(
    positions: Positions, low: int, high: int, max_bytes: int, at_least_one: bool
) -> tuple[int, int]:
    """How many entries from `low` one read can take (same segment, about a megabyte), and their bytes of data."""
    segment, start = positions.segment(low), positions.offset(low)
    data_bytes = count = 0
    for index in range(low, high):
        size_bytes = positions.size_bytes(index)
        more = data_bytes + size_bytes - RECORD_BYTES
        if count or not at_least_one:
            offset = positions.offset(index)
            within = start <= offset and offset + size_bytes - start <= PIECE_BYTES
            if more > max_bytes or (count and not (within and positions.segment(index) == segment)):
                break
        data_bytes = more
        count += 1
    return count, data_bytes


def read(path: Path, positions: Positions, files: Mapping[int, File], low: int, high: int) -> list[Entry]:
    """Entries low, ..., high - 1, which `readable` has found together, up to the first that is damaged.

    Raises `LogCorrupt` if that is the one at `low`.
    """
    number, start = positions.segment(low), positions.offset(low)
    length = positions.offset(high - 1) + positions.size_bytes(high - 1) - start
    data = memoryview(files[number].read_at(start, length))
    where = segment_path(path, number)
    taken: list[Entry] = []
    for index in range(low, high):
        offset = positions.offset(index)
        record = data[offset - start : offset - start + positions.size_bytes(index)]
        term = positions.term(index)
        try:
            kind, payload = checked_payload(where, offset, record, term, index)
        except LogCorrupt:
            if taken:
                break
            raise
        taken.append(Entry(term, index, EntryKind(kind - RecordKind.ENTRY), payload))
    return taken


class LogReader:
    """What another process may read of a log while its owner writes on. Changes nothing.

    Entries that were committed when this was made are those of the log for good; later ones may be replaced by its owner.
    """

    def __init__(self, disk: Disk, path: Path) -> None:
        """Find all entries. Raises `LogCorrupt`; FileNotFoundError if the owner removes segments at this moment."""
        self._path = path
        found = survey(disk, path)
        self._positions = found.positions
        self._files = {segment.header.number: segment.file for segment in found.segments}

    @property
    def last_index(self) -> int:
        return self._positions.last_index

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries from `low`, at least one, as far as one read goes and below `high`. IndexError outside of the log."""
        if not self._positions.base_index < low < high <= self.last_index + 1:
            raise IndexError(
                f"entries {low} to {high - 1} of {self._positions.base_index + 1} to {self.last_index}"
            )
        count, _ = readable(self._positions, low, high, max_bytes, at_least_one=True)
        return read(self._path, self._positions, self._files, low, low + count)

    def close(self) -> None:
        for file in self._files.values():
            file.close()
