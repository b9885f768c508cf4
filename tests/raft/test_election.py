"""Elections: sections 5.1, 5.2, 5.4.1; dissertation 4.2.3 (leader stickiness), 6.2 (check-quorum), 9.6 (pre-vote)."""

import pytest

from tests.raft.cluster import Cluster
from tests.raft.lone import Lone
from worker.raft import (
    Append,
    AppendReply,
    Config,
    HardState,
    Heartbeat,
    HeartbeatReply,
    NotLeader,
    Role,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)


def request(
    term: int, last_index: int = 0, last_term: int = 0, sender: str = "b", **kind: bool
) -> VoteRequest:
    return VoteRequest("a", sender, term, last_index, last_term, **kind)


def test_5_1_a_later_term_makes_a_leader_follow() -> None:
    leader = Lone().lead("b")
    leader.step(Append("a", "c", 2, 0, 0, 0))
    status = leader.raft.status()
    assert (status.role, status.term, status.leader) == (Role.FOLLOWER, 2, "c")


def test_5_1_an_earlier_term_is_refused_and_told_ours() -> None:
    follower = Lone(hard_state=HardState(5))
    follower.step(request(4))
    assert follower.take(VoteReply) == [VoteReply("b", "a", 5, False)]
    assert follower.raft.status().term == 5


def test_5_2_the_timeout_is_random_between_one_and_two() -> None:
    waits = set()
    follower = Lone()
    for _ in range(50):
        follower.step(Heartbeat("a", "b", 1, 0, 1))
        waits.add(follower.raft.deadline() - follower.now)
    assert min(waits) >= 1.0
    assert max(waits) < 2.0
    assert len(waits) == 50
    assert max(waits) - min(waits) > 0.7


def test_5_2_one_vote_per_term_first_come_first_served() -> None:
    voter = Lone()
    voter.step(request(1, sender="b"), request(1, sender="c"), request(1, sender="b"))
    answers = [(reply.to, reply.granted) for reply in voter.take(VoteReply)]
    assert sorted(answers) == [("b", True), ("b", True), ("c", False)]


def test_5_2_a_vote_is_kept_over_a_restart() -> None:
    voter = Lone(hard_state=HardState(3, "b"))
    voter.step(request(3, sender="c"), request(3, sender="b"))
    assert [(reply.to, reply.granted) for reply in voter.take(VoteReply)] == [("c", False), ("b", True)]


def test_5_2_a_vote_leaves_only_when_it_is_durable() -> None:
    voter = Lone(instant=False)
    voter.step(request(1))
    assert voter.take(VoteReply) == []
    voter.persist()
    assert voter.take(VoteReply) == [VoteReply("b", "a", 1, True)]


def test_5_2_a_repeated_vote_waits_for_the_write_that_is_under_way() -> None:
    voter = Lone(instant=False)
    voter.step(request(1))
    voter.step(request(1))
    assert voter.take(VoteReply) == []
    voter.persist()
    assert len(voter.take(VoteReply)) == 2


def test_5_2_a_candidate_asks_only_when_its_own_vote_is_durable() -> None:
    candidate = Lone(instant=False)
    candidate.wait(10.0)
    candidate.step(VoteReply("a", "b", 1, True, pre=True))
    assert all(message.pre for message in candidate.take(VoteRequest))
    candidate.persist()
    assert [message.to for message in candidate.take(VoteRequest)] == ["b", "c"]


def test_5_2_a_lone_server_leads_only_when_its_vote_is_durable() -> None:
    alone = Lone(voters="a", instant=False)
    alone.wait(10.0)
    assert alone.raft.status().role is Role.CANDIDATE
    alone.wait(60.0)
    assert alone.raft.status().term == 1, "no second election while the first one's vote is being written"
    alone.persist()
    assert alone.raft.status().role is Role.LEADER


def test_5_2_votes_of_an_earlier_election_do_not_count() -> None:
    candidate = Lone(voters="abcde")
    candidate.wait(10.0)
    candidate.step(*(VoteReply("a", voter, 1, True, pre=True) for voter in "bc"))
    candidate.step(VoteReply("a", "b", 1, True))
    candidate.wait(10.0)
    candidate.step(*(VoteReply("a", voter, 2, True, pre=True) for voter in "bc"))
    assert candidate.raft.status().term == 2
    candidate.step(VoteReply("a", "c", 1, True), VoteReply("a", "b", 2, True))
    assert candidate.raft.status().role is Role.CANDIDATE


def test_5_2_doubled_votes_count_once_and_strangers_never() -> None:
    candidate = Lone(voters="abcde", learners="l")
    candidate.wait(10.0)
    for voter in ("b", "b", "b", "l", "x"):
        candidate.step(VoteReply("a", voter, 1, True, pre=True))
    assert candidate.raft.status().role is Role.PRE_CANDIDATE


def test_5_2_a_majority_of_refusals_ends_the_attempt() -> None:
    candidate = Lone()
    candidate.wait(10.0)
    candidate.step(VoteReply("a", "b", 0, False, pre=True), VoteReply("a", "c", 0, False, pre=True))
    assert candidate.raft.status().role is Role.FOLLOWER


