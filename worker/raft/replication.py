"""Log replication: a pipeline of appends to each follower, and commitment by a quorum's durable logs (5.3, 5.4.2)."""

import math
from collections.abc import Iterable

from worker.raft import snapshots, transfer
from worker.raft.entries import Entry, EntryKind
from worker.raft.errors import Unreadable
from worker.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from worker.raft.progress import Progress
from worker.raft.ready import ProgressState, Role
from worker.raft.state import State

MAX_ROUNDS_TIMED = 64


def append_own(state: State, commands: Iterable[tuple[EntryKind, bytes]]) -> list[int]:
    """The leader's own new entries, of its term; it counts them for itself only when they are durable."""
    index, term = state.log.last_index, state.term
    entries = [Entry(term, index + place, kind, data) for place, (kind, data) in enumerate(commands, start=1)]
    state.log.append(entries)
    size_bytes = sum([len(entry.data) for entry in entries])
    state.proposed.append((entries[-1].index, size_bytes))
    state.proposed_bytes += size_bytes
    if state.configuration.appended(entries):
        configuration_changed(state)
    return [entry.index for entry in entries]


def configuration_changed(state: State) -> None:
    """Replicate to those who belong to the cluster now, and to nobody else (6)."""
    if state.role is not Role.LEADER:
        return
    members = state.configuration.current.members - {state.id}
    for peer in state.progress.keys() - members:
        del state.progress[peer]
    for peer in sorted(members - state.progress.keys()):
        state.progress[peer] = Progress(peer, state.log.last_index + 1, state.config, state.now)
    if state.transfer_target not in state.configuration.voters:
        state.transfer_target = None
    maybe_commit(state)


def flush(state: State) -> None:
    """Send to each follower what it has not been sent: new entries, or news of the commit index."""
    for progress in state.progress.values():
        if progress.next <= state.log.last_index or progress.sent_commit < state.log.commit:
            maybe_send_appends(state, progress)


def maybe_send_appends(state: State, progress: Progress) -> None:
    """Send appends until the follower is up to date or its limits are reached."""
    log, config = state.log, state.config
    while not progress.is_paused():
        previous_index = progress.next - 1
        previous_term = log.term(previous_index)
        if previous_term is None or progress.next < log.first_index():
            snapshots.begin(state, progress)
            return
        try:
            entries = log.slice(
                progress.next, log.last_index + 1, config.max_append_bytes, config.max_append_entries
            )
        except Unreadable:
            return
        state.send(
            Append(
                progress.id, state.id, state.term, previous_index, previous_term, log.commit, tuple(entries)
            )
        )
        progress.sent_commit = log.commit
        progress.sent(previous_index + len(entries), sum([len(entry.data) for entry in entries]))
        if progress.next > log.last_index:
            return


def broadcast_heartbeat(state: State) -> None:
    """A heartbeat to every follower, with a new round number (5.2)."""
    state.round += 1
    state.round_sent[state.round] = state.now
    if len(state.round_sent) > MAX_ROUNDS_TIMED:
        del state.round_sent[next(iter(state.round_sent))]
    for progress in state.progress.values():
        progress.mark(state.round)
        commit = min(progress.match, state.log.commit)
        round_trip_s = progress.round_trip.bound_s()
        state.send(Heartbeat(progress.id, state.id, state.term, commit, state.round, round_trip_s))


def tick_leader(state: State) -> None:
    """Heartbeats; the end of leadership when no quorum answers (6.2 of the dissertation), or of a transfer."""
    if state.transfer_target is not None and state.now >= state.transfer_deadline:
        state.transfer_target = None
    if state.now < state.heartbeat_deadline:
        return
    state.round_trip_s = quorum_round_trip_s(state)
    if state.now >= quorum_heard(state) + state.election_timeout_s():
        state.become_follower(state.term, None)
        return
    state.heartbeat_deadline = state.now + state.config.heartbeat_interval_s
    broadcast_heartbeat(state)


def _of_quorum(state: State, own: float, of_peers: dict[str, float]) -> float:
    """The greatest value that a quorum of voters has reached; one that is unknown counts as 0."""
    values = [own if voter == state.id else of_peers.get(voter, 0) for voter in state.configuration.voters]
    values.sort(reverse=True)
    return values[state.configuration.quorum() - 1]


