"""What no correct peer sends is refused whole: it raises `Violation`, and the core is as it was."""

import random

import pytest

from tests.raft.lone import Lone, entries, entry
from worker.raft import (
    Append,
    AppendReply,
    Entry,
    EntryKind,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Membership,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotMeta,
    SnapshotReply,
    TimeoutNow,
    Violation,
    VoteReply,
    VoteRequest,
)

ABC = Membership(frozenset("abc"))
NOBODY = Membership(frozenset())


@pytest.mark.parametrize(
    "message",
    [
        Heartbeat("x", "b", 1, 0, 1),
        Heartbeat("a", "a", 1, 0, 1),
        Heartbeat("a", "b", -1, 0, 1),
        Heartbeat("a", "b", 1 << 62, 0, 1),
        Heartbeat("a", "b", 1, 0, 1, float("nan")),
        Heartbeat("a", "b", 1, 0, 1, -1.0),
        VoteRequest("a", "b", 1, -1, 0),
        Append("a", "b", 5, 0, 0, 0, (entry(1, 2),)),
        Append("a", "b", 5, 0, 0, 0, (entry(1, 1), entry(1, 3))),
        Append("a", "b", 5, 0, 0, 0, (entry(2, 1), entry(1, 2))),
        Append("a", "b", 5, 0, 0, 0, (entry(6, 1),)),
        Append("a", "b", 5, 3, 6, 0),
        Append("a", "b", 5, 3, 4, 0, (entry(3, 4),)),
        Append("a", "b", 5, 0, 0, 0, (Entry(5, 1, EntryKind.MEMBERSHIP, b"{"),)),
        InstallSnapshot("a", "b", 5, SnapshotMeta(9, 6, ABC, 4), 0, b"four", True),
        InstallSnapshot("a", "b", 5, SnapshotMeta(9, 5, NOBODY, 4), 0, b"four", True),
        InstallSnapshot("a", "b", 5, SnapshotMeta(9, 5, ABC, 4), 0, b"fives", True),
        InstallSnapshot("a", "b", 5, SnapshotMeta(9, 5, ABC, 4), 0, b"four", False),
        InstallSnapshot("a", "b", 5, SnapshotMeta(9, 5, ABC, 4), 2, b"x", True),
    ],
)
def test_impossible_messages_change_nothing(message: Message) -> None:
    follower = Lone(terms=(1,))
    before = (follower.raft.status(), follower.raft.deadline())
    with pytest.raises(Violation):
        follower.raft.step(message, follower.now)
    assert (follower.raft.status(), follower.raft.deadline()) == before
    assert follower.raft.ready() is None


@pytest.mark.parametrize(
    "append", [Append("a", "c", 2, 0, 0, 0, entries(1, 2)), Append("a", "c", 2, 1, 2, 1)]
)
def test_what_is_committed_cannot_be_contradicted(append: Append) -> None:
    follower = Lone()
    follower.step(Append("a", "b", 1, 0, 0, 1, entries(1, 1)))
    with pytest.raises(Violation, match="contradicts"):
        follower.raft.step(append, follower.now)
    assert follower.raft.status().term == 1


def test_a_term_has_one_leader() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "b", 1, 0, 1))
    with pytest.raises(Violation, match="both claim"):
        follower.raft.step(Heartbeat("a", "c", 1, 0, 1), follower.now)
    leader = Lone().lead("b")
    with pytest.raises(Violation, match="both claim"):
        leader.raft.step(Append("a", "c", 1, 0, 0, 0), leader.now)


@pytest.mark.parametrize(
    "reply",
    [AppendReply("a", "b", 1, 2), HeartbeatReply("a", "b", 1, 1, 2, 0), HeartbeatReply("a", "b", 1, 9, 0, 0)],
)
def test_nobody_holds_more_than_was_sent(reply: Message) -> None:
    leader = Lone().lead("b")
    with pytest.raises(Violation):
        leader.raft.step(reply, leader.now)
    assert leader.raft.status().commit_index == 0


def test_garbage_gives_only_violations() -> None:
    """Random but well-typed messages, to a follower and to a leader: nothing else is raised, terms never fall."""
    rng = random.Random(7)
    for case in range(300):
        server = Lone(terms=(1, 1, 2)) if case % 2 else Lone(terms=(1, 1, 2)).lead("b")
        term = server.raft.status().term
        for _ in range(20):
            try:
                server.step(_garbage(rng))
            except Violation:
                continue
            assert server.raft.status().term >= term
            term = server.raft.status().term


def _garbage(rng: random.Random) -> Message:
    def number() -> int:
        return rng.choice([0, 0, 1, 1, 2, 2, 3, 4, 5, 6, -1, 1 << 63])

    sender, to = rng.choice("bbccdx"), rng.choice("aaaaaaab")
    kinds: list[Message] = [
        VoteRequest(to, sender, number(), number(), number(), rng.random() < 0.5, rng.random() < 0.5),
        VoteReply(to, sender, number(), rng.random() < 0.5, rng.random() < 0.5),
        Append(to, sender, number(), number(), number(), number(), entries(number(), number(), number())),
        AppendReply(to, sender, number(), number(), rng.random() < 0.5, number(), number()),
        Heartbeat(to, sender, number(), number(), number(), rng.choice([0.0, 0.1, -1.0, 1e9])),
        HeartbeatReply(to, sender, number(), number(), number(), number()),
        ReadRequest(to, sender, number(), number()),
        ReadReply(to, sender, number(), number(), number()),
        TimeoutNow(to, sender, number()),
        InstallSnapshot(
            to, sender, number(), SnapshotMeta(number(), number(), ABC, 4), number(), b"four", True
        ),
        SnapshotReply(to, sender, number(), number(), number()),
    ]
    return rng.choice(kinds)
