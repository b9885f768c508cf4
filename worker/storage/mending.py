"""Entries of the log that are read again from the disk, and written anew where it no longer holds what was written.

What stands in the place of an entry never changes (one that takes over its index has another place), so that the same bytes
may be written over it while others read. Any thread, while the log pins them.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from shared.value import value
from worker.raft.entries import Entry, EntryKind
from worker.storage.disk import Disk
from worker.storage.segment import LogCorrupt, RecordKind, checked_payload, encode_entry


@value
class EntryPlace:
    """Where the record of an entry stands: in the segment of this number, the file `path`."""

    segment: int
    path: Path
    offset: int
    size_bytes: int
    term: int
    index: int


def read_entry(disk: Disk, place: EntryPlace) -> Entry:
    """The entry, from the disk. Raises `LogCorrupt`."""
    file = disk.open(place.path)
    try:
        record = file.read_at(place.offset, place.size_bytes)
    finally:
        file.close()
    return checked(place, record)


def damaged_entries(disk: Disk, places: Sequence[EntryPlace]) -> list[int]:
    """The indexes of those entries that are not on the disk as they were written; neighbours are read together."""
    damaged: list[int] = []
    for path, run in itertools.groupby(places, key=lambda place: place.path):
        neighbours = list(run)
        start = min(place.offset for place in neighbours)
        end = max(place.offset + place.size_bytes for place in neighbours)
        file = disk.open(path)
        try:
            data = memoryview(file.read_at(start, end - start))
        finally:
            file.close()
        for place in neighbours:
            try:
                checked(place, data[place.offset - start :][: place.size_bytes])
            except LogCorrupt:
                damaged.append(place.index)
    return damaged


def checked(place: EntryPlace, record: bytes | memoryview) -> Entry:
    """The entry whose record was read at `place`. Raises `LogCorrupt`."""
    kind, data = checked_payload(place.path, place.offset, record, place.term, place.index)
    return Entry(place.term, place.index, EntryKind(kind - RecordKind.ENTRY), data)


def mend_entry(disk: Disk, place: EntryPlace, entry: Entry) -> None:
    """Write `entry` into its place, durably. Raises `LogCorrupt` if it is not the one that stood there."""
    record = b"".join(encode_entry(entry))
    if (entry.term, entry.index, len(record)) != (place.term, place.index, place.size_bytes):
        raise LogCorrupt(place.path, place.offset, f"another entry was sent in the place of {place.index}")
    file = disk.open(place.path, write=True)
    try:
        file.write_at(place.offset, record)
        file.sync()
    finally:
        file.close()
