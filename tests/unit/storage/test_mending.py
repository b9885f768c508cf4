"""A flipped byte in the log is found where it stands, and written anew from an equal entry."""

from pathlib import Path

import pytest

from tests.unit.storage.test_log import DISK, entries, everything, opened, write
from worker.raft.entries import Entry, EntryKind, Membership, SnapshotMeta
from worker.storage import tail
from worker.storage.log import EntryLog, LogCorrupt
from worker.storage.mending import mend_entry, read_entry

LIMIT = 1 << 20


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0x10]))


@pytest.fixture
def log(tmp_path: Path) -> EntryLog:
    log = opened(tmp_path)
    write(log, entries(1, 9))
    return log


def test_every_entry_is_read_again_from_the_disk(log: EntryLog) -> None:
    places = log.pin(1, LIMIT)
    assert [read_entry(DISK, place) for place in places] == entries(1, 9)
    assert [place.index for place in log.pin(4, 1)] == [4]
    with pytest.raises(IndexError):
        log.pin(10, LIMIT)


@pytest.mark.parametrize("at", range(0, 45, 4))
def test_a_flipped_byte_anywhere_in_a_record_is_found_and_mended(
    log: EntryLog, tmp_path: Path, at: int
) -> None:
    place = log.pin(5, 1)[0]
    assert at < place.size_bytes
    flip(place.path, place.offset + at)
    with pytest.raises(LogCorrupt):
        read_entry(DISK, place)
    mend_entry(DISK, place, entries(5, 5)[0])
    assert read_entry(DISK, place) == entries(5, 5)[0]
    log.close()
    assert everything(opened(tmp_path)) == entries(1, 9)


@pytest.mark.parametrize(
    "other",
    [
        Entry(2, 5, EntryKind(2), b"x" * 20),
        Entry(1, 4, EntryKind(2), b"x" * 20),
        Entry(1, 5, EntryKind(2), b"x"),
    ],
)
def test_nothing_but_the_same_entry_is_written_into_a_place(log: EntryLog, other: Entry) -> None:
    place = log.pin(5, 1)[0]
    with pytest.raises(LogCorrupt):
        mend_entry(DISK, place, other)
    assert read_entry(DISK, place) == entries(5, 5)[0]


def test_a_segment_that_is_read_again_outlives_its_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "SEGMENT_BYTES", 1)
    log = opened(tmp_path)
    for index in range(1, 6):
        write(log, entries(index, index))
    places = log.pin(1, LIMIT)
    write(log, (), None, SnapshotMeta(5, 1, Membership(frozenset({"w1"})), 7), 5)
    write(log, entries(6, 6))
    assert [read_entry(DISK, place) for place in places] == entries(1, 5)
    log.unpin(places)
    write(log, entries(7, 7))
    assert not places[0].path.exists()
