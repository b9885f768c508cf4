"""Log replication and commitment: sections 5.3, 5.4.2; dissertation 10.2.1 (pipelining, the leader's own disk)."""

import pytest

from tests.raft.lone import Lone, entries, entry
from worker.raft import Append, AppendReply, Busy, Heartbeat, HeartbeatReply, ProgressState, Refused
from worker.raft.errors import Unreadable


def ack(sender: str, index: int, term: int = 1) -> AppendReply:
    return AppendReply("a", sender, term, index)


def test_5_3_a_follower_takes_in_what_follows_on_its_log() -> None:
    follower = Lone(terms=(1, 1))
    follower.step(Append("a", "b", 2, 2, 1, 0, entries(3, 1, 2)))
    assert [e.term for e in follower.disk.log] == [1, 1, 1, 2]
    assert follower.take(AppendReply)[-1] == AppendReply("b", "a", 2, 4)


def test_5_3_a_gap_is_refused_with_a_hint() -> None:
    follower = Lone(terms=(1, 1))
    follower.step(Append("a", "b", 2, 9, 2, 0, entries(10, 2)))
    assert follower.take(AppendReply) == [AppendReply("b", "a", 2, 9, True, 2, 1)]


def test_5_3_a_conflicting_term_is_skipped_whole() -> None:
    follower = Lone(terms=(1, 1, 3, 3, 3))
    follower.step(Append("a", "b", 5, 4, 2, 0))
    assert follower.take(AppendReply) == [AppendReply("b", "a", 5, 4, True, 2, 1)]


def test_5_3_entries_that_contradict_are_cut_off_with_all_that_follows() -> None:
    follower = Lone(terms=(1, 2, 2, 2))
    follower.step(Append("a", "b", 3, 1, 1, 0, entries(2, 3)))
    assert [e.term for e in follower.disk.log] == [1, 3]


def test_5_3_an_old_append_that_comes_late_cuts_off_nothing() -> None:
    follower = Lone()
    follower.step(
        Append("a", "b", 1, 0, 0, 0, entries(1, 1, 1, 1)), Append("a", "b", 1, 0, 0, 0, entries(1, 1))
    )
    assert len(follower.disk.log) == 3


def test_5_3_commit_never_passes_what_this_append_has_proved() -> None:
    follower = Lone(terms=(1, 1, 1))
    follower.step(Append("a", "b", 2, 1, 1, 3))
    assert follower.raft.status().commit_index == 1, "entries 2 and 3 may not be the leader's"


def test_5_3_a_heartbeat_commits_only_what_this_leader_has_proved() -> None:
    follower = Lone(terms=(1, 1, 1))
    follower.step(Heartbeat("a", "b", 2, 3, 1))
    assert follower.raft.status().commit_index == 0


def test_5_3_a_leader_sends_to_both_before_its_own_disk_is_done() -> None:
    leader = Lone(instant=False)
    leader.instant = True
    leader.lead("b")
    leader.step(ack("b", 1))
    leader.instant = False
    leader.raft.propose([b"x", b"y"])
    sent = [message for message in leader.take(Append) if message.entries]
    assert {(message.to, len(message.entries)) for message in sent} >= {("b", 2)}
    assert leader.pending, "the write is still under way"


def test_10_2_1_a_quorum_may_commit_before_the_leaders_own_disk() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1), ack("c", 1))
    leader.instant = False
    leader.raft.propose([b"x"])
    leader.pump()
    leader.step(ack("b", 2))
    assert leader.raft.status().commit_index == 1, "the leader's own copy is not durable: one of three"
    leader.step(ack("c", 2))
    assert leader.raft.status().commit_index == 2
    assert leader.applied[-1].index == 1, "committed, but not yet durable here"
    leader.persist()
    assert leader.applied[-1].index == 2


def test_5_4_2_an_entry_of_an_older_term_is_not_committed_by_counting() -> None:
    leader = Lone(terms=(1, 2)).lead("b")
    assert leader.raft.status().term == 3
    leader.step(ack("b", 2, term=3), ack("c", 2, term=3))
    assert leader.raft.status().commit_index == 0
    leader.step(ack("b", 3, term=3))
    assert leader.raft.status().commit_index == 3