@pytest.mark.parametrize(
    ("last_index", "last_term", "granted"),
    [(2, 2, False), (3, 2, True), (4, 2, True), (1, 3, True), (9, 1, False)],
)
def test_5_4_1_only_a_log_as_up_to_date_gets_the_vote(last_index: int, last_term: int, granted: bool) -> None:
    voter = Lone(terms=(1, 2, 2))
    voter.step(request(9, last_index, last_term))
    assert [reply.granted for reply in voter.take(VoteReply)] == [granted]


def test_5_4_1_a_leader_is_never_voted_against_in_its_term() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "c", 1, 0, 1), request(1))
    assert [reply.granted for reply in follower.take(VoteReply)] == [False]


def test_9_6_a_pre_vote_promises_nothing() -> None:
    voter = Lone()
    voter.step(request(7, pre=True), request(7, pre=True, sender="c"))
    replies = voter.take(VoteReply)
    assert [(reply.to, reply.term, reply.granted) for reply in replies] == [("b", 7, True), ("c", 7, True)]
    assert voter.raft.status().term == 0
    assert voter.disk.hard_state == HardState()


def test_9_6_of_two_pre_candidates_alike_the_lower_id_yields() -> None:
    one = Lone("b", voters="abc")
    one.wait(10.0)
    one.step(VoteRequest("b", "a", 1, 0, 0, pre=True), VoteRequest("b", "c", 1, 0, 0, pre=True))
    assert [(reply.to, reply.granted) for reply in one.take(VoteReply)] == [("a", False), ("c", True)]


@pytest.mark.parametrize("pre", [True, False])
def test_4_2_3_who_hears_a_leader_answers_no_candidate(pre: bool) -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "c", 1, 0, 1))
    follower.step(request(5, pre=pre))
    assert follower.take(VoteReply) == []
    assert follower.raft.status().term == 1
    follower.now += 1.0
    follower.step(request(5, pre=pre))
    assert [reply.granted for reply in follower.take(VoteReply)] == [True]


def test_4_2_3_an_election_that_the_leader_asked_for_is_answered_at_once() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "c", 1, 0, 1), request(2, transfer=True))
    assert [reply.granted for reply in follower.take(VoteReply)] == [True]


def test_6_2_a_leader_without_a_quorum_steps_down() -> None:
    leader = Lone().lead("b")
    for _ in range(30):
        leader.wait(0.1)
        round = leader.take(Heartbeat)[0].round
        leader.step(HeartbeatReply("a", "b", 1, round, 0, 0))
    assert leader.raft.status().role is Role.LEADER
    for _ in range(12):
        leader.wait(0.1)
    assert leader.raft.status().role is Role.FOLLOWER
    with pytest.raises(NotLeader):
        leader.raft.propose([b"x"])


def test_6_2_reads_without_answers_do_not_keep_a_leader_in_office() -> None:
    leader = Lone().lead("b")
    leader.step(AppendReply("a", "b", 1, 1))
    for number in range(40):
        leader.raft.read_index(number)
        leader.wait(0.05)
        if leader.raft.status().role is Role.FOLLOWER:
            break
    assert leader.raft.status().role is Role.FOLLOWER


def test_learners_do_not_stand_and_do_not_count() -> None:
    learner = Lone("l", voters="ab", learners="l")
    learner.wait(100.0)
    assert learner.raft.status().role is Role.FOLLOWER
    learner.step(Heartbeat("l", "a", 1, 0, 1), TimeoutNow("l", "a", 1))
    assert learner.raft.status().role is Role.FOLLOWER


def test_crash_evidence_starts_a_pre_vote_within_the_jitter() -> None:
    follower = Lone()
    follower.step(Heartbeat("a", "b", 1, 0, 1))
    follower.raft.peer_lost("c", follower.now)
    assert follower.raft.deadline() >= 1.0
    follower.raft.peer_lost("b", follower.now)
    assert follower.raft.deadline() <= follower.now + 0.02
    follower.wait(0.02)
    assert [message.pre for message in follower.take(VoteRequest)] == [True, True]


def test_crash_evidence_a_voter_grants_early_only_if_it_lost_the_leader_too() -> None:
    voter = Lone()
    voter.step(Heartbeat("a", "c", 1, 0, 1), request(2, pre=True))
    assert voter.take(VoteReply) == []
    voter.raft.peer_lost("c", voter.now)
    voter.step(request(2, pre=True))
    assert [reply.granted for reply in voter.take(VoteReply)] == [True]


def test_crash_evidence_is_void_once_the_leader_is_heard_again() -> None:
    voter = Lone()
    voter.step(Heartbeat("a", "c", 1, 0, 1))
    voter.raft.peer_lost("c", voter.now)
    voter.step(Heartbeat("a", "c", 1, 0, 2), request(2, pre=True))
    assert voter.take(VoteReply) == []
    assert voter.raft.deadline() >= 1.0


@pytest.mark.parametrize("size", [3, 5])
def test_crash_evidence_finds_a_leader_in_a_fraction_of_a_timeout(size: int) -> None:
    took = []
    for seed in range(100):
        cluster = Cluster("abcde"[:size], seed=seed)
        cluster.start()
        cluster.elect("a")
        cluster.elapse(0.5)
        cluster["a"].crash()
        began = cluster.now
        for server in cluster.servers.values():
            if server.raft is not None:
                server.core.peer_lost("a", cluster.now)
        while cluster.leader() is None:
            cluster.elapse(0.001)
        took.append(cluster.now - began)
    took.sort()
    assert took[50] < 0.05
    assert took[-1] < Config("a").election_timeout_s
