"""The records of the registry: what happened, one after the other, kept on disk rather than in memory.

A record is a JSON object with at least ``record`` (its number, from 1 without gaps) and ``index`` (of the log entry that
made it). Segments are text, for people and other tools too:

    records/0000000000000001.records     the number of the segment's first record, in decimal
    records/synced                       all records up to this number are durable

    1a2b3c4d {"record":1,"index":7,...}  one line a record: the CRC-32 of the object's bytes in hex, a space, the object

Records follow from the log, so that appending does not wait for the disk: after a crash, replay makes them again, and
those that are already here are passed over. Where segments end depends on the records alone.
"""

import json
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from worker.storage.disk import Corrupt, Disk, DiskFull, File, pieces, read_file, write_file

SEGMENT_BYTES = 4 * 1_048_576
STRIDE = 64
"""Of every so many records, one has its offset in memory."""

READ_BYTES = 65_536
MAX_RECORD_BYTES = 1_048_576
SUFFIX = ".records"
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PREFIX = 9


class RecordFile:
    """All records of this worker, in the directory `path`. The node thread owns it; `sync` may run on another."""

    def __init__(self, disk: Disk, path: Path) -> None:
        """Open, and cut what an unfinished write left. Raises `Corrupt` if records are damaged that were durable."""
        self._disk = disk
        self._path = path
        disk.make_directory(path)
        self._firsts = array("Q", sorted(int(n[:16]) for n in disk.list(path) if n.endswith(SUFFIX)))
        self._offsets: dict[int, array[int]] = {}
        self._synced = self._read_synced()
        self._last = 0
        self._last_index = 0
        self._size_bytes = 0
        self._recover()
        self._file = disk.open(self._segment(self._firsts[-1]), write=True)

    @property
    def last(self) -> int:
        """The number of the last record, 0 if there is none."""
        return self._last

    @property
    def last_index(self) -> int:
        """The log index of the last record, 0 if there is none."""
        return self._last_index

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Add records in order of number; those that are here already are passed over.

        ValueError for a gap, or a record that is too long; `DiskFull`: the rest was not added, append it again.
        """
        lines: list[bytes] = []
        start = at = self._size_bytes
        last, last_index = self._last, self._last_index
        for record in records:
            number = record["record"]
            if number <= last:
                continue
            if number != last + 1:
                raise ValueError(f"record {number} after {last}")
            line = _encode(record)
            if at >= SEGMENT_BYTES:
                self._write(lines, start, last, last_index)
                self._roll()
                lines, start, at = [], 0, 0
            lines.append(line)
            at += len(line)
            last, last_index = number, record["index"]
        self._write(lines, start, last, last_index)

    def read(self, after: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` records with numbers above `after`. Raises `Corrupt` if they are not what was written."""
        taken: list[dict[str, Any]] = []
        number = max(after, 0) + 1
        until = min(number + limit, self._last + 1)
        while number < until:
            at = bisect_right(self._firsts, number) - 1
            first = self._firsts[at]
            following = self._firsts[at + 1] if at + 1 < len(self._firsts) else until
            taken += self._read_segment(first, number, min(until, following))
            number = min(until, following)
        return taken

    def tail(self, count: int) -> list[dict[str, Any]]:
        """The last `count` records."""
        return self.read(max(self._last - count, 0), count)

    def sync(self) -> None:
        """Make durable what has been appended so far; before a snapshot stands for the entries that made it."""
        last, firsts = self._last, tuple(self._firsts)
        if last <= self._synced:
            return
        for first in firsts[max(bisect_right(firsts, self._synced + 1) - 1, 0) :]:
            file = self._disk.open(self._segment(first), write=True)
            try:
                file.sync()
            finally:
                file.close()
        self._disk.sync_directory(self._path)
        write_file(self._disk, self._path / "synced", f"{last}\n".encode())
        self._synced = last

    def close(self) -> None:
        self._file.close()

    # --- opening

    def _read_synced(self) -> int:
        path = self._path / "synced"
        try:
            return int(read_file(self._disk, path, 32))
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise Corrupt(path, 0, "it is not a number") from error

    def _recover(self) -> None:
        """Check the segments from the one that holds the last durable record on; cut at the first bad line."""
        if not self._firsts:
            self._firsts.append(1)
            self._disk.open(self._segment(1), write=True).close()
        start = max(bisect_right(self._firsts, self._synced) - 1, 0)
        for at in range(start, len(self._firsts)):
            if at > start and self._firsts[at] != self._last + 1:
                self._drop_from(at)
                break
            if not self._check(self._firsts[at]):
                self._drop_from(at + 1)
                break
        if self._firsts[0] != 1 or self._last < self._synced:
            raise Corrupt(self._path, 0, f"records are damaged or missing, of {self._synced} durable ones")

    def _check(self, first: int) -> bool:
        """Learn from a segment which record is the last; False if what follows its last good line had to be cut off."""
        number, offset, last_line, marks = first - 1, 0, b"", array("I")
        file = self._disk.open(self._segment(first), write=True)
        try:
            for line in _lines(file, 0):
                if not is_sound(line):
                    break
                number += 1
                if (number - first) % STRIDE == 0:
                    marks.append(offset)
                offset += len(line)
                last_line = line
            whole = offset == file.size()
            if not whole and number >= self._synced:
                file.truncate(offset)
        finally:
            file.close()
        self._offsets[first] = marks
        self._last, self._size_bytes = number, offset
        if last_line:
            self._last_index = json.loads(text_of(last_line))["index"]
        return whole

    def _drop_from(self, at: int) -> None:
        if self._last < self._synced:
            return  # not a torn write: nothing is touched
        for first in reversed(self._firsts[at:]):
            self._disk.remove(self._segment(first))
        del self._firsts[at:]

    # --- reading and writing

    def _segment(self, first: int) -> Path:
        return self._path / f"{first:016d}{SUFFIX}"

    def _write(self, lines: list[bytes], start: int, last: int, last_index: int) -> None:
        """Add whole lines to the last segment, or nothing."""
        if not lines:
            return
        data = b"".join(lines)
        try:
            self._file.write_at(start, data)
        except DiskFull:
            self._file.truncate(start)
            raise
        first, offset = self._firsts[-1], start
        for number, line in enumerate(lines, self._last + 1):
            if (number - first) % STRIDE == 0:
                self._offsets[first].append(offset)
            offset += len(line)
        self._size_bytes = offset
        self._last, self._last_index = last, last_index

    def _roll(self) -> None:
        first = self._last + 1
        file = self._disk.open(self._segment(first), write=True)
        self._file.close()
        self._file = file
        self._firsts.append(first)
        self._offsets[first] = array("I")
        self._size_bytes = 0

    def _read_segment(self, first: int, low: int, high: int) -> list[dict[str, Any]]:
        """Records low to high - 1 of the segment that begins with record `first`."""
        path = self._segment(first)
        file = self._disk.open(path)
        taken: list[dict[str, Any]] = []
        try:
            marks = self._marks(first, file)
            mark = min((low - first) // STRIDE, max(len(marks) - 1, 0))
            number, offset = first + mark * STRIDE, marks[mark] if marks else 0
            for line in _lines(file, offset):
                if number >= low:
                    if not is_sound(line):
                        break
                    taken.append(json.loads(text_of(line)))
                    if taken[-1]["record"] != number:
                        break
                number += 1
                offset += len(line)
                if number == high:
                    return taken
        finally:
            file.close()
        raise Corrupt(path, offset, f"record {number} cannot be read")

    def _marks(self, first: int, file: File) -> "array[int]":
        marks = self._offsets.get(first)
        if marks is None:
            marks = self._offsets[first] = array("I")
            offset = 0
            for at, line in enumerate(_lines(file, 0)):
                if at % STRIDE == 0:
                    marks.append(offset)
                offset += len(line)
        return marks


def _encode(record: Mapping[str, Any]) -> bytes:
    text = _to_json(record).encode()
    if len(text) > MAX_RECORD_BYTES:
        raise ValueError(f"record {record['record']} has {len(text)} bytes, above {MAX_RECORD_BYTES}")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def text_of(line: bytes) -> bytes:
    """The JSON of a line."""
    return line[_PREFIX:]


def is_sound(line: bytes) -> bool:
    """Whether a line, with its end, is what was written."""
    return line[-1:] == b"\n" and line[:_PREFIX] == b"%08x " % zlib.crc32(line[_PREFIX:-1])


def _lines(file: File, start: int) -> Iterator[bytes]:
    """The lines from byte `start`, each with its end; the last one may lack it."""
    rest = b""
    for piece in pieces(file, start, READ_BYTES):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if rest:
        yield rest
