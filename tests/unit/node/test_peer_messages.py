"""Raft messages as frames: they survive their way, and no bytes of a peer do worse than close its connection."""

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ProtocolViolation
from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType
from worker import peer_messages
from worker.peer_messages import from_frame, to_frame
from worker.raft.config import Config
from worker.raft.entries import Entry, EntryKind, HardState, Membership, SnapshotMeta
from worker.raft.errors import Violation
from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from worker.raft.raft import Raft

MEMBERS = Membership(frozenset({"w1", "w2", "w3"}), frozenset({"w4"}))
ENTRIES = (
    Entry(3, 8, EntryKind.NOOP, b""),
    Entry(3, 9, EntryKind.COMMAND, bytes(range(256))),
    Entry(4, 10, EntryKind.MEMBERSHIP, MEMBERS.encode()),
)
EVERY: list[Message] = [
    VoteRequest("w1", "w2", 3, 9, 2, pre=True, transfer=True),
    VoteReply("w1", "w2", 3, granted=True, pre=True),
    Append("w1", "w2", 4, 7, 3, 6, ENTRIES),
    Append("w1", "w2", 4, 7, 3, 6),
    AppendReply("w1", "w2", 3, 9, rejected=True, hint_index=4, hint_term=2),
    Heartbeat("w1", "w2", 3, 9, 100, 0.0125),
    HeartbeatReply("w1", "w2", 3, 100, 9, 8),
    ReadRequest("w1", "w2", 3, 5),
    ReadReply("w1", "w2", 3, 5, 9),
    TimeoutNow("w1", "w2", 3),
    InstallSnapshot("w1", "w2", 3, SnapshotMeta(9, 2, MEMBERS, 5), 0, b"bytes", last=True),
    SnapshotReply("w1", "w2", 3, 9, 5),
]


def over_the_wire(frame: Frame) -> Frame:
    encoder, decoder = FrameEncoder(), FrameDecoder()
    encoder.seal(bytes(32))
    decoder.seal(bytes(32))
    (arrived,) = decoder.feed(encoder.encode(frame))
    return arrived


@pytest.mark.parametrize("message", EVERY, ids=lambda message: type(message).__name__)
def test_a_message_survives_its_way(message: Message) -> None:
    assert from_frame(over_the_wire(to_frame(message)), "w2", "w1") == message


def test_every_message_is_tried_here() -> None:
    assert {type(message) for message in EVERY} == set(Message.__args__)


def test_the_sender_is_who_the_connection_has_proved() -> None:
    frame = to_frame(TimeoutNow("w1", "w2", 3))
    frame.header.update(sender="w3", to="w9")
    assert from_frame(frame, "w2", "w1") == TimeoutNow("w1", "w2", 3)


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"kind": None},
        {"kind": "dance"},
        {"kind": ["vote"]},
        {"kind": "vote"},
        {"kind": "vote", "term": "3", "last_index": 1, "last_term": 1},
        {"kind": "vote", "term": -1, "last_index": 1, "last_term": 1},
        {"kind": "append", "term": 1},
        {"kind": "heartbeat", "term": 1, "commit": 1, "round": 1, "round_trip_s": "fast"},
        {"kind": "snapshot", "term": 1, "index": 1, "index_term": 1, "membership": "{}", "size_bytes": 1,
         "offset": 0, "last": True},
        {"kind": "snapshot", "term": 1, "index": 1, "index_term": 1, "membership": "[" * 60_000,
         "size_bytes": 1, "offset": 0, "last": True},
    ],
)  # fmt: skip
def test_a_header_that_makes_no_sense_is_a_violation(header: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        from_frame(Frame(FrameType.RAFT, header), "w2", "w1")


@pytest.mark.parametrize(
    "body",
    [
        b"\0",
        peer_messages._ENTRY.pack(1, 1, 5),
        peer_messages._ENTRY.pack(1, 1, 2**32 - 1) + b"short",
        peer_messages._ENTRY.pack(1, 9, 0),
    ],
)
def test_entries_that_cannot_be_read_are_a_violation(body: bytes) -> None:
    header = {"kind": "append", "term": 1, "previous_index": 0, "previous_term": 0, "commit": 0}
    with pytest.raises(ProtocolViolation):
        from_frame(Frame(FrameType.RAFT, header, body), "w2", "w1")


class EmptyLog:
    """The log of a worker that has nothing yet."""

    def first_index(self) -> int:
        return 1

    def last_index(self) -> int:
        return 0

    def term(self, index: int) -> int:
        return 0

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        raise AssertionError("there is none")

    def snapshot(self) -> SnapshotMeta:
        return SnapshotMeta(0, 0, MEMBERS)


NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 2**32, 2**62, 2**63 - 1])
HEADERS = st.fixed_dictionaries(
    {"kind": st.sampled_from([*peer_messages._PLAIN, "append", "snapshot"])},
    optional={
        **dict.fromkeys(
            (
                *("term", "previous_index", "previous_term", "commit", "index", "index_term", "round"),
                *("last_index", "last_term", "number", "received", "durable", "size_bytes", "offset"),
                *("hint_index", "hint_term"),
            ),
            NUMBERS,
        ),
        **{name: st.booleans() for name in ("granted", "pre", "rejected", "last", "transfer")},
        "round_trip_s": st.sampled_from([0, 0.1, -1.0, 1e308]),
        "membership": st.just(MEMBERS.encode().decode()) | st.text(max_size=10),
    },
)
BODIES = st.lists(
    st.builds(
        lambda term, kind, data: peer_messages._ENTRY.pack(term, kind, len(data)) + data,
        *(NUMBERS, st.integers(0, 3), st.binary(max_size=20) | st.just(b"[" * 50_000)),
    ),
    max_size=4,
).map(b"".join) | st.binary(max_size=40)


@settings(max_examples=100)
@given(st.lists(st.tuples(HEADERS, BODIES), min_size=1, max_size=8))
def test_no_peer_can_bring_the_core_down(story: list[tuple[dict[str, Any], bytes]]) -> None:
    log: Any = EmptyLog()
    core = Raft(Config("w1"), HardState(), log, MEMBERS, random.Random(1), 0.0)
    for header, body in story:
        with contextlib.suppress(ProtocolViolation, Violation):
            core.step(from_frame(Frame(FrameType.RAFT, header, body), "w2", "w1"), 0.0)
        while core.ready() is not None:
            pass
