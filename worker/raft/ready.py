"""What the core hands to its driver: things to write, to send, to apply, and to know."""

from dataclasses import dataclass
from enum import Enum

from worker.raft.entries import Entry, HardState, Membership, SnapshotMeta
from worker.raft.messages import Message


class Role(Enum):
    """The roles of section 5.1, and the one that pre-vote adds (dissertation 9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class ProgressState(Enum):
    """How the leader feeds a follower: one message at a time, a pipeline, or a snapshot."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads, as this server knows it now; `leader` is None while that is open."""

    role: Role
    leader: str | None
    term: int


@dataclass(frozen=True, slots=True)
class ReadState:
    """The read that was asked for with `context` is linearizable once `index` is applied here (6.4)."""

    context: object
    index: int


@dataclass(frozen=True, slots=True)
class SnapshotChunk:
    """Bytes of the leader's snapshot to be written at `offset`; with `last` the whole replaces log and state (7)."""

    snapshot: SnapshotMeta
    offset: int
    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """One hand-over. Order of duties: see the package's docstring.

    `number` counts the hand-overs. `last_index`, `last_term` name the log's last entry at this moment, and are what
    `Raft.persisted` is told, with `number`, once the writes of this Ready and of all before it are durable.
    """

    number: int
    last_index: int
    last_term: int
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    snapshot: SnapshotChunk | None = None
    messages: tuple[Message, ...] = ()
    after_persist: tuple[Message, ...] = ()
    committed: tuple[Entry, ...] = ()
    reads: tuple[ReadState, ...] = ()
    leadership: Leadership | None = None

    @property
    def must_persist(self) -> bool:
        """Whether this Ready has to pass through the log writer's queue, and to be reported with `persisted`."""
        return bool(self.entries or self.after_persist or self.hard_state or self.snapshot)


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A follower as its leader sees it; `heard_s` is how long ago it last answered."""

    state: ProgressState
    match_index: int
    next_index: int
    inflight_messages: int
    inflight_bytes: int
    heard_s: float
    round_trip_s: float


@dataclass(frozen=True, slots=True)
class Status:
    """A view of the core, for people and tests; `peers` is empty unless this server leads.

    A follower waits between one and two `election_timeout_s` for its leader.
    """

    id: str
    role: Role
    term: int
    voted_for: str | None
    leader: str | None
    commit_index: int
    applied_index: int
    last_index: int
    durable_index: int
    membership: Membership
    election_timeout_s: float
    peers: dict[str, PeerStatus]
