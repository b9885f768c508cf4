"""Elections: pre-vote, vote, and becoming leader (5.2, 5.4.1; dissertation 4.2.3, 9.6)."""

from worker.raft import replication
from worker.raft.entries import EntryKind
from worker.raft.messages import TimeoutNow, VoteReply, VoteRequest
from worker.raft.progress import Progress
from worker.raft.ready import Role
from worker.raft.state import State
from worker.raft.timeouts import randomised


def tick_election(state: State) -> None:
    """Stand for election if the leader has been silent for too long."""
    if state.now < state.election_deadline:
        return
    own_vote_under_way = state.role is Role.CANDIDATE and state.id not in state.votes
    if may_campaign(state) and not own_vote_under_way:
        become_pre_candidate(state)
    else:
        state.reset_election_deadline()


def may_campaign(state: State) -> bool:
    """Learners, servers whose removal is committed, and those that are being restored from a snapshot do not stand."""
    restoring = state.incoming is not None and state.incoming.restoring
    return (
        state.configuration.may_stand(state.id, state.log.commit)
        and state.role is not Role.LEADER
        and not restoring
    )


def handle_leader_lost(state: State) -> None:
    """The connection to the leader broke: ask at once, after a jitter, whether others lost it too.

    A voter whose own connection stands still hears its leader and does not answer, so that one broken
    cable deposes nobody. Until the leader is heard again, or a timeout has passed, the asking repeats.
    """
    state.leader_lost = True
    state.crash_until = state.now + state.election_timeout_s()
    state.crash_wait_s = state.config.crash_jitter_s
    state.election_deadline = min(
        state.election_deadline, state.now + state.crash_wait_s * state.rng.random()
    )


def become_pre_candidate(state: State) -> None:
    """Ask whether an election could be won, before any term is raised (dissertation 9.6)."""
    state.role = Role.PRE_CANDIDATE
    state.leader = None
    if state.now < state.crash_until:
        state.crash_wait_s *= 2
        state.election_deadline = state.now + randomised(state.crash_wait_s, state.rng)
    else:
        state.reset_election_deadline()
    state.votes = {state.id: True}
    _request_votes(state, state.term + 1, pre=True, transfer=False)
    _count_votes(state)


def become_candidate(state: State, transfer: bool = False) -> None:
    """Raise the term, vote for itself, and ask the others; the requests wait for the disk (5.2)."""
    state.role = Role.CANDIDATE
    state.leader = None
    state.term += 1
    state.voted_for = state.id
    state.verified = state.log.commit
    state.acknowledged = -1
    state.incoming = None
    state.election_deadline = state.now + randomised(_candidate_wait_s(state), state.rng)
    state.votes = {}
    _request_votes(state, state.term, pre=False, transfer=transfer)


def _candidate_wait_s(state: State) -> float:
    """After a crash, others found the same out at the same moment: a split vote is likelier, and is retried sooner."""
    timeout_s = state.election_timeout_s()
    return timeout_s / 4 if state.now < state.crash_until else timeout_s


def _request_votes(state: State, term: int, pre: bool, transfer: bool) -> None:
    last_index, last_term = state.log.last_index, state.log.last_term()
    for voter in sorted(state.configuration.voters - {state.id}):
        request = VoteRequest(voter, state.id, term, last_index, last_term, pre, transfer)
        if pre:
            state.send(request)
        else:
            state.send_when_durable(request)


def vote_persisted(state: State) -> None:
    """A candidate counts its own vote once that is durable."""
    if state.role is Role.CANDIDATE and state.id not in state.votes and state.is_hard_state_durable():
        state.votes[state.id] = True
        _count_votes(state)


def handle_timeout_now(state: State, message: TimeoutNow) -> None:
    """The leader hands over: stand at once, without a pre-vote, for it would still be heard (3.10)."""
    if may_campaign(state) and state.leader == message.sender:
        become_candidate(state, transfer=True)


def handle_vote_request(state: State, request: VoteRequest) -> None:
    """Grant a vote to a log at least as up to date as ours, once per term (5.2, 5.4.1).

    The caller has dealt with terms: `request.term` is ours, or that of a pre-vote ahead of us.
    """
    log = state.log
    ours = (log.last_term(), log.last_index)
    theirs = (request.last_term, request.last_index)
    up_to_date = theirs >= ours
    if request.pre:
        yields = state.role is Role.PRE_CANDIDATE and theirs == ours and request.sender < state.id
        granted = up_to_date and request.term > state.term and not yields
        term = request.term if granted else state.term
        state.send(VoteReply(request.sender, state.id, term, granted, pre=True))
        return
    free = state.voted_for is None and state.leader is None
    granted = state.voted_for == request.sender or (free and up_to_date)
    if granted:
        state.voted_for = request.sender
        state.reset_election_deadline()
        state.send_when_durable(VoteReply(request.sender, state.id, state.term, granted=True))
    else:
        state.send(VoteReply(request.sender, state.id, state.term, granted=False))


def handle_vote_reply(state: State, reply: VoteReply) -> None:
    """Count a vote, if it answers what this server is asking for now."""
    asked = Role.PRE_CANDIDATE if reply.pre else Role.CANDIDATE
    if state.role is not asked or reply.sender not in state.configuration.voters:
        return
    if reply.granted and reply.term != state.term + (1 if reply.pre else 0):
        return
    state.votes.setdefault(reply.sender, reply.granted)
    _count_votes(state)


def _count_votes(state: State) -> None:
    voters, quorum = state.configuration.voters, state.configuration.quorum()
    granted = sum(state.votes.get(voter, False) for voter in voters)
    refused = sum(not state.votes.get(voter, True) for voter in voters)
    if granted >= quorum:
        if state.role is Role.PRE_CANDIDATE:
            become_candidate(state)
        else:
            become_leader(state)
    elif refused > len(voters) - quorum:
        deadline = state.election_deadline
        state.become_follower(state.term, None)
        state.election_deadline = deadline


def become_leader(state: State) -> None:
    """Lead: take every follower as unknown, and append an entry of the own term, to commit all before (5.4.2, 8)."""
    assert state.role is Role.CANDIDATE, "only a candidate becomes leader"
    state.role = Role.LEADER
    state.leader = state.id
    state.leader_lost = False
    state.votes.clear()
    state.round_sent.clear()
    next_index = state.log.last_index + 1
    state.progress = {
        peer: Progress(peer, next_index, state.config, state.now)
        for peer in sorted(state.configuration.current.members - {state.id})
    }
    state.term_start = next_index
    state.reads.leadership_won()
    replication.append_own(state, [(EntryKind.NOOP, b"")])
    state.heartbeat_deadline = state.now + state.config.heartbeat_interval_s
    replication.broadcast_heartbeat(state)
