"""A cluster in memory: real cores, and a clock, a network and disks that do only what a test tells them to."""

import json
import random
from collections import deque
from collections.abc import Callable, Iterable

from tests.raft.disk import Disk
from tests.raft.invariants import Invariants
from worker.raft import Config, Entry, EntryKind, Membership, Message, Raft, Ready, Role, Status
from worker.raft.log import Log
from worker.raft.messages import VoteReply


class Server:
    """One core with its disk, its queue of writes, and a state machine that is the list of applied commands."""

    def __init__(self, cluster: "Cluster", id: str, membership: Membership, config: Config | None) -> None:
        self.cluster = cluster
        self.id = id
        self.config = config or Config(id)
        self.disk = Disk(membership)
        self.raft: Raft | None = None
        self.writes: deque[Ready] = deque()
        self.slow = False
        self.machine: list[Entry] = []
        self.reads: list[tuple[object, int]] = []
        self.lives = 0
        self.missing: set[int] = set()
        self.reported = 0

    def start(self) -> None:
        self.cluster.invariants.restarted(self)
        self.lives += 1
        self.reported = 0
        self.machine = [
            Entry(term, index, EntryKind.COMMAND, data.encode()) for term, index, data in _image(self.disk)
        ]
        self.raft = Raft(
            self.config,
            self.disk.hard_state,
            self.disk,
            self.disk.meta.membership,
            random.Random(f"{self.cluster.seed} {self.id} {self.lives}"),
            self.cluster.now,
            stable_index=min(self.missing) - 1 if self.missing else None,
            snapshots=self.disk,
        )

    def crash(self) -> None:
        """Lose all that is not durable."""
        self.raft = None
        self.writes.clear()
        self.reads.clear()

    @property
    def core(self) -> Raft:
        assert self.raft is not None, f"{self.id} has crashed"
        return self.raft

    @property
    def log(self) -> Log:
        return self.core._state.log

    def status(self) -> Status:
        return self.core.status()

    def term(self, index: int) -> int:
        term = self.log.term(index)
        assert term is not None, f"{self.id} has no entry {index}"
        return term

    def is_leader(self) -> bool:
        return self.raft is not None and self.status().role is Role.LEADER

    def pump(self) -> None:
        """Take every Ready: queue its writes, send what may go at once, apply what is committed."""
        while self.raft is not None and (ready := self.raft.ready()) is not None:
            self.cluster.tell_ready(self, ready)
            self.cluster.invariants.entered(self, ready.entries)
            if ready.must_persist:
                self.writes.append(ready)
            self.cluster.send(ready.messages)
            for entry in ready.committed:
                assert self.holds(entry.index, entry.term), f"{self.id} applies what is not durable"
                self.cluster.invariants.applies(self, entry)
                self.machine.append(entry)
            if ready.committed:
                self.raft.applied(ready.committed[-1].index)
            self.reads += [(read.context, read.index) for read in ready.reads]
            if not self.slow:
                self.persist()

    def persist(self, count: int | None = None) -> None:
        """The disk finishes `count` writes, or all."""
        for _ in range(len(self.writes) if count is None else count):
            ready = self.writes.popleft()
            if ready.hard_state is not None:
                self.disk.hard_state = ready.hard_state
            self.write(ready.entries)
            if ready.snapshot is not None and self.disk.write_chunk(ready.snapshot):
                self.machine = [Entry(t, i, EntryKind.COMMAND, d.encode()) for t, i, d in _image(self.disk)]
                self.missing.clear()
            for message in ready.after_persist:
                if isinstance(message, VoteReply) and message.granted and not message.pre:
                    self.cluster.invariants.voted(self.id, message.term, message.to)
            self.cluster.tell_persisted(self, ready)
            self.cluster.send(ready.after_persist)
            self.report(ready.last_index, ready.last_term, ready.number)
        if count is not None or self.slow:
            self.pump()

    def write(self, entries: tuple[Entry, ...]) -> None:
        """Entries come to the disk; the cluster decides whether a blob that they name is missing here."""
        self.disk.write(entries)
        if entries:
            self.missing = {index for index in self.missing if index < entries[0].index}
            self.missing |= {entry.index for entry in entries if self.cluster.is_blob_missing()}

    def report(self, index: int, term: int, number: int) -> None:
        """Tell the core what is durable, short of the first missing blob."""
        self.reported = number
        limit = min(self.missing, default=index + 1) - 1
        self.core.persisted(*((index, term) if index <= limit else (limit, self.disk.term(limit))), number)

    def fetch_blob(self) -> None:
        """The first missing blob has come."""
        self.missing.discard(min(self.missing))
        last = self.disk.last_index()
        self.report(last, self.disk.term(last), self.reported)
        self.pump()

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry, with its blob, is durable here, and all before it."""
        return self.disk.holds(index, term) and index < min(self.missing, default=index + 1)

    def compact(self, index: int) -> None:
        """Take a snapshot at the applied `index`, and drop the log before it."""
        applied = [entry for entry in self.machine if entry.index <= index]
        membership = self.disk.meta.membership
        for entry in self.disk.entries(self.disk.base + 1, index + 1, 1 << 30):
            if entry.kind is EntryKind.MEMBERSHIP:
                membership = Membership.decode(entry.data)
        if index == self.status().applied_index:
            assert membership == self.core.applied_membership(), "a snapshot would name the wrong members"
        self.disk.compact(index, membership, applied)


def _image(disk: Disk) -> list[tuple[int, int, str]]:
    return [tuple(row) for row in json.loads(disk.image or b"[]")]


class Cluster:
    """Servers, the messages between them, and one clock in seconds; `tell` receives a line for each event."""

    def __init__(
        self,
        voters: Iterable[str],
        learners: Iterable[str] = (),
        seed: object = 0,
        tell: Callable[[str], None] = lambda line: None,
        config: Callable[[str], Config] | None = None,
    ) -> None:
        self.seed = seed
        self.now = 0.0
        self.tell = tell
        self.config = config
        self.invariants = Invariants()
        self.network: list[Message] = []
        self.cuts: set[tuple[str, str]] = set()
        self.initial = Membership(frozenset(voters), frozenset(learners))
        self.servers: dict[str, Server] = {}
        for id in sorted(self.initial.members):
            self.add(id)

    def add(self, id: str) -> Server:
        """A new server with an empty disk; it starts when told to."""
        self.servers[id] = Server(self, id, self.initial, self.config(id) if self.config else None)
        return self.servers[id]

    def __getitem__(self, id: str) -> Server:
        return self.servers[id]

    def start(self) -> None:
        for server in self.servers.values():
            server.start()

    def send(self, messages: Iterable[Message]) -> None:
        self.network += messages

    def is_blob_missing(self) -> bool:
        """Hook for random runs."""
        return False

    def tell_ready(self, server: Server, ready: Ready) -> None:
        """Hook for transcripts."""

    def tell_persisted(self, server: Server, ready: Ready) -> None:
        """Hook for transcripts."""

    def tell_message(self, message: Message, fate: str) -> None:
        """Hook for transcripts."""

    def check(self) -> None:
        self.invariants.check(self.servers.values())

    def deliver(self, place: int = 0, keep: bool = False) -> None:
        """The message at `place` in the network arrives, unless its link is cut or its receiver is down."""
        message = self.network[place] if keep else self.network.pop(place)
        receiver = self.servers.get(message.to)
        if receiver is None or receiver.raft is None or (message.sender, message.to) in self.cuts:
            self.tell_message(message, "lost")
            return
        self.tell_message(message, "")
        receiver.raft.step(message, self.now)
        receiver.pump()
        self.check()

    def tick(self, id: str) -> None:
        """Time comes to `id`."""
        server = self.servers[id]
        server.core.tick(self.now)
        server.pump()
        self.check()

    def settle(self, limit: int = 100_000) -> None:
        """Deliver until nothing is under way; no time passes."""
        for _ in range(limit):
            if not self.network:
                return
            self.deliver()
        raise AssertionError(f"{len(self.network)} messages are still under way: {self.network[:5]}")

    def elapse(self, seconds: float) -> None:
        """Let time pass: every server ticks at its deadline, and all messages arrive at once."""
        end = self.now + seconds
        self.settle()
        while True:
            due = [(s.core.deadline(), s.id) for s in self.servers.values() if s.raft is not None]
            deadline, id = min(due, default=(end + 1, ""))
            if deadline > end:
                break
            self.now = max(self.now, deadline)
            self.tick(id)
            self.settle()
        self.now = end

    def elect(self, id: str) -> Server:
        """Make `id` the leader by letting its timeout pass first."""
        server = self.servers[id]
        for other in self.servers.values():
            if other.raft is not None and other.is_leader():
                self.now = max(self.now, other.core.deadline())
        self.now += 3 * server.config.election_timeout_s
        self.tick(id)
        self.settle()
        assert server.is_leader(), f"{id} does not lead: {server.core}"
        return server

    def leader(self) -> Server | None:
        """The leader of the newest term, if there is one."""
        leaders = [server for server in self.servers.values() if server.is_leader()]
        return max(leaders, key=lambda server: server.status().term, default=None)

    def propose(self, id: str, *data: bytes) -> list[int]:
        indexes = self.servers[id].core.propose(data)
        self.servers[id].pump()
        self.check()
        return indexes
