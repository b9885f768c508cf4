"""Every byte of the log is broken in turn: a torn tail is cut, anything else is corruption, nothing is silent."""

from pathlib import Path

import pytest

from tests.unit.storage.faulty_disk import rewrite
from tests.unit.storage.test_log import DISK, MEMBERS, entries, everything, opened, write
from worker.raft.entries import Entry, EntryKind, HardState, SnapshotMeta
from worker.storage import tail
from worker.storage.log import EntryLog
from worker.storage.recovery import segment_path
from worker.storage.segment import HEADER_BYTES, LogCorrupt


@pytest.fixture(autouse=True)
def _few_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "AHEAD_BYTES", 2048)


def abandon(log: EntryLog) -> None:
    """Leave the log as a killed process would: without the mark of `close`."""
    for segment in log._segments.values():
        segment.file.close()


def ends(path: Path, log: EntryLog) -> int:
    """Where the last batch of the only segment ends."""
    return log._tail._end


def three_batches(path: Path) -> tuple[bytearray, int, int]:
    """The bytes of a log of three batches, where the last one begins, and where it ends."""
    log = opened(path)
    write(log, entries(1, 4), HardState(1, "w2"))
    write(log, entries(5, 6))
    start = ends(path, log)
    write(log, entries(7, 8), HardState(2, None))
    end = ends(path, log)
    abandon(log)
    return bytearray(segment_path(path, 1).read_bytes()), start, end


def check_cut(path: Path) -> None:
    """The log holds its first two batches, and goes on."""
    log = opened(path)
    assert everything(log) == entries(1, 6)
    assert log.hard_state == HardState(1, "w2")
    assert log.torn_bytes > 0
    write(log, entries(7, 9, term=5))
    abandon(log)
    log = opened(path)
    assert everything(log) == entries(1, 6) + entries(7, 9, term=5)
    assert log.torn_bytes == 0
    log.close()


@pytest.mark.parametrize("missing", ["cut off", "zeros", "junk"])
def test_a_tail_torn_at_any_byte_is_cut_and_what_was_before_is_kept(tmp_path: Path, missing: str) -> None:
    data, start, end = three_batches(tmp_path)
    path = segment_path(tmp_path, 1)
    for torn in range(start + 1, end):
        match missing:
            case "cut off":
                rewrite(path, data[:torn])
            case "zeros":
                if not any(data[torn:end]):
                    continue
                rewrite(path, data[:torn] + bytes(len(data) - torn))
            case _:
                rewrite(path, data[:torn] + bytes(b ^ 0xA5 for b in data[torn:end]) + data[end:])
        check_cut(tmp_path)


def test_a_tail_whose_first_sector_never_reached_the_disk_is_cut(tmp_path: Path) -> None:
    data, start, _ = three_batches(tmp_path)
    data[start : start + 40] = bytes(40)
    rewrite(segment_path(tmp_path, 1), data)
    check_cut(tmp_path)


def test_a_bit_flipped_anywhere_before_the_last_batch_is_corruption(tmp_path: Path) -> None:
    data, start, _ = three_batches(tmp_path)
    path = segment_path(tmp_path, 1)
    for at in range(start):
        data[at] ^= 1 << at % 8
        rewrite(path, data)
        with pytest.raises(LogCorrupt, match="is damaged at byte") as caught:
            opened(tmp_path)
        if at >= HEADER_BYTES:
            assert caught.value.offset <= at
            assert caught.value.path == path
        assert path.read_bytes() == data
        data[at] ^= 1 << at % 8


def test_every_bit_of_a_few_bytes_is_guarded(tmp_path: Path) -> None:
    data, start, _ = three_batches(tmp_path)
    path = segment_path(tmp_path, 1)
    for at in range(HEADER_BYTES, start, 11):
        for bit in range(8):
            data[at] ^= 1 << bit
            rewrite(path, data)
            with pytest.raises(LogCorrupt):
                opened(tmp_path)
            data[at] ^= 1 << bit


def test_once_marked_even_the_last_batch_is_guarded(tmp_path: Path) -> None:
    """After a moment without writes, and after `close`, no damage is taken for a torn write."""
    three_batches(tmp_path)
    log = opened(tmp_path)
    start = ends(tmp_path, log)
    log.mark()
    write(log, entries(9, 9))
    log.mark()
    log.mark()
    end = ends(tmp_path, log)
    abandon(log)
    path = segment_path(tmp_path, 1)
    data = bytearray(path.read_bytes())
    for at in range(start, end):
        data[at] ^= 1 << at % 8
        rewrite(path, data)
        with pytest.raises(LogCorrupt):
            opened(tmp_path)
        data[at] ^= 1 << at % 8
    for at in range(end, end + 32):  # the mark itself holds nothing
        data[at] ^= 1 << at % 8
        rewrite(path, data)
        log = opened(tmp_path)
        assert log.last_index() == 9
        abandon(log)
        data[at] ^= 1 << at % 8


