"""Every byte of the log is broken in turn while the log is open: it is found, and repaired without a new start."""

from pathlib import Path

import pytest

from tests.unit.storage.test_log import DISK, MEMBERS, entries, everything, opened, write
from worker.raft.entries import Entry, HardState, SnapshotMeta
from worker.storage import tail
from worker.storage.framing import Stretch, damaged_stretch, lay_anew
from worker.storage.log import EntryLog
from worker.storage.mending import damaged_entries, mend_entry
from worker.storage.reading import LogReader
from worker.storage.recovery import segment_path
from worker.storage.segment import HEADER_BYTES, LogCorrupt

STATE = HardState(3, "w2")
SNAPSHOT = SnapshotMeta(4, 1, MEMBERS, 7)
KEPT = [*entries(3, 4), *entries(5, 9, term=3)]


@pytest.fixture(autouse=True)
def _small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "AHEAD_BYTES", 256)
    monkeypatch.setattr(tail, "SEGMENT_BYTES", HEADER_BYTES + 700)


@pytest.fixture
def log(tmp_path: Path) -> EntryLog:
    """Two segments, with terms and votes, entries that were cut off, and entries that were given up."""
    log = opened(tmp_path)
    write(log, entries(1, 4), HardState(1, "w2"))
    write(log, entries(5, 7))
    write(log, entries(5, 6, term=3), HardState(3, None))
    write(log, (), None, SNAPSHOT, 3)
    write(log, (), STATE)
    write(log, entries(7, 9, term=3))
    assert log.segments() == [1, 2]
    return log


def found(log: EntryLog, number: int) -> Stretch | None:
    extent = log.hold(number)
    assert extent is not None
    check = damaged_stretch(DISK, extent)
    try:
        while True:
            next(check)
    except StopIteration as end:
        log.release(number)
        stretch: Stretch | None = end.value
        return stretch


def repair(log: EntryLog, number: int, known: list[Entry]) -> int:
    """As `worker.repairs` does it; how many repairs it took."""
    repairs = 0
    while (stretch := found(log, number)) is not None:
        repairs += 1
        assert repairs < 10
        places = log.within(number, stretch.start, stretch.end)
        damaged = damaged_entries(DISK, places)
        for place in places:
            if place.index in damaged:
                mend_entry(DISK, place, next(entry for entry in known if entry.index == place.index))
        if not damaged:
            batch = log.repeat()
            log.write([batch])
            log.installed(batch)
            extent = log.hold(number)
            assert extent is not None
            lay_anew(DISK, extent, stretch, places)
            log.release(number)
    return repairs


def flip(path: Path, *offsets: int) -> None:
    data = bytearray(path.read_bytes())
    for offset in offsets:
        data[offset] ^= 0x20
    path.write_bytes(data)


def assert_whole(log: EntryLog, path: Path) -> None:
    assert everything(log) == KEPT
    log.close()
    reader = LogReader(DISK, path)
    assert reader.entries(9, 10, 1 << 20) == KEPT[-1:]
    reader.close()
    again = opened(path)
    assert everything(again) == KEPT
    assert (again.hard_state, again.snapshot(), again.torn_bytes) == (STATE, SNAPSHOT, 0)
    again.close()


@pytest.mark.parametrize("number", [1, 2])
def test_a_byte_flipped_anywhere_is_found_and_repaired(log: EntryLog, tmp_path: Path, number: int) -> None:
    path = segment_path(tmp_path, number)
    assert found(log, number) is None
    extent = log.hold(number)
    assert extent is not None
    for offset in [*range(0, HEADER_BYTES, 61), *range(HEADER_BYTES, extent.end)]:
        whole = path.read_bytes()[: extent.end]
        flip(path, offset)
        assert repair(log, number, KEPT) == 1, offset
        assert everything(log) == KEPT
        if offset % 7:  # else what is laid anew stays, and is broken again
            with path.open("r+b") as file:
                file.write(whole)
    log.release(number)
    assert_whole(log, tmp_path)


def test_what_was_repaired_byte_by_byte_is_the_log_at_the_next_start(log: EntryLog, tmp_path: Path) -> None:
    for number in (1, 2):
        extent = log.hold(number)
        assert extent is not None
        log.release(number)
        for offset in range(HEADER_BYTES, extent.end, 11):
            flip(segment_path(tmp_path, number), offset)
            assert repair(log, number, KEPT) == 1
    assert_whole(log, tmp_path)


def test_many_flipped_bytes_take_as_many_repairs_as_they_need(log: EntryLog, tmp_path: Path) -> None:
    for number in (1, 2):
        extent = log.hold(number)
        assert extent is not None
        log.release(number)
        flip(segment_path(tmp_path, number), 5, *range(HEADER_BYTES, extent.end, 40))
        assert repair(log, number, KEPT) > 1
    assert_whole(log, tmp_path)


def test_zeros_where_the_log_was_are_damage(log: EntryLog, tmp_path: Path) -> None:
    path = segment_path(tmp_path, 2)
    extent = log.hold(2)
    assert extent is not None
    with path.open("r+b") as file:
        file.seek(extent.header.opening_end)
        file.write(bytes(extent.end - extent.header.opening_end))
    log.release(2)
    assert repair(log, 2, KEPT)
    assert_whole(log, tmp_path)


def test_nothing_is_laid_over_an_entry_that_is_damaged(log: EntryLog, tmp_path: Path) -> None:
    (place,) = log.pin(8, 1)
    flip(place.path, place.offset + 30)
    stretch, extent = found(log, 2), log.hold(2)
    assert stretch is not None
    assert extent is not None
    before = place.path.read_bytes()
    with pytest.raises(LogCorrupt):
        lay_anew(DISK, extent, stretch, log.within(2, stretch.start, stretch.end))
    assert place.path.read_bytes() == before


def test_a_segment_that_has_gone_is_not_looked_at(log: EntryLog) -> None:
    assert log.hold(9) is None
