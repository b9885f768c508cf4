"""What servers say to each other (Figure 2, Figure 13; dissertation 3.10, 6.4, 9.6).

`to` and `sender` are member ids. `term` is the sender's term, but for pre-votes: a request, and a reply that
grants it, carry the term that the candidate *would* have. Messages may be lost, doubled, delayed, reordered.
"""

from dataclasses import dataclass

from worker.raft.entries import Entry, SnapshotMeta


@dataclass(frozen=True, slots=True)
class VoteRequest:
    """A (pre-)candidate asks for a vote; `last_index`, `last_term` are of its log (5.2, 5.4.1, 9.6).

    `pre`: nothing is promised yet. `transfer`: the leader itself asked for this election (3.10).
    """

    to: str
    sender: str
    term: int
    last_index: int
    last_term: int
    pre: bool = False
    transfer: bool = False


@dataclass(frozen=True, slots=True)
class VoteReply:
    """The answer to `VoteRequest`."""

    to: str
    sender: str
    term: int
    granted: bool
    pre: bool = False


@dataclass(frozen=True, slots=True)
class Append:
    """Entries that follow (`previous_index`, `previous_term`) in the leader's log; its commit index (5.3)."""

    to: str
    sender: str
    term: int
    previous_index: int
    previous_term: int
    commit: int
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class AppendReply:
    """Accepted: the sender's *durable* log equals the leader's up to `index`.

    Rejected: it has no entry (`index`, previous_term); the last place where both may still agree is at or
    before `hint_index`, where the sender's entry is of `hint_term` (5.3, the conflict hint).
    """

    to: str
    sender: str
    term: int
    index: int
    rejected: bool = False
    hint_index: int = 0
    hint_term: int = 0


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The leader lives; `commit` is what it knows that this follower holds (5.2).

    `round` numbers the heartbeats of a term, for ReadIndex (6.4). `round_trip_s` is the round trip that the
    leader measured to this follower, in seconds; 0 if not yet known.
    """

    to: str
    sender: str
    term: int
    commit: int
    round: int
    round_trip_s: float = 0.0


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """`round` is echoed. The log equals the leader's up to `received`, and up to `durable` it is so on disk.

    Both repeat what replies to appends have said, in case those were lost.
    """

    to: str
    sender: str
    term: int
    round: int
    received: int
    durable: int


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A follower asks the leader for a read index; `number` counts that follower's requests (6.4)."""

    to: str
    sender: str
    term: int
    number: int


@dataclass(frozen=True, slots=True)
class ReadReply:
    """All of the follower's requests up to `number` may be served once `index` is applied there."""

    to: str
    sender: str
    term: int
    number: int
    index: int


@dataclass(frozen=True, slots=True)
class TimeoutNow:
    """The leader asks this follower to start an election at once (leadership transfer, 3.10)."""

    to: str
    sender: str
    term: int


@dataclass(frozen=True, slots=True)
class InstallSnapshot:
    """One chunk of the leader's snapshot, at byte `offset`; `last` marks the final one (7, Figure 13)."""

    to: str
    sender: str
    term: int
    snapshot: SnapshotMeta
    offset: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class SnapshotReply:
    """The follower durably holds the snapshot at `index` up to byte `offset`, and wants what follows."""

    to: str
    sender: str
    term: int
    index: int
    offset: int


Message = (
    VoteRequest
    | VoteReply
    | Append
    | AppendReply
    | Heartbeat
    | HeartbeatReply
    | ReadRequest
    | ReadReply
    | TimeoutNow
    | InstallSnapshot
    | SnapshotReply
)
