"""Bugs put in on purpose, such as Raft implementations have shipped: each must be caught, or the tests prove nothing.

Most fall to the random runs within a few seeds; the rarest to the test of the section that they break.
"""

from collections.abc import Callable

import pytest

from tests.raft import test_election, test_read_index, test_replication
from tests.raft.test_random import Chaos
from worker.raft import (
    AppendReply,
    EntryKind,
    HeartbeatReply,
    Membership,
    NotLeader,
    Role,
    election,
    follower,
    log,
    raft,
    reconfiguration,
    replication,
)
from worker.raft.messages import VoteReply, VoteRequest
from worker.raft.state import State

SEEDS = 240


def commit_older_terms(patch: pytest.MonkeyPatch) -> None:
    """Figure 8: entries of older terms committed by counting."""

    def maybe_commit(state: State) -> bool:
        index = int(
            replication._of_quorum(state, state.log.durable, {p: q.match for p, q in state.progress.items()})
        )
        return index <= state.log.last_index and state.log.commit_to(index)

    patch.setattr(replication, "maybe_commit", maybe_commit)


def count_learners(patch: pytest.MonkeyPatch) -> None:
    def of_quorum(state: State, own: float, of_peers: dict[str, float]) -> float:
        values = sorted([own, *of_peers.values()], reverse=True)
        return values[state.configuration.quorum() - 1]

    patch.setattr(replication, "_of_quorum", of_quorum)


def leader_counts_itself_before_its_disk(patch: pytest.MonkeyPatch) -> None:
    original = replication._of_quorum

    def of_quorum(state: State, own: float, of_peers: dict[str, float]) -> float:
        return original(state, state.log.last_index if own == state.log.durable else own, of_peers)

    patch.setattr(replication, "_of_quorum", of_quorum)


def acknowledge_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(follower, "_acknowledged", lambda state: state.verified)


def vote_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "send_when_durable", State.send)


def vote_for_anyone(patch: pytest.MonkeyPatch) -> None:
    def handle(state: State, request: VoteRequest) -> None:
        state.send(VoteReply(request.sender, state.id, request.term, granted=True, pre=request.pre))

    patch.setattr(election, "handle_vote_request", handle)


def forget_the_vote_at_restart(patch: pytest.MonkeyPatch) -> None:
    original = State.__init__

    def forgetful(self: State, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        self.voted_for = None

    patch.setattr(State, "__init__", forgetful)


def take_late_reports_at_their_word(patch: pytest.MonkeyPatch) -> None:
    """What a Ready's number is for: a report overtaken by a truncation."""

    def persisted(self: log.Log, index: int, term: int, number: int) -> bool:
        index = min(index, self.handed)
        grew = index > self.durable
        self.durable = max(self.durable, index)
        return grew

    patch.setattr(log.Log, "persisted", persisted)


def never_cut_off_conflicts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        follower, "_count_known", lambda state, previous, new: max(0, state.log.last_index - previous)
    )


def apply_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    def hand_committed(self: log.Log, max_bytes: int, max_entries: int) -> tuple[object, ...]:
        if self.applied < self.applying:
            return ()
        found = tuple(self.slice(self.applying + 1, self.commit + 1, max_bytes, max_entries))
        self.applying += len(found)
        return found

    patch.setattr(log.Log, "hand_committed", hand_committed)


def read_without_asking_a_quorum(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replication, "quorum_round", lambda state: state.round)


def read_before_the_own_term_is_committed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replication, "has_committed_own_term", lambda state: True)


def trust_the_commit_index_of_an_unproved_log(patch: pytest.MonkeyPatch) -> None:
    def handle(state: State, beat: object) -> None:
        state.log.commit_to(min(state.log.last_index, beat.commit + 1))  # type: ignore[attr-defined]

    patch.setattr(follower, "handle_heartbeat", handle)


def change_membership_without_waiting(patch: pytest.MonkeyPatch) -> None:
    """Neither the change before nor an entry of the own term is committed: majorities need not overlap."""

    def propose(state: State, membership: Membership) -> int:
        if state.role is not Role.LEADER or not membership.voters:
            raise NotLeader(state.leader)
        return replication.append_own(state, [(EntryKind.MEMBERSHIP, membership.encode())])[0]

    patch.setattr(reconfiguration, "propose", propose)


def hold_acknowledgements_of_other_terms_valid(patch: pytest.MonkeyPatch) -> None:
    """Answers are taken whatever their term."""
    original = raft.Raft.step

    def step(self: raft.Raft, message: object, now: float) -> None:
        state = self._state
        if (
            isinstance(message, AppendReply | HeartbeatReply)
            and state.role is Role.LEADER
            and message.term < state.term
        ):
            progress = state.progress.get(message.sender)
            if progress is not None and isinstance(message, AppendReply) and not message.rejected:
                progress.maybe_update(min(message.index, state.log.last_index))
        original(self, message, now)  # type: ignore[arg-type]

    patch.setattr(raft.Raft, "step", step)


RANDOM_RUNS_CATCH = [
    acknowledge_before_the_disk,
    apply_before_the_disk,
    change_membership_without_waiting,
    count_learners,
    forget_the_vote_at_restart,
    leader_counts_itself_before_its_disk,
    never_cut_off_conflicts,
    read_before_the_own_term_is_committed,
    take_late_reports_at_their_word,
    trust_the_commit_index_of_an_unproved_log,
    vote_for_anyone,
]
SECTIONS_CATCH = [
    (commit_older_terms, test_replication.test_5_4_2_an_entry_of_an_older_term_is_not_committed_by_counting),
    (
        hold_acknowledgements_of_other_terms_valid,
        test_replication.test_5_1_answers_to_an_earlier_leadership_count_nothing,
    ),
    (
        read_without_asking_a_quorum,
        test_read_index.test_6_4_a_read_waits_for_a_quorum_that_was_asked_after_it,
    ),
    (vote_before_the_disk, test_election.test_5_2_a_vote_leaves_only_when_it_is_durable),
]


@pytest.mark.parametrize("mutation", RANDOM_RUNS_CATCH, ids=lambda mutation: mutation.__name__)
def test_the_random_runs_catch(
    mutation: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    for seed in range(SEEDS):
        try:
            Chaos(seed).run()
        except AssertionError:
            return
    pytest.fail(f"{SEEDS} random runs did not notice: {mutation.__name__}")


@pytest.mark.parametrize(("mutation", "promise"), SECTIONS_CATCH, ids=lambda function: function.__name__)
def test_the_test_of_its_section_catches(
    mutation: Callable[[pytest.MonkeyPatch], None],
    promise: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    promise()
    mutation(monkeypatch)
    with pytest.raises(AssertionError):
        promise()
