"""Answers that wait: each comes once, when there is something to see or its time is over."""

from pathlib import Path
from typing import Any

import pytest

from shared.errors import Busy, MinkaError
from tests.unit.node.fakes import FakeLoop, FakeRequest
from worker import watchers
from worker.pages import PAGE_BYTES, page_of
from worker.registry.rows import ModelRow, RecordRow
from worker.storage.disk import DiskFull, OsDisk
from worker.storage.records import RecordFile
from worker.watchers import ModelWatchers, Records


def record(number: int) -> RecordRow:
    return RecordRow(number, number + 10, 1000, "someone", "put", f"file {number}")


class Bench:
    def __init__(self, path: Path) -> None:
        self.loop = FakeLoop()
        self.logged: list[str] = []
        self.file = RecordFile(OsDisk(), path)
        loop: Any = self.loop
        self.records = Records(loop, self.file, self.logged.append)

    def ask(self, after: int = 0, tail: int | None = None, wait_s: float = 0.0) -> FakeRequest:
        request = FakeRequest("records")
        asked: Any = request
        self.records.answer(asked, after, tail, wait_s)
        return request


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_records_are_read_from_any_number_on(bench: Bench) -> None:
    for number in range(1, 6):
        bench.records.add([record(number)])
    header = bench.ask(after=3).header
    assert [row["record"] for row in header["records"]] == [4, 5]
    assert header["last"] == 5
    assert [row["record"] for row in bench.ask(tail=2).header["records"]] == [4, 5]
    assert bench.ask(after=2**63 - 1).header["records"] == []
    assert len(bench.ask(tail=2**63 - 1).header["records"]) == 5


def test_who_waits_hears_of_the_next_record_at_once(bench: Bench) -> None:
    request = bench.ask(wait_s=10)
    bench.loop.advance(5)
    assert request.answer is None
    bench.records.add([record(1)])
    bench.records.flush()
    assert [row["record"] for row in request.header["records"]] == [1]
    bench.loop.advance(10)
    assert bench.loop.waiting == 0


def test_who_waited_long_enough_is_told_that_there_is_nothing(bench: Bench) -> None:
    request = bench.ask(wait_s=10)
    bench.loop.advance(10)
    assert request.header["records"] == []
    bench.records.add([record(1)])
    bench.records.flush()


def test_too_many_who_wait_are_told_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchers, "WAITING_LIMIT", 2)
    requests = [bench.ask(wait_s=10) for _ in range(3)]
    with pytest.raises(Busy):
        assert requests[2].header
    assert requests[0].answer is None


def test_many_who_wait_are_all_answered_once(bench: Bench) -> None:
    requests = [bench.ask(wait_s=10) for _ in range(1000)]
    bench.records.add([record(1)])
    bench.records.flush()
    assert all(request.header["last"] == 1 for request in requests)


def test_on_a_full_disk_records_wait_and_the_worker_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise DiskFull("No space left.")

    with monkeypatch.context() as patched:
        patched.setattr(bench.file, "append", full)
        bench.records.add([record(1)])
        for _ in range(3):
            bench.records.flush()
        assert len(bench.logged) == 1
    bench.records.add([record(2)])
    bench.loop.advance(watchers.DISK_RETRY_S)
    bench.records.flush()
    assert [row["record"] for row in bench.ask().header["records"]] == [1, 2]


@pytest.mark.parametrize("wait_s", [0.0, 5.0])
def test_a_damaged_record_is_a_failure_of_the_request_alone(
    bench: Bench, tmp_path: Path, wait_s: float
) -> None:
    bench.records.add([record(1)])
    bench.records.flush()
    request = bench.ask(after=1, wait_s=wait_s)
    (segment,) = tmp_path.glob("*.records")
    segment.write_bytes(b"?" * segment.stat().st_size)
    bench.loop.advance(10)
    if wait_s:
        assert request.header["records"] == []
    with pytest.raises(MinkaError, match="damaged"):
        assert bench.ask().header


def model() -> ModelRow:
    return ModelRow("m1", 1, "digits", {"arch": "mlp", "epochs": 3}, {}, 1000, "training", rounds=10)


def test_a_model_is_shown_at_once_and_then_when_it_has_moved() -> None:
    loop, row = FakeLoop(), model()
    any_loop: Any = loop
    shown = ModelWatchers(any_loop, {})
    first, second, third = FakeRequest(), FakeRequest(), FakeRequest()
    requests: list[Any] = [first, second, third]
    shown.answer(requests[0], row, None, 5.0)
    version = first.header["model"]["version"]
    shown.answer(requests[1], row, version, 5.0)
    shown.look()
    assert second.answer is None
    row.version += 1
    shown.look()
    assert second.header["model"]["version"] != version
    shown.answer(requests[2], row, version + 1_000_000, 5.0)
    loop.advance(5)
    assert third.header["model"]["status"] == "training"


# --- pages


def test_a_page_has_so_many_rows_and_says_whether_there_are_more() -> None:
    assert page_of([]) == ([], False)
    rows = [{"id": number} for number in range(201)]
    assert page_of(rows) == (rows[:200], True)
    assert page_of(rows[:200]) == (rows[:200], False)


def test_a_page_of_long_rows_is_shorter_and_never_empty() -> None:
    rows = [{"name": "\x01" * 20_000} for _ in range(20)]
    page, more = page_of(rows)
    assert more
    assert 1 <= len(page) <= PAGE_BYTES // 120_000
    assert page_of([{"name": "x" * PAGE_BYTES}])[0] != []