def test_a_write_torn_over_a_mark_is_cut(tmp_path: Path) -> None:
    data, start, end = three_batches(tmp_path)
    path = segment_path(tmp_path, 1)
    rewrite(path, data[:start] + bytes(len(data) - start))
    log = opened(tmp_path)
    log.mark()
    abandon(log)
    marked = bytearray(path.read_bytes())
    for kept in range(1, 33):  # the mark is 32 bytes long, and so is the header that is written over it
        rewrite(path, marked[: start + kept] + data[start + kept : end - 1])
        check_cut(tmp_path)


def test_durable_batches_that_became_zeros_are_corruption(tmp_path: Path) -> None:
    _, start, end = three_batches(tmp_path)
    path = segment_path(tmp_path, 1)
    opened(tmp_path).close()
    for low, high in ((HEADER_BYTES, start), (HEADER_BYTES, end), (1500, 1600)):
        broken = bytearray(path.read_bytes())
        broken[low:high] = bytes(high - low)
        copy = tmp_path / f"{low}-{high}"
        copy.mkdir()
        segment_path(copy, 1).write_bytes(broken)
        with pytest.raises(LogCorrupt):
            opened(copy)


def test_an_old_entry_that_rotted_is_told_when_it_is_read(tmp_path: Path) -> None:
    data, _, _ = three_batches(tmp_path)
    log = opened(tmp_path)
    at = data.index(b"1/3 ")
    data[at] ^= 1
    rewrite(segment_path(tmp_path, 1), data)
    told: list[int] = []
    log.is_damaged = told.append
    assert log.entries(1, 9, 1 << 20) == entries(1, 2)
    assert told == []
    with pytest.raises(LogCorrupt, match="entry 3 does not match") as caught:
        log.entries(3, 9, 1 << 20)
    assert caught.value.offset < at
    assert told == [3]
    log.close()


def test_a_copy_of_the_log_stored_in_the_log_proves_nothing(tmp_path: Path) -> None:
    data, _, end = three_batches(tmp_path)
    log = opened(tmp_path)
    opened(tmp_path / "other").close()
    copies = bytes(data[:end]) + segment_path(tmp_path / "other", 1).read_bytes()[:4096]
    write(log, [Entry(2, 9, EntryKind.COMMAND, copies + b"MBAT" * 1000)])
    last = ends(tmp_path, log)
    abandon(log)
    path = segment_path(tmp_path, 1)
    torn = bytearray(path.read_bytes())
    torn[last - 1] ^= 1
    rewrite(path, torn)
    log = opened(tmp_path)
    assert log.last_index() == 8
    log.close()


# --- whole files


def seven_segments(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    monkeypatch.setattr(tail, "SEGMENT_BYTES", 2_000)
    log = opened(path)
    for index in range(1, 120, 2):
        write(log, entries(index, index + 1))
    log.close()
    numbers = [int(name[:16], 16) for name in DISK.list(path)]
    assert len(numbers) >= 5
    return numbers


def test_a_lost_segment_is_missed_whichever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in seven_segments(tmp_path, monkeypatch):
        path = segment_path(tmp_path, number)
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(LogCorrupt, match="missing"):
            opened(tmp_path)
        path.write_bytes(data)
    opened(tmp_path).close()


def test_a_segment_that_is_cut_or_swapped_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = seven_segments(tmp_path, monkeypatch)
    for number in numbers[:-1]:
        path = segment_path(tmp_path, number)
        data = path.read_bytes()
        following = segment_path(tmp_path, number + 1).read_bytes()
        for broken in (data[:0], data[:500], data[:1500], data[: len(data.rstrip(b"\0")) - 30], following):
            rewrite(path, broken)
            with pytest.raises(LogCorrupt):
                opened(tmp_path)
        rewrite(path, data)
    opened(tmp_path).close()


def test_a_bit_flipped_anywhere_in_an_older_segment_is_corruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = seven_segments(tmp_path, monkeypatch)
    for number in (numbers[0], numbers[-2]):
        path = segment_path(tmp_path, number)
        data = bytearray(path.read_bytes())
        for at in range(0, len(data.rstrip(b"\0")), 3):
            data[at] ^= 1 << at % 8
            rewrite(path, data)
            with pytest.raises(LogCorrupt):
                opened(tmp_path)
            data[at] ^= 1 << at % 8
        rewrite(path, data)


def test_lost_first_segments_are_missed_after_a_snapshot_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seven_segments(tmp_path, monkeypatch)
    log = opened(tmp_path)
    write(log, snapshot=SnapshotMeta(60, 1, MEMBERS), keep_from=60)
    write(log, entries(121, 121))
    log.close()
    names = DISK.list(tmp_path)
    opened(tmp_path).close()
    (tmp_path / names[0]).unlink()
    with pytest.raises(LogCorrupt, match="first segments are missing"):
        opened(tmp_path)