def quorum_heard(state: State) -> float:
    """The latest time since which a quorum of voters, this server included, has been heard."""
    return _of_quorum(state, state.now, {peer: progress.heard for peer, progress in state.progress.items()})


def quorum_round(state: State) -> int:
    """The latest heartbeat round that a quorum has answered."""
    return int(_of_quorum(state, state.round, {peer: p.acked_round for peer, p in state.progress.items()}))


def quorum_round_trip_s(state: State) -> float:
    """What a round trip to the quickest quorum seldom exceeds; what was known before, until that many are measured."""
    bounds = {peer: -(progress.round_trip.bound_s() or math.inf) for peer, progress in state.progress.items()}
    found = -_of_quorum(state, 0.0, bounds)
    return found if found < math.inf else state.round_trip_s


def maybe_commit(state: State) -> bool:
    """Commit what a quorum holds durably, if it is of the own term; all before it follows (5.4.2, Figure 8)."""
    log = state.log
    index = int(_of_quorum(state, log.durable, {peer: p.match for peer, p in state.progress.items()}))
    if index <= log.commit or log.term(index) != state.term:
        return False
    log.commit_to(index)
    proposed = state.proposed
    while proposed and proposed[0][0] <= index:
        state.proposed_bytes -= proposed.popleft()[1]
    return True


def has_committed_own_term(state: State) -> bool:
    """Whether this leader's commit index is known to cover all that earlier leaders committed (8)."""
    return state.log.commit >= state.term_start


def handle_append_reply(state: State, reply: AppendReply) -> None:
    """Move the follower's position on, or back to where both logs may agree (5.3)."""
    progress = state.progress[reply.sender]
    progress.heard = state.now
    if reply.rejected:
        if progress.maybe_decrease(reply.index, _agreement(state, reply)):
            maybe_send_appends(state, progress)
        return
    _acknowledged(state, progress, reply.index)
    if progress.state is ProgressState.PROBE:
        progress.become_replicate(reply.index + 1)


def _acknowledged(state: State, progress: Progress, index: int) -> None:
    """The follower's durable log equals ours up to `index`."""
    grew = progress.maybe_update(index)
    if progress.snapshot is not None and progress.match >= progress.snapshot.index:
        progress.become_probe(progress.match + 1)
    if grew:
        maybe_commit(state)
        transfer.maybe_hand_over(state, progress)


def _agreement(state: State, reply: AppendReply) -> int:
    """The last index at which the follower may agree, by its hint and by our own terms (5.3).

    Our entries whose term is above the hint's cannot be the follower's at or before the hint: skip them all.
    """
    return state.log.last_not_above(min(reply.hint_index, state.log.last_index), reply.hint_term)


def handle_heartbeat_reply(state: State, reply: HeartbeatReply) -> None:
    """The follower lives; what it says it has received shows what was lost on the way, or on a crash."""
    progress = state.progress[reply.sender]
    progress.heard = state.now
    progress.acked_round = max(progress.acked_round, reply.round)
    sent = state.round_sent.get(reply.round)
    if sent is not None:
        progress.round_trip.measured(state.now - sent)
    known = progress.match
    _acknowledged(state, progress, reply.durable)
    if progress.state is ProgressState.SNAPSHOT:
        snapshots.maybe_send_again(state, progress)
    elif progress.may_replicate(reply.round, reply.received, known):
        progress.become_replicate(reply.received + 1)
    elif reply.received < known:  # it has started again, and must learn how much of its log is ours
        progress.become_probe(known + 1)
        maybe_send_appends(state, progress)
    elif progress.maybe_lost(reply.round, reply.received):
        lost_from = reply.received + 1 if progress.state is ProgressState.REPLICATE else progress.next
        progress.become_probe(lost_from)
        maybe_send_appends(state, progress)


def handle_peer_lost(state: State, peer: str) -> None:
    """What was under way on a connection that broke is taken as lost."""
    progress = state.progress.get(peer)
    if progress is None:
        return
    if progress.state is ProgressState.SNAPSHOT:
        snapshots.forget_sent(progress)
    elif progress.state is ProgressState.REPLICATE:
        progress.become_probe(progress.match + 1)
    else:
        progress.become_probe(progress.next)
