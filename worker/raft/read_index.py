"""ReadIndex: linearizable reads without a log entry, many per heartbeat round (8; dissertation 6.4)."""

from worker.raft import replication
from worker.raft.errors import Busy, NotLeader
from worker.raft.messages import ReadReply, ReadRequest
from worker.raft.reads import Forwarded, Round, Waiting
from worker.raft.ready import ReadState, Role
from worker.raft.state import State


def request(state: State, context: object) -> None:
    """Take a read in; it is answered through the outbox."""
    reads = state.reads
    if reads.count >= state.config.max_pending_reads:
        raise Busy(f"{reads.count} reads are waiting already")
    if state.role is Role.LEADER:
        reads.waiting.append(Waiting(context))
    elif state.leader is None:
        raise NotLeader(None)
    else:
        reads.queued.append(context)
    reads.count += 1


def flush(state: State) -> None:
    """Start one round for all reads that came since the last hand-over, or forward them as one request."""
    reads = state.reads
    if state.role is Role.LEADER:
        if reads.waiting and replication.has_committed_own_term(state):
            replication.broadcast_heartbeat(state)
            reads.rounds.append(Round(state.round, state.log.commit, reads.waiting))
            reads.waiting = []
            maybe_confirm(state)
    elif reads.queued and state.leader is not None:
        reads.number += 1
        reads.forwarded.append(Forwarded(reads.number, reads.queued, state.now))
        reads.queued = []
        state.send(ReadRequest(state.leader, state.id, state.term, reads.number))


def maybe_confirm(state: State) -> None:
    """Release the reads of the rounds that a quorum has answered."""
    reads = state.reads
    if not reads.rounds:
        return
    for read, index in reads.confirmed(replication.quorum_round(state)):
        if read.origin is None:
            state.outbox.reads.append(ReadState(read.context, index))
        else:
            state.send(ReadReply(read.origin, state.id, state.term, read.number, index))


def handle_read_request(state: State, request: ReadRequest) -> None:
    """A follower's reads join the next round; over the limit they are dropped, and the follower asks again."""
    reads = state.reads
    known = state.role is Role.LEADER and request.sender in state.progress
    if known and reads.count < state.config.max_pending_reads:
        reads.waiting.append(Waiting(origin=request.sender, number=request.number))
        reads.count += 1


def handle_read_reply(state: State, reply: ReadReply) -> None:
    """The leader of that time led when it was asked: its index is safe, however late the answer is."""
    if reply.number <= state.reads.number:
        contexts = state.reads.answered(reply.number)
        state.outbox.reads += [ReadState(context, reply.index) for context in contexts]


def maybe_ask_again(state: State) -> None:
    """Ask the leader again, with the newest number, for reads whose request or answer seems lost."""
    reads = state.reads
    patience_s = 2 * state.config.heartbeat_interval_s + state.round_trip_s
    if state.leader is None or not reads.forwarded or state.now < reads.forwarded[0].sent + patience_s:
        return
    reads.forwarded[0] = Forwarded(reads.forwarded[0].number, reads.forwarded[0].contexts, state.now)
    state.send(ReadRequest(state.leader, state.id, state.term, reads.number))
