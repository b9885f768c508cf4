"""What is let in: a message that no correct peer sends is told from one that is merely late or lost in time."""

from worker.raft.entries import EntryKind, Membership
from worker.raft.errors import Violation
from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from worker.raft.ready import Role
from worker.raft.state import State
from worker.raft.timeouts import MAX_ROUND_TRIP_S

MAX_NUMBER = 1 << 62


def admit(state: State, message: Message) -> None:
    """Raises `Violation` if `message` cannot come from a correct peer. Changes nothing."""
    if message.to != state.id:
        raise Violation(f"a message to {message.to} came to {state.id}")
    if message.sender == state.id:
        raise Violation("a message claims to come from this server itself")
    if not all(0 <= number < MAX_NUMBER for number in _numbers(message)):
        raise Violation(f"a number of a {type(message).__name__} is out of range")
    if isinstance(message, Append | Heartbeat | InstallSnapshot):
        _admit_leader(state, message.sender, message.term)
    if isinstance(message, Append):
        _admit_append(state, message)
    elif isinstance(message, Heartbeat):
        if not 0 <= message.round_trip_s <= MAX_ROUND_TRIP_S:
            raise Violation("a heartbeat claims an impossible round trip")
    elif isinstance(message, InstallSnapshot):
        _admit_snapshot(message)
    elif isinstance(message, AppendReply | HeartbeatReply):
        _admit_reply(state, message)


def _numbers(message: Message) -> tuple[int, ...]:
    match message:
        case VoteRequest():
            return (message.term, message.last_index, message.last_term)
        case VoteReply() | TimeoutNow():
            return (message.term,)
        case Append():
            return (message.term, message.previous_index, message.previous_term, message.commit)
        case AppendReply():
            return (message.term, message.index, message.hint_index, message.hint_term)
        case Heartbeat():
            return (message.term, message.commit, message.round)
        case HeartbeatReply():
            return (message.term, message.round, message.received, message.durable)
        case ReadRequest():
            return (message.term, message.number)
        case ReadReply():
            return (message.term, message.number, message.index)
        case InstallSnapshot():
            return (message.term, message.snapshot.index, message.snapshot.term, message.offset)
        case SnapshotReply():
            return (message.term, message.index, message.offset)


def _admit_leader(state: State, sender: str, term: int) -> None:
    """Election Safety: a term has one leader (5.2)."""
    if term == state.term and state.leader not in (None, sender):
        raise Violation(f"{sender} and {state.leader} both claim to lead term {term}")


def _admit_append(state: State, append: Append) -> None:
    """The entries follow on each other, their terms do not fall, and what is committed is not contradicted."""
    if append.previous_term > append.term:
        raise Violation("an append follows an entry of a later term")
    index, term = append.previous_index, append.previous_term
    for entry in append.entries:
        index += 1
        if entry.index != index or not term <= entry.term:
            raise Violation("the entries of an append do not follow on each other")
        term = entry.term
        if entry.kind == EntryKind.MEMBERSHIP:
            Membership.decode(entry.data)
    if term > append.term:
        raise Violation("an append holds an entry of a later term")
    log = state.log
    if append.term < state.term or append.previous_index > log.commit:
        return
    claims = [(append.previous_index, append.previous_term)]
    claims += [(entry.index, entry.term) for entry in append.entries[: log.commit - append.previous_index]]
    for index, term in claims:
        if log.term(index) not in (None, term):
            raise Violation(f"an append contradicts the committed entry {index}")


def _admit_snapshot(install: InstallSnapshot) -> None:
    meta, end = install.snapshot, install.offset + len(install.data)
    if meta.term > install.term or not meta.membership.voters:
        raise Violation("a snapshot is from a later term, or of a cluster without voters")
    if end > meta.size_bytes or install.last != (end == meta.size_bytes):
        raise Violation("a chunk lies outside its snapshot")


def _admit_reply(state: State, reply: AppendReply | HeartbeatReply) -> None:
    """Nobody can hold more of this leader's log than there is, or answer a round that was not begun."""
    if state.role is not Role.LEADER or reply.term != state.term:
        return
    if isinstance(reply, HeartbeatReply):
        if max(reply.received, reply.durable) > state.log.last_index or reply.round > state.round:
            raise Violation("a heartbeat is answered with more than was sent")
    elif not reply.rejected and reply.index > state.log.last_index:
        raise Violation("more is acknowledged than was sent")
