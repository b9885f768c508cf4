"""How the core says no to its caller. A caller's own mistake is an assertion instead."""


class RaftError(Exception):
    """The family of what the core raises on purpose."""


class NotLeader(RaftError):
    """Only the leader can do this; `leader` is its id, or None when none is known."""

    def __init__(self, leader: str | None) -> None:
        super().__init__(f"the leader is {leader}" if leader else "no leader is known")
        self.leader = leader


class Busy(RaftError):
    """A limit of the core is reached, or leadership is being handed over: the same call may succeed soon."""


class Refused(RaftError):
    """The call cannot be done as the cluster stands; the text says why."""


class Unreadable(RaftError):
    """Raised by storage, to the core: an entry cannot be read at this moment. The core asks again at its next turn."""


class Violation(RaftError):
    """A peer sent what no correct peer sends: nothing was changed; close its connection, count it."""
