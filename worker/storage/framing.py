"""What holds the entries of the log together on the disk, read again, and laid anew where it is not what was written.

Headers of segments and batches, and records that are no entries, are on no other worker. But what is still needed of them
is known: where each entry stands, and that all of it is durable. So a damaged stretch is laid anew, without moving an entry:

    batch header | filler | entry | entry | filler | ...

Fillers stand where nothing is needed any more: entries that the log has given up, or term, vote and snapshot, which the
caller has written down once more at the log's end before. Any thread, while the log holds the segment.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from shared.value import value
from worker.storage.disk import Disk, File
from worker.storage.mending import EntryPlace, checked
from worker.storage.segment import (
    BATCH_BYTES,
    HEADER_BYTES,
    MAX_BATCH_BYTES,
    RECORD_BYTES,
    LogCorrupt,
    RecordKind,
    SegmentHeader,
    SegmentReader,
    encode_batch_header,
    encode_footer,
    encode_record,
)

STEP_BYTES = 1_048_576


@value
class Extent:
    """A segment, as far as it is durable and will not change."""

    path: Path
    header: SegmentHeader
    end: int
    footer: int
    """Where it says that another segment follows; 0 if none does."""


@value
class Stretch:
    """Bytes of a segment that begin with a header and end where the next one stands."""

    start: int
    end: int


def damaged_stretch(disk: Disk, extent: Extent) -> Generator[int, None, Stretch | None]:
    """The first stretch that cannot be read as it was written; yields the bytes read so far, a megabyte at a time."""
    file = disk.open(extent.path)
    try:
        try:
            reader = SegmentReader(extent.path, file)
        except LogCorrupt:
            return Stretch(0, HEADER_BYTES)
        told = 0
        for _ in reader.batches():
            if reader.end - told >= STEP_BYTES:
                yield reader.end - told
                told = reader.end
            if reader.end >= extent.end:
                break
        yield reader.end - told
        if reader.end >= extent.end:
            return None
        limit = extent.footer if reader.end < extent.footer else extent.end
        return Stretch(reader.end, min(reader.next_header(reader.end + 1) or limit, limit))
    finally:
        file.close()


def lay_anew(disk: Disk, extent: Extent, stretch: Stretch, entries: Sequence[EntryPlace]) -> None:
    """Write `stretch` so that it can be read, with all of `entries`, which are whole, in their places; durable on return.

    Raises `LogCorrupt` if one of them is not.
    """
    file = disk.open(extent.path, write=True)
    try:
        if stretch.start == 0:
            data = extent.header.encode()
        elif stretch.start == extent.footer:
            data = encode_footer(extent.header, extent.footer)
        else:
            data = _batch(file, extent, stretch, entries)
        file.write_at(stretch.start, data)
        file.sync()
    finally:
        file.close()


def _batch(file: File, extent: Extent, stretch: Stretch, entries: Sequence[EntryPlace]) -> bytes:
    pieces: list[bytes] = []
    at = stretch.start + BATCH_BYTES
    for place in entries:
        pieces += _filler(extent.path, at, place.offset)
        record = file.read_at(place.offset, place.size_bytes)
        checked(place, record)
        pieces.append(record)
        at = place.offset + place.size_bytes
    pieces += _filler(extent.path, at, stretch.end)
    body = b"".join(pieces)
    if len(body) > MAX_BATCH_BYTES:
        raise LogCorrupt(extent.path, stretch.start, f"{len(body)} bytes are too many for one batch")
    return (
        encode_batch_header(stretch.start, stretch.start, len(pieces), len(body), extent.header.salt) + body
    )


def _filler(path: Path, start: int, end: int) -> list[bytes]:
    if start == end:
        return []
    if end - start < RECORD_BYTES:
        raise LogCorrupt(path, start, f"no record has {end - start} bytes")
    head, payload = encode_record(RecordKind.FILLER, 0, 0, bytes(end - start - RECORD_BYTES))
    return [head + payload]
