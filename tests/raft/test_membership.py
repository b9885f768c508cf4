"""Membership change, one voter at a time: section 6; dissertation 4.1 to 4.3, and its known bug."""

import pytest

from tests.raft.cluster import Cluster
from tests.raft.lone import Lone
from worker.raft import (
    Append,
    AppendReply,
    Busy,
    Entry,
    EntryKind,
    Membership,
    NotLeader,
    Refused,
    Role,
    Violation,
)


def members(voters: str, learners: str = "") -> Membership:
    return Membership(frozenset(voters), frozenset(learners))


def settled_leader(**numbers: float) -> Lone:
    leader = Lone(learners="de", **numbers).lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    return leader


def test_4_1_a_change_counts_from_when_it_is_appended() -> None:
    leader = settled_leader()
    leader.raft.propose_membership(members("abcd", "e"))
    assert leader.raft.status().membership == members("abcd", "e")
    leader.step(AppendReply("a", "b", 1, 2))
    assert leader.raft.status().commit_index == 1, "two of four are no majority"
    leader.step(AppendReply("a", "d", 1, 2))
    assert leader.raft.status().commit_index == 2


def test_4_1_a_change_that_is_cut_off_is_taken_back() -> None:
    follower = Lone()
    change = Entry(1, 1, EntryKind.MEMBERSHIP, members("abcd").encode())
    follower.step(Append("a", "b", 1, 0, 0, 0, (change,)))
    assert follower.raft.status().membership == members("abcd")
    follower.step(Append("a", "c", 2, 0, 0, 0, (Entry(2, 1, EntryKind.NOOP, b""),)))
    assert follower.raft.status().membership == members("abc")


def test_4_1_one_voter_at_a_time() -> None:
    leader = settled_leader()
    wrong = [
        members("abcde"),
        members("ade"),
        members("abc", "de"),
        members("abc", "cde"),
        Membership(frozenset()),
    ]
    for membership in wrong:
        with pytest.raises(Refused):
            leader.raft.propose_membership(membership)


def test_4_2_1_a_voter_joins_as_a_learner_and_is_promoted_when_it_has_caught_up() -> None:
    leader = settled_leader(max_append_entries=10)
    with pytest.raises(Refused, match="learner first"):
        leader.raft.propose_membership(members("abcf", "de"))
    leader.raft.propose([b"x"] * 20)
    leader.step(AppendReply("a", "b", 1, 21))
    with pytest.raises(Busy, match="21 entries behind"):
        leader.raft.propose_membership(members("abcd", "e"))
    leader.step(AppendReply("a", "d", 1, 11))
    leader.raft.propose_membership(members("abcd", "e"))


def test_4_1_one_change_at_a_time() -> None:
    leader = settled_leader()
    leader.raft.propose_membership(members("abcd", "e"))
    with pytest.raises(Busy):
        leader.raft.propose_membership(members("abcde"))
    leader.step(AppendReply("a", "b", 1, 2), AppendReply("a", "c", 1, 2))
    leader.raft.propose_membership(members("abcde"))


def test_a_new_leader_must_commit_in_its_own_term_first() -> None:
    leader = Lone().lead("b")
    with pytest.raises(Busy):
        leader.raft.propose_membership(members("ab"))
    leader.step(AppendReply("a", "b", 1, 1))
    leader.raft.propose_membership(members("ab"))


def test_followers_cannot_change_the_cluster() -> None:
    with pytest.raises(NotLeader):
        Lone().raft.propose_membership(members("ab"))


def test_4_2_2_a_leader_that_removes_itself_is_not_counted_and_leaves_when_it_is_committed() -> None:
    leader = settled_leader()
    leader.raft.propose_membership(members("bc"))
    leader.pump()
    leader.step(AppendReply("a", "b", 1, 2))
    assert leader.raft.status().role is Role.LEADER
    assert leader.raft.status().commit_index == 1
    leader.step(AppendReply("a", "c", 1, 2))
    assert leader.raft.status().role is Role.FOLLOWER
    assert leader.raft.status().commit_index == 2


def test_a_leader_that_leaves_takes_nothing_more_so_that_it_sees_all_of_its_log_committed() -> None:
    leader = settled_leader()
    leader.raft.propose([b"x"])
    leader.raft.propose_membership(members("bc", "de"))
    with pytest.raises(Busy, match="leaving"):
        leader.raft.propose([b"y"])
    with pytest.raises(Busy):
        leader.raft.propose_membership(members("b", "de"))
    leader.pump()
    leader.step(AppendReply("a", "b", 1, 3), AppendReply("a", "c", 1, 3))
    status = leader.raft.status()
    assert (status.role, status.commit_index, status.last_index) == (Role.FOLLOWER, 3, 3)


def test_4_2_2_a_removed_server_may_lead_until_its_removal_is_committed() -> None:
    """Its log may be the only one that the rest can commit from."""
    cluster = Cluster("ab")
    cluster.start()
    cluster.elect("a")
    cluster.cuts |= {("a", "b"), ("b", "a")}
    cluster["a"].core.propose_membership(members("b"))
    cluster["a"].pump()
    cluster.elapse(3.0)
    assert cluster.leader() is None
    cluster.cuts.clear()
    cluster.elapse(4.0)
    leader = cluster.leader()
    assert leader is not None
    assert leader.id == "b"
    assert leader.status().membership == members("b")


def test_4_2_3_a_removed_server_that_does_not_know_disturbs_nobody() -> None:
    cluster = Cluster("abcd")
    cluster.start()
    cluster.elect("a")
    cluster["a"].core.propose_membership(members("abc"))
    cluster["a"].pump()
    cluster.elapse(20.0)
    assert cluster["a"].is_leader()
    assert cluster["a"].status().term == 1


def test_a_server_is_replaced_while_commands_flow() -> None:
    cluster = Cluster("abc")
    cluster.start()
    cluster.elect("a")
    cluster.add("d").start()
    for number, change in enumerate([members("abc", "d"), members("abcd"), members("abd")]):
        cluster.propose("a", f"{number}".encode())
        cluster.settle()
        cluster["a"].core.propose_membership(change)
        cluster["a"].pump()
        cluster.settle()
    cluster["c"].crash()
    cluster["b"].crash()
    cluster.propose("a", b"with the new one")
    cluster.elapse(0.5)
    assert cluster["d"].machine[-1].data == b"with the new one"


def test_memberships_in_the_log_are_found_again_after_a_restart() -> None:
    cluster = Cluster("abc")
    cluster.start()
    cluster.elect("a")
    cluster["a"].core.propose_membership(members("abc", "l"))
    cluster["a"].pump()
    cluster.settle()
    for server in list(cluster.servers.values()):
        server.crash()
        server.start()
        assert server.status().membership == members("abc", "l")


def test_a_membership_survives_its_encoding_and_nothing_else_does() -> None:
    original = members("cab", "xy")
    assert Membership.decode(original.encode()) == original
    assert original.encode() == b'{"voters":["a","b","c"],"learners":["x","y"]}'
    for garbage in (
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"voters":[],"learners":[]}',
        b'{"voters":["a"],"learners":["a"]}',
        b'{"voters":["a","a"],"learners":[]}',
        b'{"voters":[1],"learners":[]}',
        b'{"voters":[[]],"learners":[]}',
        b'{"voters":"abc","learners":[]}',
        b'{"voters":[""],"learners":[]}',
        Membership(frozenset(map(str, range(65)))).encode(),
    ):
        with pytest.raises(Violation):
            Membership.decode(garbage)
