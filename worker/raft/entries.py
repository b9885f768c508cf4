"""What the log holds, what a server remembers across a crash, and who belongs to the cluster (5.2, 6)."""

import json
from dataclasses import dataclass
from enum import IntEnum

from worker.raft.errors import Violation

MAX_MEMBERS = 64
MAX_ID_CHARS = 128


class EntryKind(IntEnum):
    """What an entry is for: the state machine sees COMMAND only, the others are the core's own."""

    NOOP = 0
    COMMAND = 1
    MEMBERSHIP = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the log; `term` and `index` name it and all that precedes it (Log Matching, 5.3)."""

    term: int
    index: int
    kind: EntryKind
    data: bytes


@dataclass(frozen=True, slots=True)
class HardState:
    """What must be durable before a promise made from it leaves this server (5.2, Figure 2)."""

    term: int = 0
    voted_for: str | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """Who takes part: `voters` elect and count, `learners` only receive the log (dissertation 4.2.1)."""

    voters: frozenset[str]
    learners: frozenset[str] = frozenset()

    @property
    def members(self) -> frozenset[str]:
        """Everyone the leader replicates to, itself included."""
        return self.voters | self.learners

    def encode(self) -> bytes:
        """The bytes of a MEMBERSHIP entry: a JSON object with sorted lists of ids."""
        return json.dumps(
            {"voters": sorted(self.voters), "learners": sorted(self.learners)}, separators=(",", ":")
        ).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Membership":
        """The inverse of `encode`; raises `Violation` for anything `encode` could not have written."""
        try:
            fields = json.loads(data)
            voters, learners = fields["voters"], fields["learners"]
            ids = [*voters, *learners]
            well_formed = (
                isinstance(voters, list)
                and isinstance(learners, list)
                and len(voters) > 0
                and len(ids) <= MAX_MEMBERS
                and len(set(ids)) == len(ids)
                and all(isinstance(member, str) and 0 < len(member) <= MAX_ID_CHARS for member in ids)
            )
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Violation("a membership entry cannot be read") from error
        if not well_formed:
            raise Violation("a membership entry is malformed")
        return cls(frozenset(voters), frozenset(learners))


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    """What a snapshot stands for: the log up to `index`, whose last entry was of `term` (7)."""

    index: int
    term: int
    membership: Membership
    size_bytes: int = 0
