"""The archive: every record is found by another process while the node goes on to write."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.storage.faulty_disk import FaultyDisk, rewrite
from worker.storage import archive, records
from worker.storage.archive import RecordArchive
from worker.storage.records import RecordFile

DISK = FaultyDisk()


def row(number: int, summary: str = "") -> dict[str, Any]:
    return {
        "record": number,
        "index": 2 * number,
        "client": "Ana@pc",
        "kind": "put",
        "summary": summary or f"año {number}",
    }


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordFile:
    monkeypatch.setattr(records, "SEGMENT_BYTES", 1_000)
    written = RecordFile(DISK, tmp_path)
    written.append(row(number) for number in range(1, 101))
    return written


def numbers(path: Path, *words: str, before: int = 10**9, limit: int = 5) -> list[int]:
    return [found["record"] for found in RecordArchive(path).search(words, before, limit).records]


def test_the_newest_come_first_and_the_search_goes_on_below(file: RecordFile, tmp_path: Path) -> None:
    found = RecordArchive(tmp_path).search((), 10**9, 3)
    assert found.records == [row(100), row(99), row(98)]
    assert found.looked_to == 98
    assert numbers(tmp_path, before=98) == [97, 96, 95, 94, 93]
    last = RecordArchive(tmp_path).search((), 3, 5)
    assert ([one["record"] for one in last.records], last.looked_to) == ([2, 1], 1)


def test_all_words_must_be_there_in_any_case_and_only_in_what_is_shown(
    file: RecordFile, tmp_path: Path
) -> None:
    assert numbers(tmp_path, "AÑO", "7", limit=3) == [97, 87, 79]
    assert numbers(tmp_path, "ana@", "año 55") == [55]
    assert numbers(tmp_path, "summary") == []
    assert numbers(tmp_path, "nobody") == []


def test_words_are_found_as_people_write_them(file: RecordFile, tmp_path: Path) -> None:
    file.append([row(101, 'a "quoted" \\ name\n')])
    assert numbers(tmp_path, '"QUOTED"', "\\") == [101]


def test_what_is_written_meanwhile_is_seen_and_half_a_line_is_not(file: RecordFile, tmp_path: Path) -> None:
    reader = RecordArchive(tmp_path)
    file.append([row(101)])
    newest = max(tmp_path.glob("*.records"))
    rewrite(newest, newest.read_bytes() + b'00000000 {"record":102,')
    assert [one["record"] for one in reader.search((), 10**9, 2).records] == [101, 100]


def test_a_search_is_bounded_and_goes_on_where_it_stopped(
    file: RecordFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "LOOK_BYTES", 2_500)
    reader, before, asked, found = RecordArchive(tmp_path), 10**9, 0, []
    while before > 1:
        part = reader.search(("año 1",), before, 100)
        assert part.looked_to < before
        found += [one["record"] for one in part.records]
        before, asked = part.looked_to, asked + 1
    assert found == [100, *range(19, 9, -1), 1]
    assert asked > 2


def test_without_records_nothing_is_found(tmp_path: Path) -> None:
    assert numbers(tmp_path / "none") == []
