"""The flight recorder keeps the last events, however many there were, and tells them in pages."""

import json
import sys
from typing import Any

from worker.flight import KEPT, PAGE_EVENTS, RARE_KEPT, FlightRecorder, Row
from worker.raft.entries import Entry, EntryKind, Membership, SnapshotMeta
from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    InstallSnapshot,
    Message,
    TimeoutNow,
    VoteRequest,
)
from worker.raft.ready import Leadership, Role


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def everything(recorder: FlightRecorder) -> list[Row]:
    rows: list[Row] = []
    more = True
    while more:
        page, more = recorder.page(rows[-1][0] if rows else 0)
        assert len(page) <= PAGE_EVENTS
        rows += page
    return rows


def told(message: Message) -> list[Any]:
    recorder = FlightRecorder()
    recorder.sent(message)
    (row,) = everything(recorder)
    return row[2:]


def test_each_kind_of_event_is_told_in_order() -> None:
    recorder = FlightRecorder(Clock())
    recorder.stood(Leadership(Role.PRE_CANDIDATE, None, 3))
    recorder.sent(VoteRequest("w2", "w1", 4, 9, 3, pre=True))
    recorder.heard(AppendReply("w1", "w2", 4, 12))
    recorder.applied(12)
    recorder.applied(12)
    rows = everything(recorder)
    assert [row[0] for row in rows] == [1, 2, 3, 4]
    assert [row[2:] for row in rows] == [
        ["role", None, "pre-candidate", {"term": 3}],
        [
            "sent",
            "w2",
            "vote",
            {"term": 4, "last_index": 9, "last_term": 3, "pre": True, "transfer": False},
        ],
        [
            "heard",
            "w2",
            "append_reply",
            {"term": 4, "index": 12, "rejected": False, "hint_index": 0, "hint_term": 0},
        ],
        ["applied", None, "", {"index": 12}],
    ]
    assert rows[1][1] - rows[0][1] > 0


def test_entries_are_counted_and_not_kept() -> None:
    data = bytes(100_000)
    held = sys.getrefcount(data)
    recorder = FlightRecorder()
    entry = Entry(4, 8, EntryKind.COMMAND, data)
    recorder.sent(Append("w2", "w1", 4, 7, 4, 6, (entry,)))
    meta = SnapshotMeta(7, 3, Membership(frozenset({"w1"})), 5)
    recorder.sent(InstallSnapshot("w2", "w1", 4, meta, 0, data, True))
    del entry
    assert sys.getrefcount(data) == held
    first, second = everything(recorder)
    assert first[4:] == [
        "append",
        {"term": 4, "previous_index": 7, "previous_term": 4, "commit": 6, "entries": 1},
    ]
    assert second[4:] == [
        "snapshot",
        {"term": 4, "index": 7, "offset": 0, "size_bytes": 100_000, "last": True},
    ]


def test_what_only_the_sender_measured_is_not_told() -> None:
    assert told(Heartbeat("w2", "w1", 4, 7, 3, 0.25)) == [
        "sent",
        "w2",
        "heartbeat",
        {"term": 4, "commit": 7, "round": 3},
    ]


def test_it_stays_bounded_and_a_flood_pushes_out_no_election() -> None:
    recorder = FlightRecorder()
    for _ in range(RARE_KEPT + 10):
        recorder.sent(TimeoutNow("w2", "w1", 4))
    for number in range(KEPT + 10):
        recorder.heard(AppendReply("w1", "w2", 4, number))
    rows = everything(recorder)
    assert len(rows) == KEPT + RARE_KEPT
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert rows[0][0] == 11
    assert json.loads(json.dumps(rows)) == rows


def test_pages_go_on_while_new_events_come() -> None:
    recorder = FlightRecorder()
    for number in range(PAGE_EVENTS + 2):
        recorder.applied(number + 1)
    first, more = recorder.page(0)
    assert more
    recorder.applied(9_999)
    second, more = recorder.page(first[-1][0])
    assert ([row[5]["index"] for row in second], more) == ([PAGE_EVENTS + 1, PAGE_EVENTS + 2], False)
    assert recorder.page(second[-1][0])[0][0][5] == {"index": 9_999}
