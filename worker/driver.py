"""The driver: the one place that orders what the consensus core asks for.

    persist -> send -> apply

Messages that promise nothing leave at once. Votes and acknowledgements leave when the Ready they belong to is durable, and,
for entries that name blobs, when this worker also holds those bytes (DESIGN 5). Entries are applied once they are
committed and durable here. No socket, thread or clock: those are handed in, so that a simulator can drive the same code.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import Busy, MinkaError, NotLeader, from_failure
from worker.raft import errors as raft_errors
from worker.raft.entries import Entry, EntryKind, HardState
from worker.raft.messages import Message
from worker.raft.raft import Raft
from worker.raft.ready import Leadership, ReadState, Ready, Role
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.registry import Outcome, Registry

Answered = Callable[[dict[str, Any] | MinkaError], None]
"""Hears once what became of a command: the answer's fields, or why not."""

Readable = Callable[[MinkaError | None], None]
"""Hears once when a read is linearizable (None), or why it can't be."""

ENTRY_LIMIT_BYTES = 8 * 1024 * 1024
READS_LIMIT = 100_000
_SCAN_BYTES = 4 * 1024 * 1024


class Log(Protocol):
    """The durable log, as the driver uses it."""

    def prepare(self, hard_state: HardState | None, entries: Sequence[Entry]) -> Any: ...

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
        """Write this batch durably, in order, then call `Driver.persisted(number)`."""

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        """The digests among `blobs` that this worker lacks; it begins to pull them, and calls `Driver.arrived`."""

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        """An entry took effect."""

    def led(self, leadership: Leadership) -> None:
        """Who leads has changed, as far as this worker knows."""

    def time_ms(self) -> int:
        """The wall clock, for proposals."""


def first_unfounded(log: Log, missing: Callable[[tuple[Blob, ...]], set[str]]) -> tuple[int, set[str]]:
    """The last index before the first entry that names a blob which is not here, and all the blobs that are lacking.

    An entry reaches the log before its blob arrives, so a worker that stopped in between must not count as holding it.
    """
    founded, lacks = log.last_index(), set[str]()
    index = log.first_index()
    while index <= log.last_index():
        for entry in log.entries(index, log.last_index() + 1, _SCAN_BYTES):
            if entry.kind is EntryKind.COMMAND and (named := commands.named_blobs(entry.data)):
                absent = missing(named)
                if absent and not lacks:
                    founded = entry.index - 1
                lacks |= absent
            index = entry.index + 1
    return founded, lacks


@dataclass(slots=True)
class _Write:
    """A Ready on its way to the disk; `lacks` are the blobs that its entries name and this worker has not got."""

    ready: Ready
    batch: Any
    durable: bool = False
    lacks: set[str] = field(default_factory=set)


class Driver:
    """One worker's consensus, log and registry, wired together. Everything runs in the caller's thread."""

    def __init__(
        self,
        core: Raft,
        log: Log,
        registry: Registry,
        surroundings: Surroundings,
        lacks: set[str],
    ) -> None:
        """`lacks`: what `first_unfounded` found when this worker started."""
        self.core = core
        self.registry = registry
        self.leadership = Leadership(Role.FOLLOWER, None, core.status().term)
        self._log = log
        self._around = surroundings
        self._writes: deque[_Write] = deque()
        if lacks:
            tail = log.last_index()
            self._writes.append(_Write(Ready(0, tail, log.term(tail)), None, durable=True, lacks=lacks))
        self._proposals: list[tuple[bytes, Answered]] = []
        self._waiting: dict[int, tuple[int, Answered]] = {}
        self._asked: list[Readable] = []
        self._reads: dict[int, list[Readable]] = {}
        self._next_read = 0
        self._safe: deque[tuple[int, list[Readable]]] = deque()

    @property
    def leads(self) -> bool:
        return self.leadership.role is Role.LEADER

    # --- what comes in

    def step(self, message: Message, now: float) -> None:
        """A peer's message; raises `worker.raft.errors.Violation`."""
        self.core.step(message, now)

    def persisted(self, number: int) -> None:
        """The write of Ready `number`, and all before it, are durable."""
        for write in self._writes:
            if write.ready.number > number:
                break
            if not write.durable:
                self._log.installed(write.batch)
                write.durable = True
        self._release()

    def arrived(self, digest: str) -> None:
        """This worker durably holds that blob now (or it is not needed any more)."""
        for write in self._writes:
            write.lacks.discard(digest)
        self._release()

    def propose(self, command: Command, body: bytes, answered: Answered) -> None:
        """Put a command to the cluster; `answered` hears of it once it is applied here, or cannot be."""
        if not self.leads:
            answered(self.not_leader())
            return
        self._proposals.append((commands.encode(command, body), answered))

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
        """Do all that is ready. Returns when time must be told again."""
        self.core.tick(now)
        self._submit()
        while (ready := self.core.ready()) is not None:
            self._handle(ready)
            self._submit()
        return self.core.deadline()

    def _submit(self) -> None:
        """Hand the turn's proposals and reads to the core, each kind in one go."""
        if self._proposals:
            proposals, self._proposals = self._proposals, []
            try:
                indexes = self.core.propose([data for data, _ in proposals])
            except raft_errors.RaftError as error:
                self._reject(error, [answered for _, answered in proposals])
            else:
                term = self.leadership.term
                for index, (_, answered) in zip(indexes, proposals, strict=True):
                    self._waiting[index] = (term, answered)
        if self._asked:
            asked, self._asked = self._asked, []
            self._next_read += 1
            try:
                self.core.read_index(self._next_read)
            except raft_errors.RaftError as error:
                self._reject(error, asked)
            else:
                self._reads[self._next_read] = asked

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
            for waiting in gone.values():
                for readable in waiting:
                    readable(self.not_leader())
        if before.role is Role.LEADER and leadership.role is not Role.LEADER:
            # Their entries may still be committed by the next leader: only a repeat of the same ticket can tell.
            waiting_commands, self._waiting = self._waiting, {}
            for _, answered in waiting_commands.values():
                answered(self.not_leader())
        self._around.led(leadership)

    def _persist(self, ready: Ready) -> None:
        write = _Write(ready, None)
        for entry in ready.entries:
            if entry.kind is EntryKind.COMMAND and (named := commands.named_blobs(entry.data)):
                write.lacks |= self._around.missing(named)
        self._writes.append(write)
        if ready.hard_state is not None or ready.entries:
            write.batch = self._log.prepare(ready.hard_state, ready.entries)
            self._around.persist(write.batch, ready.number)
        elif len(self._writes) == 1:
            write.durable = True
            self._release()
        else:
            # Nothing of its own to write: durable with what waits before it.
            self._around.persist(self._log.prepare(None, ()), ready.number)

    def _release(self) -> None:
        """Tell the core and the peers of the writes that are durable and have their blobs, in order."""
        while self._writes and self._writes[0].durable and not self._writes[0].lacks:
            ready = self._writes.popleft().ready
            self.core.persisted(ready.last_index, ready.last_term, ready.number)
            for message in ready.after_persist:
                self._around.send(message)

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
