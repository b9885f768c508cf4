"""Reads a log's segments from first to last, tells torn tails from corruption, and leaves the log ready to write on."""

import itertools
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.raft.entries import EntryKind, HardState
from worker.storage.disk import Disk, File, write_file
from worker.storage.identity import Identity
from worker.storage.positions import Positions
from worker.storage.segment import (
    BATCH_BYTES,
    HEADER_BYTES,
    NOTHING_COMPACTED,
    Compaction,
    LogCorrupt,
    Record,
    RecordKind,
    SegmentHeader,
    SegmentReader,
    decode_hard_state,
    decode_snapshot,
    encode_batch_header,
    encode_footer,
    encode_hard_state,
    encode_snapshot,
)

_NAME = re.compile(r"[0-9a-f]{16}\.log")
_ENTRY_KINDS = frozenset(RecordKind.ENTRY + kind for kind in EntryKind)
_LOST = "The log lost durable entries; it must be repaired from the other workers."


def segment_path(path: Path, number: int) -> Path:
    return path / f"{number:016x}.log"


@dataclass(slots=True)
class Segment:
    """A segment that exists: its header, and its file open for reading and writing."""

    header: SegmentHeader
    file: File


@dataclass(slots=True)
class Recovered:
    """The log as it was found; `segments` from the oldest, `end` is where the last one is to be written on."""

    positions: Positions = field(default_factory=Positions)
    hard_state: HardState = field(default_factory=HardState)
    compaction: Compaction = NOTHING_COMPACTED
    segments: list[Segment] = field(default_factory=list)
    end: int = 0
    filler: tuple[int, Record] | None = None
    """The last one, and its segment: entries may be missing behind it that are needed no more."""
    torn_bytes: int = 0
    """How much of an unfinished write was cut off the end."""
    repaired: list[str] = field(default_factory=list)
    """What else was put in order, in words."""


def create_segment(
    disk: Disk,
    path: Path,
    owner: Identity,
    number: int,
    first_index: int,
    previous_end: int,
    hard_state: HardState,
    compaction: Compaction,
) -> Segment:
    """A new segment that begins with what has to outlive the older ones; durable, with its name, on return."""
    repeated = replace(compaction, replaces=False)  # else it would drop the entries before this segment
    body = b"".join(encode_hard_state(hard_state) + encode_snapshot(repeated))
    opening_end = HEADER_BYTES + BATCH_BYTES + len(body)
    header = SegmentHeader(owner, number, first_index, previous_end, opening_end, secrets.randbits(32))
    batch = encode_batch_header(HEADER_BYTES, HEADER_BYTES, 2, len(body), header.salt) + body
    write_file(disk, segment_path(path, number), header.encode() + batch)
    return Segment(header, disk.open(segment_path(path, number), write=True))


def write_footer(segment: Segment, end: int) -> None:
    """Say at `end`, durably, that another segment goes on."""
    segment.file.write_at(end, encode_footer(segment.header, end))
    segment.file.sync()


def recover(disk: Disk, path: Path, owner: Identity) -> Recovered:
    """Open the log in the directory `path`, or make it if `owner` has not been established yet.

    A torn tail is cut. Raises `LogCorrupt` if anything durable is damaged or gone (nothing is changed then), `Refused`
    if the log belongs to another owner or a newer program.
    """
    disk.make_directory(path)
    found = Recovered()
    try:
        numbers = _segment_numbers(disk, path, owner)
        if not numbers:
            found.segments.append(
                create_segment(disk, path, owner, 1, 1, 0, found.hard_state, found.compaction)
            )
            found.end = found.segments[0].header.opening_end
            return found
        for number in numbers:
            found.segments.append(_open_segment(disk, segment_path(path, number), owner, number))
        _read_segments(path, found)
        _settle(disk, path, found)
    except BaseException:
        for segment in found.segments:
            segment.file.close()
        raise
    return found


def _settle(disk: Disk, path: Path, found: Recovered) -> None:
    """Make durable what was read: a process that was killed may have written it, or named it, without a sync."""
    for segment in found.segments[
        -2:
    ]:  # the older ones were durable, footers included, before the last was written
        segment.file.sync()
    disk.sync_directory(path)


def survey(disk: Disk, path: Path) -> Recovered:
    """The log in the directory `path` as far as it can be read now, while its owner may be writing; changes nothing."""
    found = Recovered()
    confirmed = False
    try:
        for name in filter(_NAME.fullmatch, disk.list(path)):
            file = disk.open(path / name)
            header = SegmentHeader.decode(path / name, file.read_at(0, HEADER_BYTES))
            if not found.segments:
                found.positions.restart(header.first_index - 1, 0)
                confirmed = header.number == 1
            found.segments.append(Segment(header, file))
            for records in SegmentReader(path / name, file).batches():
                if records[0].kind == RecordKind.CONTINUED:
                    break
                confirmed = _apply(path / name, header, records, found, confirmed)
    except BaseException:
        for segment in found.segments:
            segment.file.close()
        raise
    return found


