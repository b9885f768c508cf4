"""The driver: the one place that orders what the consensus core asks for.

    persist -> send -> apply

Messages that promise nothing leave at once. Votes leave when the Ready they belong to is durable. Entries are acknowledged
when they are durable and, if they or any before them name blobs, when this worker also holds those bytes (DESIGN 5); they
are applied once they are committed and acknowledged here. No socket, thread or clock: those are handed in, so that a
simulator can drive the same code.
"""

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from shared.errors import (
    Busy,
    MinkaError,
    NotLeader,
    OutcomeUnknown,
    ProtocolViolation,
    Refused,
    from_failure,
)
from worker.raft import errors as raft_errors
from worker.raft.entries import Entry, EntryKind, HardState, SnapshotMeta
from worker.raft.messages import Message
from worker.raft.raft import Raft
from worker.raft.ready import Leadership, ReadState, Ready, Role, SnapshotChunk
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.registry import Outcome, Registry
from worker.unfounded import Unfounded, lacking

Answered = Callable[[dict[str, Any] | MinkaError], None]
"""Hears once what became of a command: the answer's fields, or why not."""

Readable = Callable[[MinkaError | None], None]
"""Hears once when a read is linearizable (None), or why it can't be."""

Taken = Callable[[Registry | None], None]
"""Hears that a chunk is kept: of the last one with the state of the whole, durable and with every blob that it names, or
with None if it was no use."""

ENTRY_LIMIT_BYTES = 8 * 1024 * 1024
PROPOSALS_LIMIT_BYTES = 32 * 1024 * 1024
"""Of commands that wait for the disk to take them."""
WRITES_LIMIT = 128
WRITES_LIMIT_BYTES = 16 * 1024 * 1024
"""At the log writer at once; what is proposed meanwhile shares the next write."""
READS_LIMIT = 100_000
TURN_ENTRIES = 512
"""A worker that starts, or that comes to lead after a while, has many to apply: not all in one turn."""


class Log(Protocol):
    """The durable log, as the driver uses it."""

    def prepare(
        self,
        hard_state: HardState | None,
        entries: Sequence[Entry],
        snapshot: SnapshotMeta | None = None,
        keep_from: int | None = None,
    ) -> Any: ...

    def repeat(self) -> Any: ...

    def installed(self, batch: Any) -> None: ...

    def last_index(self) -> int: ...

    def term(self, index: int) -> int: ...

    def first_index(self) -> int: ...

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]: ...


class Surroundings(Protocol):
    """What the driver causes outside of itself."""

    def send(self, message: Message) -> None:
        """Take a message to a peer; it may be lost."""

    def persist(self, batch: Any, number: int) -> None:
        """Write this batch durably, in order of the numbers, then call `Driver.persisted(number)`."""

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        """The digests among `blobs` that this worker lacks; it begins to pull them, and calls `Driver.arrived`."""

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        """An entry took effect."""

    def restore(self, chunk: SnapshotChunk, taken: Taken) -> None:
        """Keep a chunk of the leader's snapshot, then call `taken`."""

    def restored(self, snapshot: SnapshotMeta) -> None:
        """Log and registry are those of this snapshot now."""

    def led(self, leadership: Leadership) -> None:
        """Who leads has changed, as far as this worker knows."""

    def time_ms(self) -> int:
        """The wall clock, for proposals."""


@dataclass(slots=True)
class _Write:
    """A batch on its way to the disk. What its Ready promises may be said once it is durable, and its chunk `taken`."""

    number: int
    batch: Any
    ready: Ready | None
    then: Callable[[], None] | None
    size_bytes: int = 0
    durable: bool = False
    taken: bool = True


