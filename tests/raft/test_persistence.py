"""Several writes under way at once: what is durable, what is acknowledged, and what a late report is worth."""

import pytest

from tests.raft.lone import Lone, entries
from worker.raft import Append, AppendReply, HardState, Heartbeat, HeartbeatReply, VoteReply, VoteRequest


def append(
    term: int, previous: int, previous_term: int, *terms: int, sender: str = "b", commit: int = 0
) -> Append:
    return Append("a", sender, term, previous, previous_term, commit, entries(previous + 1, *terms))


def acknowledged(follower: Lone) -> list[int]:
    return [reply.index for reply in follower.take(AppendReply) if not reply.rejected]


def test_an_acknowledgement_waits_for_its_own_write_only() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1))
    follower.step(append(1, 1, 1, 1))
    assert acknowledged(follower) == []
    follower.persist(1)
    assert acknowledged(follower) == [1]
    follower.persist(1)
    assert acknowledged(follower) == [2]


def test_one_report_for_the_newest_of_several_writes_is_enough() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1))
    follower.step(append(1, 1, 1, 1, 1))
    for ready in follower.pending:
        follower.disk.write(ready.entries)
    newest = follower.pending[-1]
    follower.raft.persisted(newest.last_index, newest.last_term, newest.number)
    assert acknowledged(follower) == [3]


def test_a_doubled_append_is_acknowledged_no_further_than_the_disk() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1))
    follower.step(append(1, 0, 0, 1))
    assert [index for index in acknowledged(follower) if index > 0] == []
    follower.persist()
    assert acknowledged(follower)[-1] == 1


def test_a_report_that_a_truncation_has_overtaken_is_ignored() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1, 1))
    follower.step(append(2, 0, 0, 2, sender="c"))
    follower.persist(1)
    assert follower.raft.status().durable_index == 0
    follower.persist()
    assert follower.raft.status().durable_index == 1
    assert acknowledged(follower) == [1]


def test_the_same_entry_written_cut_off_and_written_again_counts_from_the_last_write() -> None:
    """Index and term alone would take the first write's report for the third's; the disk is yet to cut (ABA)."""
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1))
    follower.step(append(3, 0, 0, 3, sender="c"))
    follower.step(append(4, 0, 0, 1, 4, sender="b"))
    first, second, third = follower.pending
    assert (first.entries[0].term, second.entries[0].term, third.entries[0].term) == (1, 3, 1)
    follower.persist(1)
    assert follower.raft.status().durable_index == 0
    follower.persist(1)
    assert follower.raft.status().durable_index == 0
    follower.persist(1)
    assert follower.raft.status().durable_index == 2


def test_committed_entries_are_handed_out_up_to_the_disk_only() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1, 1, commit=2))
    assert follower.raft.status().commit_index == 2
    assert follower.applied == []
    follower.persist()
    assert [e.index for e in follower.applied] == [1, 2]


def test_an_entry_whose_blob_is_missing_is_written_but_not_acknowledged() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1, 1, 1, commit=3))
    ready = follower.pending.pop()
    follower.disk.write(ready.entries)
    follower.raft.persisted(1, 1, ready.number)
    assert acknowledged(follower) == [1]
    assert [e.index for e in follower.applied] == [1]
    follower.step(Heartbeat("a", "b", 1, 1, 7))
    assert follower.take(HeartbeatReply) == [HeartbeatReply("b", "a", 1, 7, received=3, durable=1)]
    follower.raft.persisted(3, 1, ready.number)
    assert acknowledged(follower) == [3]
    assert [e.index for e in follower.applied] == [1, 2, 3]


def test_a_log_may_begin_with_a_tail_that_is_not_to_be_acknowledged_yet() -> None:
    follower = Lone(terms=(1, 1, 1), stable_index=1, hard_state=HardState(2))
    follower.step(VoteRequest("a", "c", 9, 2, 1, pre=True))
    assert [reply.granted for reply in follower.take(VoteReply)] == [False], "the tail counts in elections"
    follower.step(append(2, 3, 1, commit=3))
    assert acknowledged(follower) == [1]
    assert [e.index for e in follower.applied] == [1]
    follower.raft.persisted(3, 1, 0)
    assert acknowledged(follower) == [3]
    assert [e.index for e in follower.applied] == [1, 2, 3]


def test_a_tail_that_is_not_acknowledged_can_be_replaced() -> None:
    follower = Lone(terms=(1, 1, 1), stable_index=1)
    follower.step(append(2, 1, 1, 2))
    follower.raft.persisted(3, 1, 0)
    assert follower.raft.status().durable_index == 2
    assert [e.term for e in follower.disk.log] == [1, 2]


def test_a_leader_with_such_a_tail_replicates_it_without_counting_itself() -> None:
    leader = Lone(terms=(1, 1), stable_index=1, instant=False)
    leader.wait(10.0)
    leader.step(VoteReply("a", "b", 2, True, pre=True))
    for ready in leader.pending:
        leader.raft.persisted(1, 1, ready.number)
    leader.pump()
    leader.step(VoteReply("a", "b", 2, True))
    leader.step(AppendReply("a", "b", 2, 3))
    assert leader.raft.status().commit_index == 0
    leader.step(AppendReply("a", "c", 2, 3))
    assert leader.raft.status().commit_index == 3
    assert [e.index for e in leader.applied] == [1], "what is not durable here is not applied here"


def test_a_ready_is_handed_over_once() -> None:
    follower = Lone(instant=False)
    follower.step(append(1, 0, 0, 1))
    assert follower.raft.ready() is None
    assert [ready.number for ready in follower.readys] == sorted({ready.number for ready in follower.readys})


def test_restart_is_refused_where_no_crash_can_lead() -> None:
    with pytest.raises(ValueError, match="later than the hard state"):
        Lone(terms=(5,), hard_state=HardState(4))
    with pytest.raises(ValueError, match="outside"):
        Lone(terms=(1,), stable_index=2)


def test_a_report_of_the_future_is_the_drivers_mistake() -> None:
    with pytest.raises(ValueError, match="not handed over"):
        Lone().raft.persisted(0, 0, 99)
