"""Membership change, one voter at a time (6; dissertation 4.1, 4.3)."""

from worker.raft import replication, transfer
from worker.raft.entries import MAX_MEMBERS, EntryKind, Membership
from worker.raft.errors import Busy, NotLeader, Refused
from worker.raft.messages import TimeoutNow
from worker.raft.ready import Role
from worker.raft.state import State


def propose(state: State, membership: Membership) -> int:
    """Append the new membership, which counts at once; its index.

    Two majorities overlap only if they differ by one voter, and only if the change before is committed, by an entry
    of this leader's own term: without the latter, two leaders' changes may pass each other by.
    """
    if state.role is not Role.LEADER:
        raise NotLeader(state.leader)
    if not replication.has_committed_own_term(state):
        raise Busy("this leader is new: it has not yet committed an entry of its own term")
    if state.configuration.last_index > state.log.commit:
        raise Busy("the membership change before this one is not yet committed")
    transfer.check_staying(state)
    current = state.configuration.current
    if len(membership.voters ^ current.voters) > 1:
        raise Refused("voters can be added or removed one at a time only")
    if (
        not membership.voters
        or membership.voters & membership.learners
        or len(membership.members) > MAX_MEMBERS
    ):
        raise Refused(f"a cluster has 1 to {MAX_MEMBERS} members, and nobody is voter and learner at once")
    if membership == current:
        raise Refused("nothing would change")
    for newcomer in membership.voters - current.voters:
        _check_newcomer(state, newcomer)
    return replication.append_own(state, [(EntryKind.MEMBERSHIP, membership.encode())])[0]


def _check_newcomer(state: State, newcomer: str) -> None:
    """A voter that has to catch up first would hold up every commit: it does so as a learner (dissertation 4.2.1)."""
    if newcomer not in state.configuration.current.learners:
        raise Refused(f"{newcomer} has to join as a learner first")
    behind = state.log.commit - state.progress[newcomer].match
    if behind > state.config.max_append_entries:
        raise Busy(f"{newcomer} is still {behind} entries behind")


def maybe_leave(state: State) -> None:
    """A leader that is no voter any more ends its leadership once that is committed (dissertation 4.2.2).

    The followers hear of the commit first, and the most up to date of them is asked to lead at once.
    """
    if state.role is not Role.LEADER or state.is_voter() or state.configuration.last_index > state.log.commit:
        return
    replication.flush(state)
    voters = [progress for peer, progress in state.progress.items() if peer in state.configuration.voters]
    successor = max(voters, key=lambda progress: progress.match)
    state.send(TimeoutNow(successor.id, state.id, state.term))
    state.become_follower(state.term, None)
