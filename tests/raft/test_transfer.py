"""Leadership transfer: dissertation 3.10."""

import pytest

from tests.raft.cluster import Cluster
from tests.raft.lone import Lone
from worker.raft import AppendReply, Busy, NotLeader, Refused, Role, TimeoutNow


def test_an_up_to_date_target_is_told_at_once() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    leader.take(TimeoutNow)
    leader.raft.transfer_leader("b", leader.now)
    assert leader.take(TimeoutNow) == [TimeoutNow("b", "a", 1)]


def test_a_target_that_lags_is_brought_up_first_and_proposals_wait() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    leader.raft.propose([b"x"])
    leader.raft.transfer_leader("b", leader.now)
    assert leader.take(TimeoutNow) == []
    with pytest.raises(Busy):
        leader.raft.propose([b"y"])
    leader.step(AppendReply("a", "b", 1, 2))
    assert leader.take(TimeoutNow) == [TimeoutNow("b", "a", 1)]


def test_a_transfer_ends_after_an_election_timeout() -> None:
    leader = Lone().lead("b")
    leader.raft.transfer_leader("b", leader.now)
    assert leader.raft.deadline() <= leader.now + 1.0
    leader.wait(0.99)
    with pytest.raises(Busy):
        leader.raft.propose([b"x"])
    leader.wait(0.01)
    leader.raft.propose([b"x"])


def test_only_a_leader_hands_over_and_only_to_a_voter() -> None:
    with pytest.raises(NotLeader):
        Lone().raft.transfer_leader("b", 0.0)
    leader = Lone(learners="l").lead("b")
    for target in "lx":
        with pytest.raises(Refused):
            leader.raft.transfer_leader(target, leader.now)


def test_a_request_to_stand_from_anyone_but_the_leader_is_ignored() -> None:
    follower = Lone()
    follower.step(TimeoutNow("a", "b", 0))
    assert follower.raft.status().role is Role.FOLLOWER


def test_leadership_goes_round_without_a_timeout() -> None:
    cluster = Cluster("abc")
    cluster.start()
    cluster.elect("a")
    began = cluster.now
    for source, target in ["ab", "bc", "ca"]:
        cluster.propose(source, b"x")
        cluster.settle()
        cluster[source].core.transfer_leader(target, cluster.now)
        cluster[source].pump()
        cluster.settle()
        assert cluster[target].is_leader()
    assert cluster.now == began
    assert [len(server.machine) for server in cluster.servers.values()] == [7, 7, 7]
