"""ReadIndex: section 8; dissertation 6.4."""

import pytest

from tests.raft.cluster import Cluster
from tests.raft.lone import Lone
from worker.raft import (
    AppendReply,
    Busy,
    Heartbeat,
    HeartbeatReply,
    NotLeader,
    ReadReply,
    ReadRequest,
    ReadState,
    Role,
    VoteReply,
)


def settled_leader(**numbers: float) -> Lone:
    leader = Lone(**numbers).lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    leader.sent.clear()
    return leader


def alive(sender: str, round: int, term: int = 1) -> HeartbeatReply:
    return HeartbeatReply("a", sender, term, round, 1, 1)


def test_6_4_a_read_waits_for_a_quorum_that_was_asked_after_it() -> None:
    leader = settled_leader()
    leader.raft.read_index("r")
    round = leader.take(Heartbeat)[0].round
    leader.step(alive("b", round - 1))
    assert leader.reads == []
    leader.step(alive("c", round))
    assert leader.reads == [ReadState("r", 1)]


def test_6_4_all_reads_between_two_hand_overs_share_a_round() -> None:
    leader = settled_leader()
    for context in range(100):
        leader.raft.read_index(context)
    beats = leader.take(Heartbeat)
    assert len(beats) == 2
    leader.step(alive("b", beats[0].round))
    assert [read.context for read in leader.reads] == list(range(100))


def test_8_a_new_leader_holds_reads_back_until_its_own_entry_is_committed() -> None:
    leader = Lone(terms=(1,)).lead("b")
    leader.raft.read_index("r")
    assert leader.take(Heartbeat) == []
    leader.step(AppendReply("a", "b", 2, 2))
    round = leader.take(Heartbeat)[0].round
    leader.step(alive("b", round, term=2))
    assert leader.reads == [ReadState("r", 2)]


def test_a_lone_server_reads_at_once() -> None:
    alone = Lone(voters="a")
    alone.wait(10.0)
    alone.raft.read_index("r")
    alone.pump()
    assert alone.reads == [ReadState("r", 1)]


def test_followers_reads_go_through_the_leader_as_one_request() -> None:
    follower = Lone()
    with pytest.raises(NotLeader) as refused:
        follower.raft.read_index("early")
    assert refused.value.leader is None
    follower.step(Heartbeat("a", "b", 1, 0, 1))
    follower.raft.read_index("r1")
    follower.raft.read_index("r2")
    (request,) = follower.take(ReadRequest)
    follower.step(ReadReply("a", "b", 1, request.number, 7))
    assert follower.reads == [ReadState("r1", 7), ReadState("r2", 7)]
    follower.step(ReadReply("a", "b", 1, request.number, 7))
    assert len(follower.reads) == 2


def test_a_leader_answers_followers_with_its_commit_index() -> None:
    leader = settled_leader()
    leader.step(ReadRequest("a", "c", 1, 41))
    round = leader.take(Heartbeat)[0].round
    leader.step(alive("b", round))
    assert leader.take(ReadReply) == [ReadReply("c", "a", 1, 41, 1)]


def test_a_lost_request_is_asked_again() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "b", 1, 0, 1))
    follower.raft.read_index("r")
    (first,) = follower.take(ReadRequest)
    for round in range(2, 5):
        follower.now += 0.1
        follower.step(Heartbeat("a", "b", 1, 0, round))
    again = follower.take(ReadRequest)
    assert [request.number for request in again] == [first.number]


def test_reads_move_to_the_next_leader() -> None:
    cluster = Cluster("abc")
    cluster.start()
    cluster.elect("a")
    cluster.cuts |= {("a", "b"), ("a", "c"), ("b", "a"), ("c", "a")}
    cluster["a"].core.read_index("r")
    cluster["a"].pump()
    cluster.elapse(3.0)
    assert cluster["a"].reads == []
    leader = cluster.leader()
    assert leader is not None
    cluster.propose(leader.id, b"x")
    cluster.cuts.clear()
    cluster.elapse(1.0)
    assert cluster["a"].reads == [("r", leader.status().commit_index)]


def test_an_answer_to_an_earlier_life_confirms_nothing() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "b", 1, 0, 1))
    follower.raft.read_index("r")
    (request,) = follower.take(ReadRequest)
    assert request.number > 1 << 20, "numbers begin at random"
    follower.step(ReadReply("a", "b", 1, 1, 0))
    assert follower.reads == []


def test_reads_are_bounded() -> None:
    leader = settled_leader(max_pending_reads=2)
    leader.raft.read_index("r1")
    leader.raft.read_index("r2")
    with pytest.raises(Busy):
        leader.raft.read_index("r3")
    round = leader.take(Heartbeat)[-1].round
    leader.step(alive("b", round))
    leader.raft.read_index("r3")


def test_a_deposed_leader_answers_nothing() -> None:
    leader = settled_leader()
    leader.raft.read_index("r")
    round = leader.take(Heartbeat)[0].round
    leader.step(VoteReply("a", "b", 2, False))
    assert leader.raft.status().role is Role.FOLLOWER
    leader.step(alive("b", round), alive("c", round))
    assert leader.reads == []
