"""Bugs on purpose, each a plausible slip in production code: a simulator that does not catch them proves nothing."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest.mock import patch

from tests.simulator.disk import SimulatedFile
from worker.driver import Driver
from worker.raft import (
    HardState,
    Raft,
    Role,
    VoteRequest,
    election,
    follower,
    read_index,
    replication,
)
from worker.raft.log import Log
from worker.raft.messages import Heartbeat
from worker.raft.ready import ReadState, Ready
from worker.raft.state import State
from worker.registry.sessions import Sessions, Ticket
from worker.storage.recovery import Recovered
from worker.storage.segment import SegmentReader

Patches = Sequence[AbstractContextManager[Any]]


def _forget_vote() -> Patches:
    """Term and log survive a restart, the vote does not."""
    start = Raft.__init__

    def forgetful(self: Raft, config: Any, hard_state: HardState, *rest: Any, **named: Any) -> None:
        start(self, config, HardState(hard_state.term, None), *rest, **named)

    return [patch.object(Raft, "__init__", forgetful)]


def _skip_sync() -> Patches:
    """What is appended to a file is reported as durable while the system still holds it in memory."""
    sync = SimulatedFile.sync

    def lying(self: SimulatedFile) -> None:
        if not self.inode.durable:
            sync(self)

    return [patch.object(SimulatedFile, "sync", lying)]


def _acknowledge_before_sync() -> Patches:
    """A follower acknowledges what it has received."""
    return [patch.object(follower, "_acknowledged", lambda state: state.verified)]


def _count_itself_before_sync() -> Patches:
    """The leader counts its own log before its disk has it."""
    of_quorum = replication._of_quorum

    def eager(state: State, own: float, of_peers: dict[str, float]) -> float:
        return of_quorum(state, state.log.last_index if own == state.log.durable else own, of_peers)

    return [patch.object(replication, "_of_quorum", eager)]


def _promise_before_sync() -> Patches:
    """Votes leave together with the messages that wait for nothing."""
    handle = Driver._handle

    def hasty(self: Driver, ready: Ready) -> None:
        for message in ready.after_persist:
            self._around.send(message)
        handle(self, ready)

    return [patch.object(Driver, "_handle", hasty)]


def _commit_older_term() -> Patches:
    """Entries of earlier terms are committed by counting (Figure 8)."""
    commit = replication.maybe_commit

    def counting(state: State) -> bool:
        held = {peer: progress.match for peer, progress in state.progress.items()}
        index = int(replication._of_quorum(state, state.log.durable, held))
        if state.log.term(index) == state.term:
            return commit(state)
        return state.log.commit_to(index)

    return [patch.object(replication, "maybe_commit", counting)]


def _count_learner() -> Patches:
    """A learner's disk counts like a voter's."""

    def counting(state: State, own: float, of_peers: dict[str, float]) -> float:
        values = sorted((own, *of_peers.values()), reverse=True)
        return values[state.configuration.quorum() - 1] if len(values) >= state.configuration.quorum() else 0

    return [patch.object(replication, "_of_quorum", counting)]


def _apply_twice() -> Patches:
    """A ticket that was seen before is applied again."""
    earlier = Sessions.earlier_answer

    def forgetful(self: Sessions, ticket: Ticket, time_ms: int) -> None:
        earlier(self, ticket, time_ms)

    return [patch.object(Sessions, "earlier_answer", forgetful)]


def _read_without_quorum() -> Patches:
    """The leader answers reads by itself, without asking whether it still leads."""

    def trusting(state: State) -> None:
        for round in state.reads.rounds:
            for read in round.reads:
                if read.origin is None:
                    state.outbox.reads.append(ReadState(read.context, round.index))
        state.reads.rounds.clear()

    return [patch.object(read_index, "maybe_confirm", trusting)]


def _read_before_applied() -> Patches:
    """A read is answered as soon as its index is known, applied or not."""

    def hasty(self: Driver) -> None:
        while self._safe:
            for readable in self._safe.popleft()[1]:
                readable(None)

    return [patch.object(Driver, "_answer_reads", hasty)]


def _elect_shorter_log() -> Patches:
    """Votes go to whoever asks first, whatever its log holds (5.4.1)."""
    handle = election.handle_vote_request

    def careless(state: State, request: VoteRequest) -> None:
        boast = VoteRequest(
            request.to, request.sender, request.term, 1 << 40, 1 << 40, request.pre, request.transfer
        )
        handle(state, boast)

    return [patch.object(election, "handle_vote_request", careless)]


def _vote_twice() -> Patches:
    """Who has voted votes again in the same term."""
    handle = election.handle_vote_request

    def generous(state: State, request: VoteRequest) -> None:
        if not request.pre and state.role is Role.FOLLOWER:
            state.voted_for = None
            state.leader = None
        handle(state, request)

    return [patch.object(election, "handle_vote_request", generous)]


def _cut_corruption() -> Patches:
    """Damage in the last segment is always taken for a torn write, and cut off."""

    def cut(segment: Any, reader: SegmentReader, found: Recovered) -> None:
        found.end = reader.end
        segment.file.truncate(reader.end)

    return [patch("worker.storage.recovery._end_last", cut)]


def _trust_heartbeat_commit() -> Patches:
    """A follower commits what a heartbeat names, though its own log may differ there."""
    handle = follower.handle_heartbeat

    def trusting(state: State, heartbeat: Heartbeat) -> None:
        state.log.commit_to(min(heartbeat.commit, state.log.last_index))
        handle(state, heartbeat)

    return [
        patch.object(follower, "handle_heartbeat", trusting),
        patch("worker.raft.replication.min", lambda *values: values[-1], create=True),
    ]


def _keep_conflicts() -> Patches:
    """A follower takes entries for known if it has any at their indexes."""

    def trusting(state: State, previous_index: int, entries: Sequence[Any]) -> int:
        return max(min(state.log.last_index - previous_index, len(entries)), 0)

    return [patch.object(follower, "_count_known", trusting)]


def _apply_before_durable() -> Patches:
    """Committed entries are applied before this worker's own disk has them."""

    def hasty(self: Log, max_bytes: int, max_entries: int) -> tuple[Any, ...]:
        if self.applied < self.applying:
            return ()
        entries = tuple(self.slice(self.applying + 1, self.commit + 1, max_bytes, max_entries))
        if entries:
            self.applying = entries[-1].index
        return entries

    return [patch.object(Log, "hand_committed", hasty)]


MUTATIONS: dict[str, Callable[[], Patches]] = {
    bug.__name__.strip("_"): bug
    for bug in (
        _forget_vote,
        _skip_sync,
        _acknowledge_before_sync,
        _count_itself_before_sync,
        _promise_before_sync,
        _commit_older_term,
        _count_learner,
        _apply_twice,
        _read_without_quorum,
        _read_before_applied,
        _elect_shorter_log,
        _vote_twice,
        _cut_corruption,
        _trust_heartbeat_commit,
        _keep_conflicts,
        _apply_before_durable,
    )
}


def mutated(name: str) -> ExitStack:
    """Within this context the production code has that bug."""
    stack = ExitStack()
    for one in MUTATIONS[name]():
        stack.enter_context(one)
    return stack
