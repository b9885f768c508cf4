"""Reads that wait for a quorum's word that their leader still leads (dissertation 6.4)."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A read of this server's own (`context`), or all reads of follower `origin` up to its `number`."""

    context: object = None
    origin: str | None = None
    number: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """Reads that are safe at `index` once a quorum has answered the heartbeat of `round`."""

    round: int
    index: int
    reads: list[Waiting]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """This follower's reads under request number `number`, sent to the leader at `sent` seconds."""

    number: int
    contexts: list[object]
    sent: float


class Reads:
    """A leader gathers `waiting` into `rounds`; a follower gathers `queued` into `forwarded`.

    Request numbers begin at random, so that a late answer to an earlier life of this server confirms nothing.
    """

    __slots__ = ("count", "forwarded", "number", "queued", "rounds", "waiting")

    def __init__(self, first_number: int) -> None:
        self.number = first_number
        self.waiting: list[Waiting] = []
        self.rounds: deque[Round] = deque()
        self.queued: list[object] = []
        self.forwarded: deque[Forwarded] = deque()
        self.count = 0

    def leadership_won(self) -> None:
        """What was asked of an earlier leader is now for this one to answer."""
        contexts = [context for forwarded in self.forwarded for context in forwarded.contexts] + self.queued
        self.waiting = [Waiting(context) for context in contexts]
        self.forwarded.clear()
        self.queued.clear()

    def leadership_lost(self) -> None:
        """Own reads go to the next leader; followers ask it themselves."""
        reads = [read for round in self.rounds for read in round.reads] + self.waiting
        self.queued = [read.context for read in reads if read.origin is None] + self.queued
        self.count = len(self.queued) + sum(len(forwarded.contexts) for forwarded in self.forwarded)
        self.rounds.clear()
        self.waiting.clear()

    def confirmed(self, round: int) -> list[tuple[Waiting, int]]:
        """The reads, each with its index, that a quorum's answers up to `round` make safe."""
        safe: list[tuple[Waiting, int]] = []
        while self.rounds and self.rounds[0].round <= round:
            done = self.rounds.popleft()
            self.count -= len(done.reads)
            safe += [(read, done.index) for read in done.reads]
        return safe

    def answered(self, number: int) -> list[object]:
        """The contexts of this follower's requests up to `number`."""
        contexts: list[object] = []
        while self.forwarded and self.forwarded[0].number <= number:
            contexts += self.forwarded.popleft().contexts
        self.count -= len(contexts)
        return contexts
