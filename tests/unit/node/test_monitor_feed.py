"""What a monitor is told: the whole first, then what moves; never more than it takes, never more than a frame holds."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import Refused
from shared.frames import Frame, FrameEncoder
from tests.unit.node.fakes import FakeLoop
from worker import monitor_feed
from worker.monitor.feed import _notice
from worker.monitor.view import View
from worker.monitor_feed import PIECE_ROWS, TURN_S, MonitorFeed
from worker.raft.entries import Entry, EntryKind
from worker.registry.registry import Outcome, Registry
from worker.registry.rows import Change, FileRow, RecordRow


class Monitor:
    """A monitor that takes frames, and keeps what they tell as the real one does."""

    def __init__(self) -> None:
        self.waiting_bytes = 0
        self.encoder = FrameEncoder()
        self.encoder.seal(bytes(32))
        self.notices: list[dict[str, Any]] = []
        self.files: dict[int, Any] = {}

    def send(self, frame: Frame) -> None:
        self.encoder.encode(frame)
        notice = _notice(frame)
        self.notices.append(notice)
        if notice["about"] == "reset":
            self.files.clear()
        for row in notice.get("rows", ()):
            if len(row) == 12:
                self.files[row[0]] = {"id": row[0], "name": row[9], "bytes": row[10], "digest": row[11]}
        for change in notice.get("changes", ()):
            if change["value"] is None:
                self.files.pop(change["id"], None)
            else:
                self.files[change["id"]] = change["value"]

    def told(self, about: str) -> list[Any]:
        return [notice for notice in self.notices if notice["about"] == about]


class Bench:
    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.registry = Registry()
        self.child: Any = SimpleNamespace(connection=None, joined=None)
        self.row: dict[str, Any] = {"term": 1}
        self.tail: Any = lambda count: []
        loop: Any = self.loop
        self.vitals: dict[str, Any] = {"transfers": [], "jobs": []}
        self.models: dict[str, Any] = {}
        self.feed = MonitorFeed(
            loop,
            self.child,
            self.registry,
            lambda: dict(self.row),
            lambda count: self.tail(count),
            lambda: dict(self.vitals),
            lambda id: self.models.get(id),
        )

    def join(self) -> Monitor:
        monitor = Monitor()
        self.child.connection = monitor
        self.child.joined()
        return monitor

    def put(self, number: int, name: str = "name") -> None:
        row = FileRow(number, name, 5, "ab" * 32, 1000)
        self.registry._table.add(row)
        change = Change("files", number, row.public())
        record = RecordRow(number, number, 1000, "someone", "put", name[:200])
        entry = Entry(1, number, EntryKind.COMMAND, b"data")
        self.feed.applied(entry, Outcome("put_file", {}, (change,), (record,)))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_monitor_that_joins_is_given_everything_in_pieces(bench: Bench) -> None:
    for number in range(1, 2 * PIECE_ROWS + 10):
        bench.put(number)
    monitor = bench.join()
    bench.loop.advance(4 * TURN_S)
    assert len(monitor.told("changes")) == 3
    assert set(monitor.files) == set(bench.registry.files)


def test_what_moves_while_the_whole_is_told_wins(bench: Bench) -> None:
    for number in range(1, 2 * PIECE_ROWS):
        bench.put(number)
    monitor = bench.join()
    bench.loop.advance(TURN_S)
    del bench.registry.files[5]
    bench.feed.changed(Change("files", 5, None))
    bench.put(9999, "new")
    bench.loop.advance(5 * TURN_S)
    assert set(monitor.files) == set(bench.registry.files)


def test_entries_and_records_follow(bench: Bench) -> None:
    monitor = bench.join()
    bench.put(1)
    bench.feed.applied(Entry(1, 2, EntryKind.NOOP, b""), None)
    bench.loop.advance(2 * TURN_S)
    first, second = [row for notice in monitor.told("applied") for row in notice["rows"]]
    assert first[:9] == [1, 1, "put_file", 4, "name", 1, 1000, "someone", "put"]
    assert second == [2, 1, "noop", 0, ""]


def test_what_is_applied_is_told_before_the_turn_ends(bench: Bench) -> None:
    monitor = bench.join()
    bench.loop.advance(TURN_S)
    bench.put(1)
    assert not monitor.told("applied")
    bench.loop.advance(monitor_feed.SOON_S)
    assert [row[0] for notice in monitor.told("applied") for row in notice["rows"]] == [1]
    bench.loop.advance(2 * TURN_S)
    assert len(monitor.told("applied")) == 1


def noted(index: int, first: int, count: int) -> tuple[Entry, Outcome]:
    """An entry that left so many records, from number `first` on."""
    rows = [
        RecordRow(first + n, index, 1000 * index, f"client-{first + n}", "predict", f"said {n}")
        for n in range(count)
    ]
    return Entry(1, index, EntryKind.COMMAND, b"notes"), Outcome("note_predictions", {}, (), tuple(rows))


def test_all_records_of_one_entry_reach_the_view(bench: Bench) -> None:
    monitor = bench.join()
    bench.put(1)
    bench.feed.applied(*noted(2, 2, 3))
    bench.feed.applied(*noted(3, 5, 1))
    bench.loop.advance(2 * TURN_S)
    view = View()
    for notice in monitor.told("applied"):
        view.take(notice)
    rows = view.records_page()["records"]
    assert [(row["record"], row["index"], row["time"]) for row in rows] == [
        (1, 1, 1.0), (2, 2, 2.0), (3, 2, 2.0), (4, 2, 2.0), (5, 3, 3.0)
    ]  # fmt: skip
    assert [(row["client"], row["kind"], row["summary"]) for row in rows[1:4]] == [
        ("client-2", "predict", "said 0"), ("client-3", "predict", "said 1"), ("client-4", "predict", "said 2")
    ]  # fmt: skip
    assert [row["index"] for row in view.log_page()["entries"]] == [1, 2, 3]


def test_entries_with_many_records_are_told_in_pieces_and_count_as_many(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = bench.join()
    for number in range(5):
        bench.feed.applied(*noted(number + 1, number * PIECE_ROWS // 2 + 1, PIECE_ROWS // 2))
    bench.loop.advance(2 * TURN_S)
    assert [len(notice["rows"]) for notice in monitor.told("applied")] == [2, 2, 1]
    monkeypatch.setattr(monitor_feed, "PENDING_LIMIT", PIECE_ROWS)
    monitor.waiting_bytes = monitor_feed.BEHIND_BYTES + 1
    for number in range(5, 9):
        bench.feed.applied(*noted(number + 1, number * PIECE_ROWS // 2 + 1, PIECE_ROWS // 2))
    assert len(bench.feed._applied) <= 2


def test_a_file_that_is_named_while_the_whole_is_told_is_told_once(bench: Bench) -> None:
    for number in range(1, 2 * PIECE_ROWS):
        bench.put(number)
    monitor = bench.join()
    bench.loop.advance(TURN_S)
    bench.put(2 * PIECE_ROWS)
    bench.loop.advance(2 * TURN_S)
    bench.put(2 * PIECE_ROWS + 1)
    bench.loop.advance(2 * TURN_S)
    told = [change["id"] for notice in monitor.told("changes") for change in notice["changes"]]
    rows = [row for notice in monitor.told("applied") for row in notice["rows"]]
    assert told == list(range(1, 2 * PIECE_ROWS + 1))
    assert [(row[0], len(row)) for row in rows] == [(2 * PIECE_ROWS, 9), (2 * PIECE_ROWS + 1, 12)]
    assert set(monitor.files) == set(bench.registry.files)


def test_a_status_is_told_when_it_changes_and_now_and_then(bench: Bench) -> None:
    monitor = bench.join()
    bench.loop.advance(3 * TURN_S)
    assert len(monitor.told("status")) == 1
    bench.row["term"] = 2
    bench.loop.advance(TURN_S)
    assert len(monitor.told("status")) == 2
    bench.loop.advance(monitor_feed.STATUS_S + TURN_S)
    assert len(monitor.told("status")) == 3


def test_rows_of_any_length_arrive(bench: Bench) -> None:
    for number in range(1, PIECE_ROWS + 1):
        bench.put(number, "\x01" * 1024)
    monitor = bench.join()
    bench.loop.advance(3 * TURN_S)
    assert set(monitor.files) == set(bench.registry.files)


def test_nothing_is_kept_for_a_monitor_that_is_not_there(bench: Bench) -> None:
    for number in range(1, 100):
        bench.put(number)
    assert not bench.feed._changes
    assert not bench.feed._applied


def test_a_monitor_that_takes_nothing_costs_little_and_catches_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor_feed, "PENDING_LIMIT", 100)
    monitor = bench.join()
    bench.loop.advance(TURN_S)
    monitor.waiting_bytes = monitor_feed.BEHIND_BYTES + 1
    before = len(monitor.notices)
    for number in range(1, 301):
        bench.put(number)
        bench.loop.advance(TURN_S)
    resets = [notice for notice in monitor.notices[before:] if notice["about"] != "reset"]
    assert resets == []
    assert len(bench.feed._applied) <= 100
    monitor.waiting_bytes = 0
    bench.loop.advance(5 * TURN_S)
    assert set(monitor.files) == set(bench.registry.files)


def test_damaged_records_keep_nobody_from_the_rest(bench: Bench) -> None:
    def damaged(count: int) -> Any:
        raise Refused("It is damaged.")

    bench.tail = damaged
    bench.put(1)
    monitor = bench.join()
    bench.loop.advance(2 * TURN_S)
    assert set(monitor.files) == {1}


def test_what_happened_to_the_worker_is_told_at_once_and_again_to_the_next_monitor(bench: Bench) -> None:
    bench.feed.noticed("damage", "before any monitor")
    first = bench.join()
    bench.feed.noticed("repair", "while it watched")
    second = bench.join()
    for monitor in (first, second):
        told = [row for notice in monitor.told("notices") for row in notice["notices"]]
        assert [(row["notice"], row["kind"]) for row in told] == [(1, "damage"), (2, "repair")]


def test_vitals_are_told_once_a_second_and_at_each_turn_while_something_is_under_way(bench: Bench) -> None:
    monitor = bench.join()
    bench.loop.advance(monitor_feed.STATUS_S + TURN_S / 2)
    idle = len(monitor.told("vitals"))
    assert idle <= 3
    bench.vitals["jobs"] = [{"model": "m"}]
    bench.loop.advance(monitor_feed.STATUS_S + 5 * TURN_S)
    busy = len(monitor.told("vitals"))
    assert busy >= idle + 5
    bench.vitals["jobs"] = []
    bench.loop.advance(TURN_S)
    assert monitor.told("vitals")[-1]["vitals"]["jobs"] == []


def test_a_model_s_rounds_are_told_once_each_and_what_is_learnt_later_again(bench: Bench) -> None:
    monitor = bench.join()
    history = [{"round": number, "loss": 1.0, "test_accuracy": None} for number in range(1, 101)]
    bench.models["m"] = ({"error": None}, history)
    bench.feed.changed(Change("models", "m", {"id": "m"}))
    bench.loop.advance(2 * TURN_S)
    history[-1]["test_accuracy"] = 0.9
    history.append({"round": 101, "loss": 0.5, "test_accuracy": None})
    bench.feed.changed(Change("models", "m", {"id": "m"}))
    bench.loop.advance(2 * TURN_S)
    first, second = monitor.told("rounds")
    assert [row["round"] for row in first["rounds"]] == list(range(1, 101))
    assert [row["round"] for row in second["rounds"]] == list(range(101 - monitor_feed.ROUNDS_AGAIN, 102))
    assert second["rounds"][-2]["test_accuracy"] == 0.9
    assert monitor.told("changes")[-1]["changes"][0]["value"] == {"id": "m", "error": None}


def test_a_long_history_is_told_as_densely_as_a_chart_can_show(bench: Bench) -> None:
    monitor = bench.join()
    bench.models["m"] = ({}, [{"round": number, "loss": 1.0} for number in range(1, 2_001)])
    bench.feed.changed(Change("models", "m", {"id": "m"}))
    bench.loop.advance(2 * TURN_S)
    (told,) = monitor.told("rounds")
    assert len(told["rounds"]) == PIECE_ROWS
    assert told["rounds"][-1]["round"] == 2_000


def test_facts_of_a_notice_travel_with_it(bench: Bench) -> None:
    monitor = bench.join()
    bench.feed.noticed("election", "leader in term 3", role="leader", term=3)
    (told,) = monitor.told("notices")
    assert (told["notices"][0]["role"], told["notices"][0]["term"]) == ("leader", 3)