def _segment_numbers(disk: Disk, path: Path, owner: Identity) -> list[int]:
    names = disk.list(path)
    for name in names:
        if name.endswith(".log.new"):  # never got its name: nothing in it was promised
            disk.remove(path / name)
    numbers = [int(name[:16], 16) for name in names if _NAME.fullmatch(name)]
    if not numbers and owner.established:
        raise LogCorrupt(path, 0, "the whole log is missing", _LOST)
    for before, after in itertools.pairwise(numbers):
        if after != before + 1:
            raise LogCorrupt(segment_path(path, before + 1), 0, "this segment is missing", _LOST)
    return numbers


def _open_segment(disk: Disk, path: Path, owner: Identity, number: int) -> Segment:
    file = disk.open(path, write=True)
    try:
        header = SegmentHeader.decode(path, file.read_at(0, HEADER_BYTES))
        owner.check(path, header.owner)
        if header.number != number:
            raise LogCorrupt(path, 16, f"segment {header.number} stands in its place", _LOST)
    except BaseException:
        file.close()
        raise
    return Segment(header, file)


def _read_segments(path: Path, found: Recovered) -> None:
    first = found.segments[0].header
    found.positions.restart(first.first_index - 1, 0)
    confirmed = first.number == 1
    for i, segment in enumerate(found.segments):
        where = segment_path(path, segment.header.number)
        reader = SegmentReader(where, segment.file)
        data_end = footer = 0
        for records in reader.batches():
            if records[0].kind == RecordKind.CONTINUED:
                footer = reader.end
                break
            confirmed = _apply(where, segment.header, records, found, confirmed)
        data_end = footer or reader.end
        if i == len(found.segments) - 1:
            if footer:
                missing = segment_path(path, segment.header.number + 1)
                raise LogCorrupt(missing, 0, "this last segment is missing", _LOST)
            _end_last(segment, reader, found)
        else:
            _end_sealed(where, reader, data_end, bool(footer), found.segments[i : i + 2], found)
    if not confirmed:
        raise LogCorrupt(segment_path(path, first.number - 1), 0, "the first segments are missing", _LOST)


def _end_last(segment: Segment, reader: SegmentReader, found: Recovered) -> None:
    found.end = reader.end
    damage = reader.damage
    if damage is None:
        if reader.end < reader.synced:
            raise LogCorrupt(reader.path, reader.end, "durable batches are missing", _LOST)
        return
    proof = reader.proof(damage.batch)
    if proof is not None:
        raise LogCorrupt(reader.path, damage.offset, damage.what, _LOST)
    segment.file.truncate(reader.end)
    segment.file.sync()
    found.torn_bytes = reader.size - reader.end


def _end_sealed(
    where: Path, reader: SegmentReader, data_end: int, footer: bool, pair: Sequence[Segment], found: Recovered
) -> None:
    segment, following = pair
    if data_end != following.header.previous_end:
        damage = reader.damage
        what = damage.what if damage else "durable batches are missing"
        raise LogCorrupt(where, damage.offset if damage else data_end, what, _LOST)
    if footer:
        return
    # The footer is durable before anything is written after the opening of the following segment.
    if following.file.read_at(following.header.opening_end, BATCH_BYTES).strip(b"\0"):
        raise LogCorrupt(where, data_end, "the record that another segment follows is damaged", _LOST)
    write_footer(segment, data_end)
    found.repaired.append(f"{where.name} did not name its successor yet")


def _apply(
    where: Path, header: SegmentHeader, records: list[Record], found: Recovered, confirmed: bool
) -> bool:
    positions = found.positions
    for record in records:
        if record.kind in _ENTRY_KINDS:
            if not confirmed and record.log_index <= positions.base_index:
                positions.restart(record.log_index - 1, 0)
            if found.filler is not None:
                _fill(positions, found.filler, record)
            try:
                positions.append(
                    record.log_index, record.term, header.number, record.offset, record.size_bytes
                )
            except ValueError as error:
                raise LogCorrupt(where, record.offset, str(error), _LOST) from error
        elif record.kind == RecordKind.HARD_STATE:
            found.hard_state = decode_hard_state(record)
        elif record.kind == RecordKind.SNAPSHOT:
            found.compaction = decode_snapshot(record)
            compact(positions, found.compaction)
            confirmed = confirmed or found.compaction.base_index >= found.segments[0].header.first_index - 1
        elif record.kind == RecordKind.FILLER:
            found.filler = header.number, record
        else:
            raise LogCorrupt(where, record.offset, f"a record of unknown kind {record.kind}", _LOST)
    return confirmed


def _fill(positions: Positions, filler: tuple[int, Record], following: Record) -> None:
    """Entries that a filler took the place of: what comes later in the log overrides them, or gives them up."""
    segment, record = filler
    for index in range(positions.last_index + 1, following.log_index):
        positions.append(index, following.term, segment, record.offset, record.size_bytes)


def compact(positions: Positions, compaction: Compaction) -> None:
    """What a snapshot does to the log, now and when it is read again."""
    if compaction.replaces:
        positions.restart(compaction.snapshot.index, compaction.snapshot.term)
    elif compaction.base_index >= positions.base_index:  # equal: its term may not have been known
        positions.move_base(compaction.base_index, compaction.base_term)