def test_5_1_answers_to_an_earlier_leadership_count_nothing() -> None:
    """Since then the follower may have replaced what it acknowledged."""
    leader = Lone().lead("b")
    leader.raft.propose([b"x"])
    leader.step(AppendReply("a", "c", 3, 0, True))
    leader.lead("b")
    leader.step(ack("b", 2, term=1), ack("c", 2, term=1))
    assert leader.raft.status().peers["b"].match_index == 0


def test_learners_are_sent_everything_and_counted_for_nothing() -> None:
    leader = Lone(voters="ab", learners="l").lead("b")
    leader.step(ack("l", 1))
    assert leader.raft.status().commit_index == 0
    leader.step(ack("b", 1))
    assert leader.raft.status().commit_index == 1


def test_a_probe_is_one_message_and_a_pipeline_is_many() -> None:
    leader = Lone(max_append_entries=1, max_inflight_messages=3).lead("b")
    leader.raft.propose([b"1", b"2", b"3", b"4", b"5"])
    assert [message.to for message in leader.take(Append)] == []
    leader.step(ack("b", 1))
    sent = [
        message.entries[0].index for message in leader.take(Append) if message.to == "b" and message.entries
    ]
    assert sent == [2, 3, 4]
    leader.step(ack("b", 3))
    sent = [
        message.entries[0].index for message in leader.take(Append) if message.to == "b" and message.entries
    ]
    assert sent == [5, 6]


def test_what_is_under_way_is_bounded_in_bytes() -> None:
    leader = Lone(max_append_bytes=10, max_inflight_bytes=25).lead("b")
    leader.step(ack("b", 1))
    leader.take(Append)
    leader.raft.propose([b"x" * 10] * 9)
    assert len([m for m in leader.take(Append) if m.to == "b" and m.entries]) == 3
    peer = leader.raft.status().peers["b"]
    assert (peer.inflight_messages, peer.inflight_bytes) == (3, 30)


def test_an_append_holds_many_entries_up_to_its_limits() -> None:
    leader = Lone(max_append_bytes=100).lead("b")
    leader.step(ack("b", 1))
    leader.take(Append)
    leader.raft.propose([b"x" * 30] * 4 + [b"y" * 1000])
    sizes = [[len(e.data) for e in m.entries] for m in leader.take(Append) if m.to == "b"]
    assert sizes == [[30, 30, 30], [30], [1000]]


def test_too_much_uncommitted_is_refused_until_some_is_committed() -> None:
    leader = Lone(max_uncommitted_bytes=100).lead("b")
    leader.raft.propose([b"x" * 99])
    with pytest.raises(Busy):
        leader.raft.propose([b"xx"])
    leader.step(ack("b", 1), ack("b", 2))
    assert leader.raft.propose([b"xx"]) == [3]


def test_one_command_may_exceed_the_limit_of_many_but_not_its_own() -> None:
    leader = Lone(max_uncommitted_bytes=100, max_entry_bytes=500).lead("b")
    assert leader.raft.propose([b"x" * 400]) == [2]
    with pytest.raises(Refused):
        Lone(max_entry_bytes=500).lead("b").raft.propose([b"x" * 501])


def test_a_lost_append_is_found_out_by_the_next_heartbeat() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1))
    leader.raft.propose([b"lost"])
    leader.take(Append)
    leader.wait(0.1)
    round = leader.take(Heartbeat)[0].round
    leader.step(HeartbeatReply("a", "b", 1, round, received=1, durable=1))
    again = [message for message in leader.take(Append) if message.to == "b"]
    assert [e.data for e in again[0].entries] == [b"lost"]


def test_a_slow_disk_over_there_is_not_taken_for_a_loss() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1))
    leader.raft.propose([b"x"])
    leader.take(Append)
    for _ in range(5):
        leader.wait(0.1)
        round = leader.take(Heartbeat)[0].round
        leader.step(HeartbeatReply("a", "b", 1, round, received=2, durable=1))
        assert [message for message in leader.take(Append) if message.to == "b" and message.entries] == []


