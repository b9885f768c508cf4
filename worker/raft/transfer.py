"""Leadership transfer: bring a follower up to date, then let it stand at once (dissertation 3.10)."""

from worker.raft.errors import Busy, NotLeader, Refused
from worker.raft.messages import TimeoutNow
from worker.raft.progress import Progress
from worker.raft.ready import Role
from worker.raft.state import State


def begin(state: State, target: str) -> None:
    """Stop taking proposals, for at most an election timeout, until `target` leads."""
    if state.role is not Role.LEADER:
        raise NotLeader(state.leader)
    if target == state.id:
        state.transfer_target = None
        return
    if target not in state.configuration.voters or target not in state.progress:
        raise Refused(f"{target} is not a voter of this cluster")
    state.transfer_target = target
    state.transfer_deadline = state.now + state.election_timeout_s()
    maybe_hand_over(state, state.progress[target])


def check_staying(state: State) -> None:
    """Raises `Busy` while leadership is on its way to another: what is proposed now would only delay that."""
    if state.transfer_target is not None:
        raise Busy(f"leadership is being handed to {state.transfer_target}")
    if not state.is_voter():
        raise Busy(f"{state.id} is leaving the cluster")


def maybe_hand_over(state: State, progress: Progress) -> None:
    """Tell the target to stand, if it holds all of the log."""
    if progress.id == state.transfer_target and progress.match == state.log.last_index:
        state.send(TimeoutNow(progress.id, state.id, state.term))
