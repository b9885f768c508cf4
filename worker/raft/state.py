"""The state of one server (Figure 2), and the becoming of a follower; the other modules are what is done with it."""

import random
from collections import deque
from dataclasses import dataclass, field

from worker.raft.config import Config
from worker.raft.entries import HardState
from worker.raft.incoming import Incoming
from worker.raft.log import Log
from worker.raft.membership import Configuration
from worker.raft.messages import Message
from worker.raft.progress import Progress
from worker.raft.reads import Reads
from worker.raft.ready import ReadState, Role
from worker.raft.storage import SnapshotSource
from worker.raft.timeouts import election_timeout_s, randomised


@dataclass(slots=True)
class Outbox:
    """What waits to be handed over in the next Ready."""

    messages: list[Message] = field(default_factory=list)
    after_persist: list[Message] = field(default_factory=list)
    reads: list[ReadState] = field(default_factory=list)


class State:
    """Figure 2's state, the clock and the deadlines. `leader` is the leader of `term`, once it is known."""

    __slots__ = (
        "acknowledged",
        "config",
        "configuration",
        "crash_until",
        "crash_wait_s",
        "durable_number",
        "election_deadline",
        "handed_hard_state",
        "hard_state_number",
        "heard_leader",
        "heartbeat_deadline",
        "id",
        "incoming",
        "leader",
        "leader_lost",
        "log",
        "now",
        "number",
        "outbox",
        "progress",
        "proposed",
        "proposed_bytes",
        "reads",
        "rng",
        "role",
        "round",
        "round_sent",
        "round_trip_s",
        "snapshots",
        "term",
        "term_start",
        "transfer_deadline",
        "transfer_target",
        "verified",
        "voted_for",
        "votes",
    )

    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        log: Log,
        configuration: Configuration,
        rng: random.Random,
        now: float,
        snapshots: SnapshotSource | None,
    ) -> None:
        self.config = config
        self.id = config.id
        self.rng = rng
        self.now = now
        self.log = log
        self.configuration = configuration
        self.snapshots = snapshots
        self.outbox = Outbox()
        self.reads = Reads(first_number=rng.getrandbits(48))

        self.term = hard_state.term
        self.voted_for = hard_state.voted_for
        self.handed_hard_state = hard_state
        self.number = self.durable_number = self.hard_state_number = 0

        self.role = Role.FOLLOWER
        self.leader: str | None = None
        self.leader_lost = False
        self.heard_leader = now
        self.verified = log.commit
        self.acknowledged = -1
        self.round_trip_s = 0.0
        self.incoming: Incoming | None = None

        self.votes: dict[str, bool] = {}
        self.crash_until = now
        self.crash_wait_s = config.crash_jitter_s

        self.progress: dict[str, Progress] = {}
        self.term_start = 0
        self.round = 0
        self.round_sent: dict[int, float] = {}
        # Last index and size of each batch of own entries that is not committed yet.
        self.proposed: deque[tuple[int, int]] = deque()
        self.proposed_bytes = 0
        self.transfer_target: str | None = None
        self.transfer_deadline = now

        self.heartbeat_deadline = now
        self.election_deadline = now + self._first_wait_s()

    def __repr__(self) -> str:
        return f"State({self.id} {self.role.value} term={self.term} leader={self.leader} {self.log!r})"

    def _first_wait_s(self) -> float:
        """A server that has just started may ask early: nobody who hears a leader grants it a pre-vote."""
        if self.configuration.voters == {self.id}:
            return 0.0
        return self.config.election_timeout_s * (0.25 + 0.75 * self.rng.random())

    def is_voter(self) -> bool:
        """Whether this server counts in a quorum."""
        return self.id in self.configuration.voters

    def send(self, message: Message) -> None:
        """To be sent at once."""
        self.outbox.messages.append(message)

    def is_hard_state_durable(self) -> bool:
        """Whether term and vote as they stand now would survive a crash."""
        return self.is_hard_state_handed() and self.hard_state_number <= self.durable_number

    def is_hard_state_handed(self) -> bool:
        """Whether the log writer has term and vote as they stand now."""
        handed = self.handed_hard_state
        return handed.term == self.term and handed.voted_for == self.voted_for

    def send_when_durable(self, message: Message) -> None:
        """To be sent once term and vote as they stand now are durable (5.2)."""
        if self.is_hard_state_durable():
            self.outbox.messages.append(message)
        else:
            self.outbox.after_persist.append(message)

    def election_timeout_s(self) -> float:
        """The shortest wait for a leader, as long as the measured round trip asks for."""
        return election_timeout_s(self.config, self.round_trip_s)

    def hears_leader(self) -> bool:
        """Whether a leader is known to live, so that nobody else gets a vote from here (6, dissertation 4.2.3)."""
        if self.role is Role.LEADER:
            return True
        if self.leader is None or self.leader_lost:
            return False
        return self.now < self.heard_leader + self.election_timeout_s()

    def reset_election_deadline(self) -> None:
        """Wait a full, random timeout for a leader from now on."""
        self.election_deadline = self.now + randomised(self.election_timeout_s(), self.rng)

    def become_follower(self, term: int, leader: str | None) -> None:
        """Follow `leader`, or nobody yet, in `term`; a vote is forgotten only when the term rises (5.1)."""
        assert term >= self.term, "a term never falls"
        if term > self.term:
            self.term = term
            self.voted_for = None
            self.verified = self.log.commit
            self.acknowledged = -1
        if self.role is Role.LEADER:
            self.progress.clear()
            self.proposed.clear()
            self.proposed_bytes = 0
            self.transfer_target = None
            self.reads.leadership_lost()
        self.role = Role.FOLLOWER
        self.votes.clear()
        self.incoming = None if self.incoming and not self.incoming.restoring else self.incoming
        self.leader = leader
        self.leader_lost = False
        self.heard_leader = self.now
        self.reset_election_deadline()

    def heard_from_leader(self, leader: str) -> None:
        """`leader` leads this term and lives: a candidate of the same term gives way (5.2)."""
        if self.role is not Role.FOLLOWER or self.leader != leader:
            self.become_follower(self.term, leader)
            return
        self.leader_lost = False
        self.heard_leader = self.now
        self.reset_election_deadline()
