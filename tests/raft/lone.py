"""One core on its own: what goes in is written by hand, what comes out is looked at."""

import random
from collections.abc import Iterable
from typing import TypeVar

from tests.raft.disk import Disk
from worker.raft import (
    Config,
    Entry,
    EntryKind,
    HardState,
    Membership,
    Message,
    Raft,
    ReadState,
    Ready,
    VoteReply,
)

M = TypeVar("M")


def entry(term: int, index: int, data: bytes = b"") -> Entry:
    return Entry(term, index, EntryKind.COMMAND, data)


def entries(first: int, *terms: int) -> tuple[Entry, ...]:
    return tuple(entry(term, index) for index, term in enumerate(terms, start=first))


class Lone:
    """A core whose Readys are collected; writes become durable when `persist` is called, unless `instant`."""

    def __init__(
        self,
        id: str = "a",
        voters: Iterable[str] = "abc",
        learners: Iterable[str] = (),
        terms: Iterable[int] = (),
        hard_state: HardState | None = None,
        instant: bool = True,
        stable_index: int | None = None,
        **numbers: float,
    ) -> None:
        self.now = 0.0
        self.instant = instant
        membership = Membership(frozenset(voters), frozenset(learners))
        self.disk = Disk(membership)
        self.disk.log = list(entries(1, *terms))
        self.disk.hard_state = hard_state or HardState(max(terms, default=0))
        self.raft = Raft(
            Config(id, **numbers),
            self.disk.hard_state,
            self.disk,
            membership,
            random.Random(1),
            self.now,
            stable_index=stable_index,
            snapshots=self.disk,
        )
        self.readys: list[Ready] = []
        self.pending: list[Ready] = []
        self.sent: list[Message] = []
        self.applied: list[Entry] = []
        self.reads: list[ReadState] = []

    def pump(self) -> None:
        while (ready := self.raft.ready()) is not None:
            self.readys.append(ready)
            self.sent += ready.messages
            self.applied += ready.committed
            self.reads += ready.reads
            if ready.committed:
                self.raft.applied(ready.committed[-1].index)
            if ready.must_persist:
                self.pending.append(ready)
                if self.instant:
                    self.persist()

    def persist(self, count: int | None = None) -> None:
        done, self.pending = self.pending[:count], self.pending[len(self.pending[:count]) :]
        for ready in done:
            self.disk.hard_state = ready.hard_state or self.disk.hard_state
            self.disk.write(ready.entries)
            if ready.snapshot is not None:
                self.disk.write_chunk(ready.snapshot)
            self.sent += ready.after_persist
            self.raft.persisted(ready.last_index, ready.last_term, ready.number)
        self.pump()

    def step(self, *messages: Message) -> None:
        for message in messages:
            self.raft.step(message, self.now)
        self.pump()

    def take(self, kind: type[M]) -> list[M]:
        """The messages of `kind` that were sent since the last `take`; all others are let go."""
        self.pump()
        sent, self.sent = self.sent, []
        return [message for message in sent if isinstance(message, kind)]

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.raft.tick(self.now)
        self.pump()

    def lead(self, *granters: str) -> "Lone":
        """Win an election by the votes of `granters`, and forget what was sent."""
        self.wait(10.0)
        term = self.raft.status().term + 1
        me = self.raft.status().id
        for pre in (True, False):
            self.step(*(VoteReply(me, voter, term, True, pre) for voter in granters))
        assert self.raft.status().term == term
        self.sent.clear()
        return self
