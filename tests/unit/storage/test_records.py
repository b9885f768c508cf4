"""Records: readable anywhere, cut where a write was torn, made again by replay."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.storage.faulty_disk import FaultyDisk, rewrite
from worker.storage import records
from worker.storage.disk import Corrupt, DiskFull
from worker.storage.records import RecordFile

DISK = FaultyDisk()


def rows(first: int, last: int) -> list[dict[str, Any]]:
    return [
        {"record": n, "index": 3 * n, "kind": "put", "client": "ana@pc", "summary": f"año {n}\n"}
        for n in range(first, last + 1)
    ]


def written(path: Path, batches: Iterable[list[dict[str, Any]]]) -> None:
    file = RecordFile(DISK, path)
    for batch in batches:
        file.append(batch)
    file.close()


@pytest.fixture(autouse=True)
def _small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "SEGMENT_BYTES", 2_000)
    monkeypatch.setattr(records, "STRIDE", 4)
    monkeypatch.setattr(records, "READ_BYTES", 300)


def test_an_empty_one_has_nothing(tmp_path: Path) -> None:
    file = RecordFile(DISK, tmp_path)
    assert (file.last, file.last_index, file.read(0, 10), file.tail(3)) == (0, 0, [], [])
    file.sync()
    file.close()


def test_records_are_read_from_anywhere_before_and_after_a_restart(tmp_path: Path) -> None:
    file = RecordFile(DISK, tmp_path)
    file.append(rows(1, 7))
    file.append([])
    file.append(rows(8, 100))
    for _ in range(2):
        assert (file.last, file.last_index) == (100, 300)
        assert file.read(0, 1000) == rows(1, 100)
        for after in range(101):
            assert file.read(after, 3) == rows(after + 1, min(after + 3, 100))
        assert file.tail(5) == rows(96, 100)
        assert file.tail(1000) == rows(1, 100)
        assert file.read(-5, 2) == rows(1, 2)
        file.sync()
        file.close()
        file = RecordFile(DISK, tmp_path)
    file.close()
    assert len(DISK.list(tmp_path)) > 3


def test_replay_makes_the_same_files_whatever_was_there(tmp_path: Path) -> None:
    written(tmp_path / "a", [rows(1, 100)])
    written(tmp_path / "b", [rows(1, 40)])
    written(tmp_path / "b", [rows(n, n) for n in range(1, 101)])
    for name in DISK.list(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_gap_is_refused_and_nothing_of_it_written(tmp_path: Path) -> None:
    file = RecordFile(DISK, tmp_path)
    file.append(rows(1, 2))
    with pytest.raises(ValueError, match="record 5 after 3"):
        file.append(rows(3, 3) + rows(5, 6))
    file.append(rows(3, 30))
    assert file.read(0, 50) == rows(1, 30)
    file.close()


def test_a_torn_tail_is_cut_at_every_byte_and_made_again(tmp_path: Path) -> None:
    written(tmp_path, [rows(1, 20)])
    last = tmp_path / DISK.list(tmp_path)[-1]
    whole = last.read_bytes()
    first = int(last.name[:16])
    for length in range(len(whole)):
        rewrite(last, whole[:length])
        file = RecordFile(DISK, tmp_path)
        assert file.last == first - 1 + whole[:length].count(b"\n")
        assert file.read(0, 50) == rows(1, file.last)
        file.append(rows(1, 20))
        assert file.read(0, 50) == rows(1, 20)
        file.close()
        assert last.read_bytes() == whole


def test_damage_among_records_that_were_not_durable_is_made_again(tmp_path: Path) -> None:
    written(tmp_path, [rows(1, 100)])
    damaged = tmp_path / DISK.list(tmp_path)[1]
    data = bytearray(damaged.read_bytes())
    data[700] ^= 1
    damaged.write_bytes(data)
    file = RecordFile(DISK, tmp_path)
    assert 20 < file.last < 60
    file.append(rows(1, 100))
    assert file.read(0, 1000) == rows(1, 100)
    file.close()


def test_damage_among_durable_records_is_told_and_left_alone(tmp_path: Path) -> None:
    file = RecordFile(DISK, tmp_path)
    file.append(rows(1, 20))
    file.sync()
    file.close()
    last = tmp_path / DISK.list(tmp_path)[-2]
    whole = last.read_bytes()
    for at in range(0, len(whole), 7):
        data = bytearray(whole)
        data[at] ^= 1 << at % 8
        rewrite(last, data)
        with pytest.raises(Corrupt, match="damaged or missing"):
            RecordFile(DISK, tmp_path)
        assert last.read_bytes() == data


def test_damage_in_an_old_segment_is_told_when_it_is_read(tmp_path: Path) -> None:
    file = RecordFile(DISK, tmp_path)
    file.append(rows(1, 100))
    file.sync()
    file.close()
    oldest = tmp_path / DISK.list(tmp_path)[0]
    data = bytearray(oldest.read_bytes())
    data[200] ^= 1
    oldest.write_bytes(data)
    file = RecordFile(DISK, tmp_path)
    assert file.tail(50) == rows(51, 100)
    with pytest.raises(Corrupt, match="cannot be read"):
        file.read(0, 10)
    file.close()


def test_a_missing_first_segment_is_told(tmp_path: Path) -> None:
    written(tmp_path, [rows(1, 100)])
    (tmp_path / DISK.list(tmp_path)[0]).unlink()
    with pytest.raises(Corrupt, match="damaged or missing"):
        RecordFile(DISK, tmp_path)


def test_a_full_disk_takes_back_what_was_half_written(tmp_path: Path) -> None:
    disk = FaultyDisk()
    file = RecordFile(disk, tmp_path)
    file.append(rows(1, 5))
    disk.room_bytes = 150
    with pytest.raises(DiskFull):
        file.append(rows(6, 9))
    assert file.read(0, 50) == rows(1, 5)
    disk.room_bytes = None
    file.append(rows(6, 50))
    assert file.read(0, 50) == rows(1, 50)
    file.close()


@given(
    cuts=st.lists(st.integers(1, 60), max_size=6),
    reads=st.lists(st.tuples(st.integers(0, 70), st.integers(1, 70))),
)
def test_any_division_into_appends_reads_the_same(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], reads: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("records")
    file = RecordFile(DISK, path)
    for cut in sorted(cuts):
        file.append(rows(1, cut))
    last = max(cuts, default=0)
    for after, limit in reads:
        assert file.read(after, limit) == rows(after + 1, min(after + limit, last))
    file.close()
