"""The face of the core: what a driver calls."""

import random
from collections.abc import Sequence

from worker.raft.config import Config
from worker.raft.entries import HardState, Membership
from worker.raft.messages import Message
from worker.raft.ready import Ready, Status
from worker.raft.storage import LogStorage, SnapshotSource


class Raft:
    """One server's part of the consensus. Pure: time, randomness and the disk's contents are handed in."""

    def __init__(
        self,
        config: Config,
        hard_state: HardState,
        storage: LogStorage,
        membership: Membership,
        rng: random.Random,
        now: float,
        *,
        stable_index: int | None = None,
        applied_index: int | None = None,
        snapshots: SnapshotSource | None = None,
    ) -> None: ...

    def step(self, message: Message, now: float) -> None:
        """Take in a peer's message. Raises `Violation` for what no correct peer sends, and changes nothing."""
        raise NotImplementedError

    def tick(self, now: float) -> None:
        """Let time pass: do what is due at `now`, in seconds of a monotonic clock."""
        raise NotImplementedError

    def deadline(self) -> float:
        """When `tick` is next needed."""
        raise NotImplementedError

    def propose(self, data: Sequence[bytes]) -> list[int]:
        """Append commands; their indexes. Raises `NotLeader`, or `Busy` (then none was appended)."""
        raise NotImplementedError

    def propose_membership(self, membership: Membership) -> int:
        """Change the cluster by one server; its index. Raises `NotLeader`, `Busy`, `Refused`."""
        raise NotImplementedError

    def read_index(self, context: object) -> None:
        """Ask for a read index; `Ready.reads` answers with `context`. Raises `NotLeader(None)` or `Busy`."""
        raise NotImplementedError

    def peer_lost(self, id: str, now: float) -> None:
        """The connection to `id` broke (reset or closed by its system): evidence of a crash."""
        raise NotImplementedError

    def transfer_leader(self, id: str, now: float) -> None:
        """Hand leadership to `id`. Raises `NotLeader`, `Refused`."""
        raise NotImplementedError

    def ready(self) -> Ready | None:
        """Everything there is to do, handed over once; None if there is nothing."""
        raise NotImplementedError

    def persisted(self, index: int, term: int, number: int) -> None:
        """The writes of Readys up to `number` are durable, entries up to (`index`, `term`) acknowledged."""
        raise NotImplementedError

    def applied(self, index: int) -> None:
        """The state machine has applied up to `index`."""
        raise NotImplementedError

    def status(self) -> Status:
        """A view for people and tests."""
        raise NotImplementedError
