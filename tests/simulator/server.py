"""One simulated worker: the production driver, core, log and registry; clock, network and disk are the simulation's."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError
from tests.simulator.disk import Killed, SimulatedDisk
from tests.simulator.snapshotting import Snapshotting
from tests.simulator.writer import Writer
from worker.driver import Driver, Taken
from worker.raft import (
    Config,
    Entry,
    HardState,
    Leadership,
    Membership,
    Message,
    Raft,
    RaftError,
    Role,
    SnapshotMeta,
)
from worker.raft.messages import Append, VoteReply
from worker.raft.ready import SnapshotChunk
from worker.registry.commands import Blob
from worker.registry.registry import Outcome
from worker.snapshots import newest_state
from worker.storage.disk import Corrupt, DiskFailed, DiskFull
from worker.storage.identity import establish, open_identity
from worker.storage.log import EntryLog
from worker.storage.mending import mend_entry
from worker.storage.reserve import Reserve
from worker.storage.segment import BATCH_BYTES
from worker.storage.snapshots import SnapshotStore
from worker.unfounded import first_unfounded

if TYPE_CHECKING:
    from tests.simulator.simulation import Simulation

DATA = Path("data")
LOG = DATA / "log"
CLUSTER = "simulated"
RESERVE_BYTES = 64 * 1024
EPOCH_MS = 1_700_000_000_000
PULL_AGAIN_S = 0.5


class Server:
    """A worker with its disk. It implements `worker.driver.Surroundings`.

    `promised_*` is what was durable when peers or clients could know of it; it survives every crash, or the disk lied.
    """

    def __init__(self, sim: "Simulation", id: str, config: Config, initial: Membership) -> None:
        self.sim = sim
        self.id = id
        self.config = config
        self.initial = initial
        self.rng = Random(f"{sim.seed} {id}")
        self.disk = SimulatedDisk(self.rng)
        self.blobs: set[str] = set()
        self.up = False
        self.corrupt = False
        self.life = 0
        self.promised_terms: list[int] = []
        self.promised_hard = HardState()
        self.confirmed_end: tuple[int, int] = (0, 0)
        """Segment and offset before which the log itself proves that all was durable."""

        self.paused = False
        self.backlog: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.rate = 1.0
        self._rated_at = self._rated_local = 0.0
        self.wall_offset_ms = 0
        self.slowness = 1.0
        self._armed_at = float("inf")
        self._arming = 0
        self._mending: set[int] = set()

    def __repr__(self) -> str:
        state = "corrupt" if self.corrupt else "up" if self.up else "down"
        return f"Server({self.id} {state} {self.core if self.up else ''})"

    @property
    def core(self) -> Raft:
        return self.driver.core

    def note(self, line: str) -> None:
        self.sim.note(f"{self.id} {line}")

    def leads(self) -> bool:
        return self.up and self.core._state.role is Role.LEADER

    # --- its clocks

    def local(self) -> float:
        """Seconds of its monotonic clock, which may run too fast or too slow."""
        return self._rated_local + (self.sim.now - self._rated_at) * self.rate

    def drift(self, rate: float) -> None:
        self._rated_local, self._rated_at, self.rate = self.local(), self.sim.now, rate
        self._armed_at = float("inf")
        if self.up:
            self._arm(self.core.deadline())

    def time_ms(self) -> int:
        return EPOCH_MS + int(self.sim.now * 1000) + self.wall_offset_ms

    def write_s(self) -> float:
        return self.rng.uniform(0.0002, 0.004) * self.slowness

    def hand_over_s(self) -> float:
        return self.rng.uniform(0.00002, 0.0005)

    # --- its life

    def start(self) -> bool:
        """Boot from the disk; False if that could not be done now, or never again (`corrupt`)."""
        assert not self.up
        assert not self.corrupt
        self.life += 1
        self.backlog.clear()
        self._mending.clear()
        self.paused = False
        try:
            self._open()
        except Corrupt as error:
            self.sim.invariants.found_damage(self, error)
            self.corrupt = True
            return False
        except (DiskFull, DiskFailed, Killed) as error:
            self.note(f"cannot start: {type(error).__name__}")
            self.disk.dies_after = None
            return False
        self.up = True
        self._armed_at = float("inf")
        self.note(f"starts with {self.log.last_index()} entries in {self.log.hard_state}")
        self.act(lambda: None)
        return True

    def _open(self) -> None:
        identity = open_identity(self.disk, DATA, self.id, CLUSTER)
        self.log = EntryLog.open(self.disk, LOG, identity, cache_bytes=self.sim.log_cache_bytes)
        self.log.is_damaged = self._mend_later
        establish(self.disk, DATA, identity)
        self.reserve = Reserve(self.disk, DATA, RESERVE_BYTES)
        self.reserve.restore()
        store = SnapshotStore(self.disk, DATA / "snapshots")
        found = newest_state(store, self.log, self.note)
        self.snapshots = Snapshotting(self, store, found.index)
        self.disk.dies_after = None
        self.registry = found.registry
        self.sim.invariants.recovered(self)
        self.writer = Writer(self, self.log, self.reserve)
        founded, lacks = first_unfounded(self.log, self.missing, after=self.registry.applied_index)
        snapshot = self.log.snapshot()
        core = Raft(
            self.config,
            self.log.hard_state,
            self.log,
            snapshot.membership if snapshot.index else self.initial,
            Random(f"{self.sim.seed} {self.id} {self.life}"),
            self.local(),
            stable_index=founded,
            applied_index=self.registry.applied_index,
            snapshots=store,
        )
        self.driver = Driver(core, self.log, self.registry, self, lacks)

    def _mend_later(self, index: int) -> None:
        """An old entry cannot be read to send it: as `worker.repairs`, write it anew when another worker gives it."""
        if index <= self.registry.applied_index and index not in self._mending:
            self.sim.invariants.found_damaged_entry(self, index)
            self._mending.add(index)
            self.later(self.write_s(), self._mend, index)

    def _mend(self, index: int) -> None:
        self._mending.discard(index)
        if not self.log.first_index() <= index <= self.registry.applied_index:
            return
        (place,) = places = self.log.pin(index, 0)
        try:
            for other in self.sim.up():
                if other is self or other.paused or (self.id, other.id) in self.sim.network.cuts:
                    continue
                if not other.log.first_index() <= index <= other.log.last_index():
                    continue
                entry = other.log.entries(index, index + 1, 0)[0]
                if entry.term == place.term:
                    mend_entry(self.disk, place, entry)
                    self.note(f"has entry {index} again, from {other.id}")
                    break
        except (Corrupt, DiskFailed, DiskFull):
            pass  # it is asked for again when it is needed again
        finally:
            self.log.unpin(places)
        self.act(_nothing)

    def end(self, why: str) -> None:
        """The process ends by itself; what it had not synced stays in the system's memory, or goes."""
        if self.up:
            self.note(f"ends: {why}")
            self.crash(power=self.rng.random() < 0.5)
            self.sim.nemesis.restart_later(self)

    def crash(self, power: bool) -> None:
        """End at once, perhaps in the middle of a write; with `power` lost, all that was not synced is at stake."""
        self.up = False
        if self.writer.busy and self.rng.random() < 0.5:
            self.disk.dies_after = self.rng.randrange(5)
            try:
                self.writer.touch_disk()
            except (Killed, DiskFull, DiskFailed):
                self.note("dies while it writes")
            self.disk.dies_after = None
        if power:
            self.disk.lose_power()
        self.sim.invariants.crashed(self)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        """Go on, and find all at once what came meanwhile."""
        if self.paused:
            self.paused = False
            backlog, self.backlog = self.backlog, []
            life = self.life
            for call, arguments in backlog:
                if self.up and self.life == life:
                    call(*arguments)

    # --- its turns

    def later(self, seconds: float, call: Callable[..., None], *arguments: Any) -> None:
        """Call after so long, unless the process has ended by then."""
        self.sim.at(seconds, self._due, self.life, call, arguments)

    def _due(self, life: int, call: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.up and self.life == life:
            if self.paused:
                self.backlog.append((call, arguments))
            else:
                call(*arguments)

    def act(self, call: Callable[..., None], *arguments: Any) -> None:
        """One turn of the node thread: something comes in, then all that is ready is done."""
        try:
            call(*arguments)
            deadline = self.driver.pump(self.local())
        except Corrupt as error:
            self.sim.invariants.found_damage(self, error)
            self.end("its log is damaged")
            return
        self.sim.invariants.after_turn(self)
        self._arm(deadline)
        self.snapshots.look()

    def _arm(self, deadline: float) -> None:
        at = self.sim.now + max(deadline - self.local(), 0.0) / self.rate + 1e-6
        if at < self._armed_at:
            self._armed_at = at
            self._arming += 1
            self.later(at - self.sim.now, self._tick, self._arming)

    def _tick(self, arming: int) -> None:
        if arming == self._arming:
            self._armed_at = float("inf")
            self.act(_nothing)

    def receive(self, message: Message) -> None:
        """A peer's message has come."""
        if self.up:
            if self.paused:
                self.backlog.append((self.act, (self._step, message)))
            else:
                self.act(self._step, message)

    def _step(self, message: Message) -> None:
        self.driver.step(message, self.local())

    def peer_lost(self, peer: str) -> None:
        self.later(self.rng.uniform(0, 0.002), self.act, lambda: self.core.peer_lost(peer, self.local()))

    def attempt(self, call: Callable[[Raft], object]) -> bool:
        """Ask the core for something that it may refuse."""
        done = False

        def ask() -> None:
            nonlocal done
            try:
                call(self.core)
                done = True
            except RaftError as error:
                self.note(f"refuses: {error}")

        self.act(ask)
        return done

    def persisted(self, group: list[tuple[Any, int]]) -> None:
        """The writer reports; from here on, these writes are promises."""
        written = [batch for batch, _ in group if batch.records]
        if written:
            self.confirmed_end = (written[0].segment, written[0].offset - BATCH_BYTES)
        for batch, _ in group:
            if batch.hard_state is not None:
                self.promised_hard = batch.hard_state
            if batch.compaction is not None and batch.compaction.replaces:
                self.promised_terms = self.sim.invariants.committed[: batch.compaction.snapshot.index]
            if batch.entries:
                del self.promised_terms[batch.entries[0].index - 1 :]
                self.promised_terms += [entry.term for entry in batch.entries]
        self.act(self.driver.persisted, group[-1][1])

    def propose(
        self, command: Any, body: bytes, answered: Callable[[dict[str, Any] | MinkaError], None]
    ) -> None:
        self.act(self.driver.propose, command, body, answered)

    def read(self, readable: Callable[[MinkaError | None], None]) -> None:
        self.act(self.driver.read, readable)

    # --- what the driver causes (worker.driver.Surroundings)

    def send(self, message: Message) -> None:
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self.sim.invariants.voted(self.id, message.term, message.to)
            self.sim.nemesis.noticed("vote", self)
        elif isinstance(message, Append) and message.entries:
            self.sim.nemesis.noticed("append", self)
        self.sim.network.send(message)

    def persist(self, batch: Any, number: int) -> None:
        self.sim.invariants.entered(self, batch.entries)
        self.writer.submit(batch, number)

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        lacking = {blob.digest for blob in blobs} - self.blobs
        for digest in sorted(lacking):
            self.sim.at(self.rng.uniform(0.005, 0.2), self._pull, self.life, digest)
        return lacking

    def _pull(self, life: int, digest: str) -> None:
        """Fetch a blob, or notice that a client has brought it meanwhile; later, if neither is so."""
        if self.life != life:
            return
        if self.up and not self.paused and (digest in self.blobs or self.reaches(digest)):
            self.blobs.add(digest)
            self.act(self.driver.arrived, digest)
        else:
            self.sim.at(PULL_AGAIN_S, self._pull, life, digest)

    def reaches(self, digest: str) -> bool:
        """Whether some other worker that is up has this blob."""
        return any(digest in other.blobs for other in self.sim.up() if other is not self)

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        self.sim.invariants.applied(self, entry, outcome)

    def restore(self, chunk: SnapshotChunk, taken: Taken) -> None:
        self.snapshots.restore(chunk, taken)

    def restored(self, snapshot: SnapshotMeta) -> None:
        self.note(f"stands on the leader's snapshot at {snapshot.index}")
        self.sim.invariants.loaded(self)
        self.snapshots.restored(snapshot)

    def led(self, leadership: Leadership) -> None:
        self.note(f"is {leadership.role.value} in term {leadership.term}, leader {leadership.leader}")
        if leadership.role is Role.LEADER:
            self.sim.nemesis.noticed("lead", self)


def _nothing() -> None:
    pass
