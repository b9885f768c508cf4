"""The log on real files: what was durable is there again, word for word, or the log says that it is not."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from shared.errors import Refused
from tests.unit.storage.faulty_disk import FaultyDisk, Killed
from worker.raft.entries import Entry, EntryKind, HardState, Membership, SnapshotMeta
from worker.storage import tail
from worker.storage.disk import Disk, DiskFailed, DiskFull, OsDisk
from worker.storage.identity import Identity
from worker.storage.log import EntryLog
from worker.storage.reserve import Reserve
from worker.storage.segment import MAX_ENTRY_BYTES

DISK = FaultyDisk()
ME = Identity("c1", "w1", "00" * 16)
MEMBERS = Membership(frozenset({"w1", "w2"}), frozenset({"w3"}))


def entries(first: int, last: int, term: int = 1, size_bytes: int = 20) -> list[Entry]:
    return [
        Entry(term, index, EntryKind(index % 3), f"{term}/{index} ".encode().ljust(size_bytes, b"."))
        for index in range(first, last + 1)
    ]


def write(
    log: EntryLog,
    new: Sequence[Entry] = (),
    hard_state: HardState | None = None,
    snapshot: SnapshotMeta | None = None,
    keep_from: int | None = None,
) -> None:
    batch = log.prepare(hard_state, new, snapshot, keep_from)
    log.write([batch])
    log.installed(batch)


def everything(log: EntryLog) -> list[Entry]:
    taken: list[Entry] = []
    index = log.first_index()
    while index <= log.last_index():
        taken += log.entries(index, log.last_index() + 1, 1 << 20)
        index = taken[-1].index + 1
    assert [log.term(entry.index) for entry in taken] == [entry.term for entry in taken]
    return taken


def opened(path: Path, owner: Identity = ME, disk: Disk = DISK) -> EntryLog:
    return EntryLog.open(disk, path, owner)


def test_a_new_log_is_empty(tmp_path: Path) -> None:
    for _ in range(2):
        log = opened(tmp_path)
        assert (log.first_index(), log.last_index(), log.term(0)) == (1, 0, 0)
        assert log.hard_state == HardState()
        assert log.snapshot().index == 0
        log.close()


@pytest.mark.parametrize("disk", [OsDisk(), DISK])
def test_entries_term_and_vote_survive_a_restart(tmp_path: Path, disk: Disk) -> None:
    log = opened(tmp_path, disk=disk)
    write(log, entries(1, 5), HardState(1, "w2"))
    write(log, hard_state=HardState(7, None))
    write(log, entries(6, 9, term=7), HardState(7, "señor/2"))
    for _ in range(3):
        assert everything(log) == entries(1, 5) + entries(6, 9, term=7)
        assert log.hard_state == HardState(7, "señor/2")
        assert (log.torn_bytes, log.repaired) == (0, ())
        log.close()
        log = opened(tmp_path, disk=disk)
    write(log, entries(10, 10, term=7))
    assert log.last_index() == 10
    log.close()


def test_nothing_shows_before_it_is_installed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    batch = log.prepare(HardState(2, "w1"), entries(1, 3))
    log.write([batch])
    assert (log.last_index(), log.hard_state) == (0, HardState())
    log.installed(batch)
    assert (log.last_index(), log.hard_state) == (3, HardState(2, "w1"))
    log.close()


def test_a_lower_index_cuts_what_was_after_it(tmp_path: Path) -> None:
    log = opened(tmp_path)
    write(log, entries(1, 9))
    write(log, entries(4, 5, term=2))
    for _ in range(2):
        assert everything(log) == entries(1, 3) + entries(4, 5, term=2)
        log.close()
        log = opened(tmp_path)
    log.close()


def test_reads_keep_to_their_limits_from_memory_and_from_disk(tmp_path: Path) -> None:
    log = opened(tmp_path)
    write(log, entries(1, 10, size_bytes=100))
    for _ in range(2):
        assert log.entries(3, 4, 0) == entries(3, 3, size_bytes=100)
        assert log.entries(3, 9, 299) == entries(3, 4, size_bytes=100)
        assert log.entries(3, 9, 300) == entries(3, 5, size_bytes=100)
        assert log.entries(3, 9, 10_000) == entries(3, 8, size_bytes=100)
        for low, high in ((0, 3), (3, 3), (5, 12), (11, 12)):
            with pytest.raises(IndexError):
                log.entries(low, high, 100)
        with pytest.raises(IndexError):
            log.term(11)
        log.close()
        log = opened(tmp_path)
    log.close()


def test_memory_holds_the_newest_entries_only(tmp_path: Path) -> None:
    log = EntryLog.open(DISK, tmp_path, ME, cache_bytes=3000)
    for index in range(1, 31):
        write(log, entries(index, index, size_bytes=800))
    write(log, entries(25, 26, term=2, size_bytes=4000))
    expected = entries(1, 24, size_bytes=800) + entries(25, 26, term=2, size_bytes=4000)
    assert everything(log) == expected
    assert all(log.entries(i, i + 1, 0) == [expected[i - 1]] for i in range(1, 27))
    log.close()


def test_entries_of_all_sizes_are_read_again(tmp_path: Path) -> None:
    sizes = [0, 1, 65_536, 3_000_000, 1_048_576, 5, 2_000_000]
    new = [Entry(1, i, EntryKind.COMMAND, bytes([i]) * size) for i, size in enumerate(sizes, 1)]
    log = opened(tmp_path)
    write(log, new)
    log.close()
    log = opened(tmp_path)
    assert everything(log) == new
    log.close()


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    log = opened(tmp_path)
    large = Entry(1, 1, EntryKind.COMMAND, bytes(MAX_ENTRY_BYTES))
    with pytest.raises(Refused, match="entry of"):
        log.prepare(None, [Entry(1, 1, EntryKind.COMMAND, bytes(MAX_ENTRY_BYTES + 1))])
    with pytest.raises(Refused, match="batch of"):
        log.prepare(None, [large, large])
    log.close()


def test_many_batches_are_one_write_and_one_sync(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = EntryLog.open(disk, tmp_path, ME)
    write(log, entries(1, 1))
    batches = [log.prepare(HardState(i, None), entries(i, i)) for i in range(2, 20)]
    steps, syncs = disk.steps, disk.syncs
    log.write([*batches, log.prepare(None, [])])
    assert (disk.steps - steps, disk.syncs - syncs) == (2, 1)
    log.write([log.prepare(None, [])])
    assert disk.steps - steps == 2
    for batch in batches:
        log.installed(batch)
    log.close()
    log = opened(tmp_path)
    assert everything(log) == entries(1, 19)
    log.close()


def test_batches_beyond_the_limit_of_one_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MAX_BATCH_BYTES", 200)
    log = opened(tmp_path)
    batches = [log.prepare(None, entries(i, i + 2)) for i in range(1, 30, 3)]
    log.write(batches)
    for batch in batches:
        log.installed(batch)
    for _ in range(2):
        assert everything(log) == entries(1, 30)
        log.close()
        log = opened(tmp_path)
    log.close()


# --- segments, snapshots


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(tail, "AHEAD_BYTES", 1_600)


def test_segments_roll_over_and_are_read_across(tmp_path: Path, small_segments: None) -> None:
    log = opened(tmp_path)
    write(log, hard_state=HardState(3, "w3"))
    for index in range(1, 200, 4):
        write(log, entries(index, index + 3))
    assert len(DISK.list(tmp_path)) > 5
    for _ in range(2):
        assert everything(log) == entries(1, 200)
        assert log.hard_state == HardState(3, "w3")
        log.close()
        log = opened(tmp_path)
    log.close()


def test_a_snapshot_lets_old_segments_go(tmp_path: Path, small_segments: None) -> None:
    log = opened(tmp_path)
    for index in range(1, 200, 4):
        write(log, entries(index, index + 3), HardState(index, None))
    before = len(DISK.list(tmp_path))
    taken = SnapshotMeta(150, 1, MEMBERS, 77)
    write(log, snapshot=taken, keep_from=101)
    write(log, entries(201, 201))
    assert len(DISK.list(tmp_path)) < before - 3
    for _ in range(2):
        assert (log.first_index(), log.term(100), log.snapshot()) == (101, 1, taken)
        assert everything(log) == entries(101, 201)
        with pytest.raises(IndexError):
            log.term(99)
        log.close()
        log = opened(tmp_path)
    for index in range(202, 300, 4):
        write(log, entries(index, index + 3))
    with pytest.raises(ValueError, match="begins at 101"):
        log.prepare(None, (), taken, keep_from=100)
    write(log, snapshot=SnapshotMeta(301, 1, MEMBERS), keep_from=302)
    write(log, hard_state=HardState(900, "w1"))
    for _ in range(2):
        assert (log.first_index(), log.last_index(), log.term(301)) == (302, 301, 1)
        assert log.hard_state == HardState(900, "w1")
        log.close()
        log = opened(tmp_path)
    log.close()


def test_the_leaders_snapshot_replaces_the_log(tmp_path: Path, small_segments: None) -> None:
    log = opened(tmp_path)
    for index in range(1, 200, 4):
        write(log, entries(index, index + 3))
    sent = SnapshotMeta(150, 2, MEMBERS)
    write(log, entries(151, 152, term=3), HardState(3, None), snapshot=sent)
    for index in range(153, 300):
        write(log, entries(index, index, term=3))
    for _ in range(2):
        assert (log.first_index(), log.term(150), log.snapshot()) == (151, 2, sent)
        assert everything(log) == entries(151, 299, term=3)
        log.close()
        log = opened(tmp_path)
    log.close()


def test_wherever_the_process_is_killed_while_segments_come_and_go(
    tmp_path: Path, small_segments: None
) -> None:
    """Whatever `write` returned from is there again; nothing is taken for damage."""
    total = 24
    for step in range(1, 1000):
        disk = FaultyDisk()
        path = tmp_path / str(step)
        disk.dies_at = step
        durable = 0
        died = False
        try:
            log = EntryLog.open(disk, path, ME)
            for index in range(1, total + 1):
                write(log, entries(index, index, size_bytes=400))
                durable = index
                if index % 8 == 0:
                    write(log, snapshot=SnapshotMeta(index, 1, MEMBERS), keep_from=index - 1)
        except Killed:
            died = True
        disk.abandon()
        log = opened(path)
        assert durable <= log.last_index() <= durable + 1
        first = log.first_index()
        assert everything(log) == entries(first, log.last_index(), size_bytes=400)
        write(log, entries(log.last_index() + 1, total + 9, size_bytes=400))
        log.close()
        log = opened(path)
        assert log.last_index() == total + 9
        log.close()
        if not died:
            break
    assert step > 60


# --- disks that fail


def test_a_full_disk_leaves_the_log_as_it_was_and_usable(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = EntryLog.open(disk, tmp_path, ME)
    write(log, entries(1, 3), HardState(1, "w1"))
    for room in (0, 1, 31, 32, 100, 2000):
        disk.room_bytes = room
        batch = log.prepare(HardState(9, None), entries(4, 4, size_bytes=2_000_000))
        with pytest.raises(DiskFull):
            log.write([batch])
        assert disk.room_bytes >= room
        again = opened(tmp_path)
        assert everything(again) == entries(1, 3)
        assert again.hard_state == HardState(1, "w1")
        assert again.torn_bytes == 0
        for segment in again._segments.values():
            segment.file.close()
    disk.room_bytes = None
    log.write([batch])
    log.installed(batch)
    write(log, entries(5, 6))
    log.close()
    log = opened(tmp_path)
    assert log.last_index() == 6
    log.close()


def test_a_disk_full_at_a_roll_over_can_be_tried_again(tmp_path: Path, small_segments: None) -> None:
    for room in range(0, 1600, 100):
        disk = FaultyDisk()
        path = tmp_path / str(room)
        log = EntryLog.open(disk, path, ME)
        write(log, entries(1, 60))
        disk.room_bytes = room
        batch = log.prepare(None, entries(61, 200))
        with pytest.raises(DiskFull):
            log.write([batch])
        disk.room_bytes = None
        log.write([batch])
        log.installed(batch)
        last = log.last_index()
        log.close()
        log = opened(path)
        assert everything(log) == entries(1, last)
        log.close()


def test_the_reserve_makes_room_once(tmp_path: Path) -> None:
    disk = FaultyDisk()
    reserve = Reserve(disk, tmp_path, size_bytes=100_000)
    assert not reserve.release()
    disk.room_bytes = 150_000
    assert not reserve.restore()
    disk.room_bytes = 250_000
    assert reserve.restore()
    assert reserve.restore()
    assert reserve.held
    assert disk.room_bytes == 150_000
    assert reserve.release()
    assert not reserve.held
    assert not reserve.release()
    assert disk.room_bytes == 250_000


def test_after_a_failed_sync_the_log_refuses_everything(tmp_path: Path) -> None:
    disk = FaultyDisk()
    log = EntryLog.open(disk, tmp_path, ME)
    write(log, entries(1, 3))
    disk.fail_syncs = True
    batch = log.prepare(None, entries(4, 4))
    with pytest.raises(DiskFailed):
        log.write([batch])
    disk.fail_syncs = False
    for again in (batch, log.prepare(None, ())):
        with pytest.raises(DiskFailed):
            log.write([again])
    log.mark()
    log.close()


# --- whose log


def test_a_log_of_another_owner_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    for owner, words in (
        (Identity("c1", "w2", "00" * 16), "belongs to worker 'w1'"),
        (Identity("c2", "w1", "00" * 16), "belongs to cluster c1"),
        (Identity("c1", "w1", "11" * 16), "another disk"),
    ):
        with pytest.raises(Refused, match=words):
            opened(tmp_path, owner)
    opened(tmp_path, Identity("", "w1", "00" * 16)).close()


def test_only_the_log_of_a_first_boot_is_made(tmp_path: Path) -> None:
    established = Identity("c1", "w1", "00" * 16, established=True)
    with pytest.raises(Exception, match="the whole log is missing"):
        opened(tmp_path / "log", established)
    opened(tmp_path / "log").close()
    opened(tmp_path / "log", established).close()


def test_a_compacted_log_gives_its_room_back_though_its_segment_is_not_full(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for snapshot in (10, 20, 30):
        write(log, entries(snapshot - 9, snapshot, size_bytes=600_000))
        write(log, (), None, SnapshotMeta(snapshot, 1, MEMBERS, 7), max(1, snapshot - 9))
        write(log, (), HardState(snapshot))
    assert log.segments() == [3, 4]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 12_000_000
    log.close()
    assert everything(opened(tmp_path)) == entries(21, 30, size_bytes=600_000)
