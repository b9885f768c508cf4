"""A follower's side of replication: take entries in, acknowledge what is durable (5.3)."""

from worker.raft.entries import Entry
from worker.raft.messages import Append, AppendReply, Heartbeat, HeartbeatReply
from worker.raft.state import State


def acknowledge(state: State) -> None:
    """Tell the leader how far the durable log is known to equal its own."""
    if state.leader is not None:
        state.acknowledged = _acknowledged(state)
        state.send(AppendReply(state.leader, state.id, state.term, state.acknowledged))


def _acknowledged(state: State) -> int:
    """How far the durable log is known to equal the leader's."""
    return min(state.log.durable, state.verified)


def handle_append(state: State, append: Append) -> None:
    """Take in what follows on our log; say no, with a hint, to what does not."""
    if state.incoming is not None and state.incoming.restoring:
        return
    log = state.log
    previous_index, entries = append.previous_index, append.entries
    if previous_index < log.commit:
        # What is committed is in every later leader's log, and may be compacted here: only the rest is news.
        entries = entries[log.commit - previous_index :]
        previous_index = log.commit
    elif log.term(previous_index) != append.previous_term:
        _reject(state, append)
        return
    last = previous_index + len(entries)
    known = _count_known(state, previous_index, entries)
    if known < len(entries):
        news = entries[known:]
        log.append(news)
        state.configuration.appended(news)
    state.verified = max(state.verified, last)
    log.commit_to(min(append.commit, last))
    is_news = bool(append.entries) or _acknowledged(state) > state.acknowledged
    if is_news and (known == len(entries) or last <= log.durable):
        acknowledge(state)


def _count_known(state: State, previous_index: int, entries: tuple[Entry, ...]) -> int:
    """How many of `entries` the log has already; the first that it lacks or contradicts ends the count."""
    log = state.log
    if previous_index == log.last_index:
        return 0
    for count, entry in enumerate(entries):
        if log.term(entry.index) != entry.term:
            return count
    return len(entries)


def _reject(state: State, append: Append) -> None:
    """The hint names the last entry here that the leader may have: none of a term above what it asked for."""
    log = state.log
    index = log.last_not_above(min(append.previous_index, log.last_index), append.previous_term)
    index = max(index, log.commit)
    term = log.term(index) or 0
    state.send(AppendReply(append.sender, state.id, state.term, append.previous_index, True, index, term))


def handle_heartbeat(state: State, heartbeat: Heartbeat) -> None:
    """Commit what the leader knows to be here, and answer with what has been received."""
    state.round_trip_s = heartbeat.round_trip_s
    state.log.commit_to(min(heartbeat.commit, state.verified))
    received, durable = state.verified, _acknowledged(state)
    state.send(HeartbeatReply(heartbeat.sender, state.id, state.term, heartbeat.round, received, durable))