def test_a_lost_acknowledgement_is_made_good_by_a_heartbeat() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1))
    leader.raft.propose([b"x"])
    leader.wait(0.1)
    round = leader.take(Heartbeat)[0].round
    leader.step(HeartbeatReply("a", "b", 1, round, received=2, durable=2))
    assert leader.raft.status().commit_index == 2


def test_a_broken_connection_sends_the_pipeline_back_to_probing() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1))
    leader.raft.propose([b"x"])
    leader.take(Append)
    leader.raft.peer_lost("b", leader.now)
    assert leader.raft.status().peers["b"].state is ProgressState.PROBE
    assert [m.previous_index for m in leader.take(Append) if m.to == "b"] == [1]


def test_a_stale_rejection_changes_nothing() -> None:
    leader = Lone().lead("b")
    leader.step(ack("b", 1))
    leader.raft.propose([b"x"])
    leader.step(ack("b", 2), AppendReply("a", "b", 1, 1, True, 0, 0))
    peer = leader.raft.status().peers["b"]
    assert (peer.state, peer.match_index, peer.next_index) == (ProgressState.REPLICATE, 2, 3)


def test_committed_entries_come_in_order_once_and_in_bounded_pieces() -> None:
    leader = Lone(max_committed_bytes=20, max_committed_entries=3).lead("b")
    leader.raft.propose([b"x" * 8] * 10 + [b"x"] * 10)
    leader.step(ack("b", 1), ack("b", 21))
    assert [e.index for e in leader.applied] == list(range(1, 22))
    assert max(len(ready.committed) for ready in leader.readys) == 3
    assert max(sum(len(e.data) for e in ready.committed) for ready in leader.readys) <= 20


def test_nothing_more_is_handed_out_before_the_last_was_applied() -> None:
    leader = Lone(voters="a")
    leader.wait(10.0)
    leader.raft.propose([b"x"])
    ready = leader.raft.ready()
    assert ready is not None
    leader.disk.write(ready.entries)
    leader.raft.persisted(ready.last_index, ready.last_term, ready.number)
    handed = leader.raft.ready()
    assert handed is not None
    assert [e.index for e in handed.committed] == [2]
    leader.raft.propose([b"y"])
    ready = leader.raft.ready()
    assert ready is not None
    leader.disk.write(ready.entries)
    leader.raft.persisted(ready.last_index, ready.last_term, ready.number)
    assert leader.raft.ready() is None
    leader.raft.applied(2)
    handed = leader.raft.ready()
    assert handed is not None
    assert handed.committed == (entry(1, 3, b"y"),)


def test_a_leader_that_cannot_read_an_old_entry_leads_on_and_sends_it_once_it_can() -> None:
    leader = Lone(terms=(1, 1, 1)).lead("b")
    leader.step(AppendReply("a", "c", 2, 4))
    leader.take(Append)
    assert [e.index for e in leader.applied] == [1, 2, 3, 4]
    leader.disk.damaged = {2}
    leader.step(AppendReply("a", "b", 2, 3, rejected=True, hint_index=0, hint_term=0))
    sent = leader.take(Append)
    assert [(message.to, [e.index for e in message.entries]) for message in sent] == [("b", [1])]
    leader.step(AppendReply("a", "b", 2, 1))
    assert not [message for message in leader.take(Append) if message.to == "b"]
    leader.disk.damaged.clear()
    assert [e.index for m in leader.take(Append) if m.to == "b" for e in m.entries] == [2, 3, 4]


def test_an_entry_that_cannot_be_read_to_be_applied_ends_the_server() -> None:
    """Its others may have compacted it: only a start, which asks for a snapshot, leads on."""
    leader = Lone(terms=(1, 1, 1)).lead("b")
    leader.disk.damaged = {2}
    with pytest.raises(Unreadable):
        leader.step(AppendReply("a", "c", 2, 4))