class Driver:
    """One worker's consensus, log and registry, wired together. Everything runs in the caller's thread."""

    def __init__(
        self,
        core: Raft,
        log: Log,
        registry: Registry,
        surroundings: Surroundings,
        unfounded: Sequence[Unfounded],
    ) -> None:
        """`unfounded`: what `first_unfounded` found when this worker started."""
        self.core = core
        self.registry = registry
        self.leadership = Leadership(Role.FOLLOWER, None, core.status().term)
        self._log = log
        self._around = surroundings
        self._writes: deque[_Write] = deque()
        self._writes_bytes = 0
        self._number = 0
        self._unfounded = list(unfounded)
        self._durable = Ready(0, log.last_index(), log.term(log.last_index()))
        """The newest Ready that is durable."""
        self._proposals: deque[tuple[bytes, Answered]] = deque()
        self._proposals_bytes = 0
        self._waiting: dict[int, tuple[int, Answered]] = {}
        self._asked: list[Readable] = []
        self._reads: dict[int, list[Readable]] = {}
        self._next_read = 0
        self._safe: deque[tuple[int, list[Readable]]] = deque()

    @property
    def queued(self) -> bool:
        """Whether commands wait to be put into the log."""
        return bool(self._proposals)

    @property
    def leads(self) -> bool:
        return self.leadership.role is Role.LEADER

    # --- what comes in

    def step(self, message: Message, now: float) -> None:
        """A peer's message; raises `worker.raft.errors.Violation`."""
        self.core.step(message, now)

    def persisted(self, number: int) -> None:
        """The write of this number, and all before it, are durable."""
        for write in self._writes:
            if write.number > number:
                break
            if not write.durable:
                write.durable = True
                self._log.installed(write.batch)
                if write.then is not None:
                    write.then()
        self._advance()

    def _advance(self) -> None:
        while self._writes and self._writes[0].durable and self._writes[0].taken:
            write = self._writes.popleft()
            self._writes_bytes -= write.size_bytes
            if write.ready is not None:
                self._promise(write.ready)
        self._acknowledge()

    def lacking(self) -> dict[str, int]:
        """The blobs that the log names and this worker has not got, each with the last entry that names it."""
        return {digest: entry.index for entry in self._unfounded for digest in entry.lacks}

    def arrived(self, digest: str) -> None:
        """This worker durably holds that blob now (or it is not needed any more)."""
        for entry in self._unfounded:
            entry.lacks.discard(digest)
        self._unfounded = [entry for entry in self._unfounded if entry.lacks]
        self._acknowledge()

    def propose(self, command: Command, body: bytes, answered: Answered) -> None:
        """Put a command to the cluster; `answered` hears of it once it is applied here, or cannot be."""
        if not self.leads:
            answered(self.not_leader())
            return
        try:
            data = commands.encode(command, body)
        except ProtocolViolation as violation:
            answered(Refused(f"This cannot be written into the log: {violation.reason}"))
            return
        if len(data) > ENTRY_LIMIT_BYTES:
            answered(Refused(f"A command of {len(data)} bytes is too large.", "Ask for less at a time."))
        elif self._proposals_bytes + len(data) > PROPOSALS_LIMIT_BYTES:
            answered(Busy("The disk cannot keep up with what is asked.", "Try again in a moment."))
        else:
            self._proposals.append((data, answered))
            self._proposals_bytes += len(data)

    def read(self, readable: Readable) -> None:
        """Call back as soon as this worker's state is at least as new as this moment, cluster-wide (ReadIndex)."""
        if len(self._asked) + len(self._reads) >= READS_LIMIT:
            readable(Busy("Too many reads wait.", "Try again in a moment."))
            return
        self._asked.append(readable)

    def not_leader(self) -> NotLeader:
        """The error that sends a client elsewhere; its `leader` is a member id until the node puts the address."""
        return NotLeader("This worker does not lead.", "Ask the leader.", self.leadership.leader)

    # --- one turn

    def pump(self, now: float) -> float:
        """Do what is ready; of a long past, `TURN_ENTRIES` or a few more. Returns when time must be told again."""
        until = self.registry.applied_index + TURN_ENTRIES
        self.core.tick(now)
        self._submit()
        while (ready := self.core.ready()) is not None:
            self._handle(ready)
            self._submit()
            if self.registry.applied_index >= until:
                return now  # at once, but heartbeats and everyone else's sockets have their turn first
        return self.core.deadline()

    def _submit(self) -> None:
        """Hand the turn's proposals and reads to the core, each kind in one go."""
        if self._proposals and len(self._writes) < WRITES_LIMIT:
            self._propose_some()
        if self._asked:
            asked, self._asked = self._asked, []
            self._next_read += 1
            try:
                self.core.read_index(self._next_read)
            except raft_errors.RaftError as error:
                self._reject(error, asked)
            else:
                self._reads[self._next_read] = asked

    def _propose_some(self) -> None:
        """As many proposals as the disk takes now; the others wait."""
        room = WRITES_LIMIT_BYTES - self._writes_bytes
        taken: list[tuple[bytes, Answered]] = []
        while self._proposals and room > 0:
            taken.append(self._proposals.popleft())
            size_bytes = len(taken[-1][0])
            self._proposals_bytes -= size_bytes
            room -= size_bytes
        try:
            indexes = self.core.propose([data for data, _ in taken])
        except raft_errors.RaftError as error:
            self._reject(error, [answered for _, answered in taken])
        else:
            term = self.leadership.term
            for index, (_, answered) in zip(indexes, taken, strict=True):
                self._waiting[index] = (term, answered)

    def _reject(self, error: raft_errors.RaftError, whom: Sequence[Callable[[Any], None]]) -> None:
        if isinstance(error, raft_errors.NotLeader):
            told: MinkaError = NotLeader("This worker does not lead.", "Ask the leader.", error.leader)
        else:
            told = Busy("The cluster takes no more for the moment.", "Try again.")
        for callback in whom:
            callback(told)

    def _handle(self, ready: Ready) -> None:
        if ready.leadership is not None:
            self._lead(ready.leadership)
        for message in ready.messages:
            self._around.send(message)
        if ready.must_persist:
            self._persist(ready)
        for entry in ready.committed:
            self._apply(entry)
        if ready.committed:
            self.core.applied(ready.committed[-1].index)
        for read in ready.reads:
            self._read_is_safe_at(read)
        self._answer_reads()

    def _lead(self, leadership: Leadership) -> None:
        before, self.leadership = self.leadership, leadership
        if (before.leader, before.term) != (leadership.leader, leadership.term):
            gone, self._reads = self._reads, {}
            for readable in itertools.chain.from_iterable(gone.values()):
                readable(self.not_leader())
        if before.role is Role.LEADER and leadership.role is not Role.LEADER:
            appended = [answered for _, answered in self._waiting.values()]
            queued = [answered for _, answered in self._proposals]
            self._waiting.clear()
            self._proposals.clear()
            self._proposals_bytes = 0
            for answered in appended:
                # The next leader may still commit their entries: only a repeat of the same ticket can tell.
                answered(
                    OutcomeUnknown("This worker stopped leading meanwhile.", "Ask the next leader the same.")
                )
            for answered in queued:
                answered(self.not_leader())
        self._around.led(leadership)

    def _persist(self, ready: Ready) -> None:
        if ready.entries:  # they replace what the log has from there on
            first = ready.entries[0].index
            self._unfounded = [entry for entry in self._unfounded if entry.index < first]
        for entry in ready.entries:
            if lacks := lacking(entry, self._around.missing):
                self._unfounded.append(Unfounded(entry.index, lacks))
        if ready.hard_state is None and not (ready.entries or ready.snapshot or self._writes):
            self._promise(ready)  # nothing of its own to write, and nothing to wait for
            self._acknowledge()
            return
        write = self._write(self._log.prepare(ready.hard_state, ready.entries), ready)
        if ready.snapshot is not None:
            write.taken = False
            self._around.restore(ready.snapshot, partial(self._took, write, ready.snapshot))

    def _write(self, batch: Any, ready: Ready | None, then: Callable[[], None] | None = None) -> _Write:
        self._number += 1
        write = _Write(self._number, batch, ready, then)
        if ready is not None:
            write.size_bytes = sum([len(entry.data) for entry in ready.entries])
        self._writes.append(write)
        self._writes_bytes += write.size_bytes
        self._around.persist(batch, write.number)
        return write

    # --- snapshots

    def compact(self, snapshot: SnapshotMeta, keep_from: int, done: Callable[[], None]) -> None:
        """Give up the log below `keep_from`, for which a durable snapshot stands; `done` once that is durable, too."""
        self._write(self._log.prepare(None, (), snapshot, keep_from), None, done)

    def repeat(self, done: Callable[[], None]) -> None:
        """Write term, vote and snapshot at the log's end once more; `done` once that is durable."""
        self._write(self._log.repeat(), None, done)

    def _took(self, write: _Write, chunk: SnapshotChunk, state: Registry | None) -> None:
        """A chunk was taken; after the last one, the log is replaced, and then the state."""

        def replaced() -> None:
            assert state is not None, "the log was replaced for its sake"
            self.registry.replace(state)
            self._unfounded.clear()
            write.taken = True
            self._around.restored(chunk.snapshot)

        if state is not None:
            self._write(self._log.prepare(None, (), chunk.snapshot), None, replaced)
            return
        if chunk.last:
            self.core.snapshot_refused()
        write.taken = True
        self._advance()

    def _promise(self, ready: Ready) -> None:
        """This Ready is durable: what it promises may be said. A missing blob withholds no vote."""
        self._durable = ready
        for message in ready.after_persist:
            self._around.send(message)

    def _acknowledge(self) -> None:
        """Tell the core how far the log is durable and founded."""
        ready = self._durable
        index, term = ready.last_index, ready.last_term
        if self._unfounded and self._unfounded[0].index <= index:
            index = self._unfounded[0].index - 1
            term = self._log.term(index)
        self.core.persisted(index, term, ready.number)

    def _apply(self, entry: Entry) -> None:
        if entry.kind is not EntryKind.COMMAND:
            self.registry.skip(entry.index)
            self._around.applied(entry, None)
            outcome = None
        else:
            outcome = self.registry.apply(entry.index, entry.data)
            self._around.applied(entry, outcome)
        waiting = self._waiting.pop(entry.index, None)
        if waiting is None:
            return
        term, answered = waiting
        if term != entry.term or outcome is None:
            answered(self.not_leader())
        elif "failure" in outcome.answer:
            answered(from_failure(outcome.answer["failure"]))
        else:
            answered(outcome.answer["answer"])

    def _read_is_safe_at(self, read: ReadState) -> None:
        assert isinstance(read.context, int)
        waiting = self._reads.pop(read.context, None)
        if waiting is not None:
            self._safe.append((read.index, waiting))

    def _answer_reads(self) -> None:
        while self._safe and self._safe[0][0] <= self.registry.applied_index:
            for readable in self._safe.popleft()[1]:
                readable(None)
