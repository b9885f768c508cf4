"""One worker: the node thread, and all that it owns.

Sockets, the consensus core and the registry live in one thread and one `selectors` loop, so that nothing of them needs a
lock. Its only regular hand-over is to the log-writer thread. Bulk data, computation and the monitor have threads and
processes of their own; what they bring comes back through the loop (DESIGN 3).
"""

import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import Busy, MinkaError, Refused, Unreachable
from shared.messages import INLINE_BYTES
from worker.beacon import Beacon
from worker.children import Children
from worker.door import Door
from worker.driver import Driver, Taken
from worker.exchange import Exchange
from worker.flight import FlightRecorder
from worker.formation import find_place, keep_formation, load_formation
from worker.installation import Installation
from worker.loop import Loop
from worker.needs import Needs
from worker.opening import open_data
from worker.outlook import ROW_S, Outlook
from worker.peers import PeerLinks
from worker.raft.config import Config
from worker.raft.entries import Entry, Membership, SnapshotMeta
from worker.raft.messages import Message
from worker.raft.raft import Raft
from worker.raft.ready import Leadership, Role, SnapshotChunk
from worker.registry import commands
from worker.registry.commands import Blob
from worker.registry.registry import Outcome
from worker.registry.rows import ModelRow
from worker.released import Released, load_notes
from worker.repairs import Repairs
from worker.requests import Requests
from worker.roster import Roster
from worker.scrubbing import Scrubber
from worker.serving.journal import Journal
from worker.serving.predictions import Predictions
from worker.serving.service import PredictionService
from worker.settings import Settings, read_address, write_address
from worker.snapshots import SNAPSHOTS, Snapshots
from worker.space import Space
from worker.storage.blobs import BlobStore
from worker.storage.disk import OsDisk
from worker.storage.records import RecordFile
from worker.storage.reserve import Reserve
from worker.storage.snapshots import SnapshotStore
from worker.storage.writer import LogWriter
from worker.training.coordinator import Coordinator
from worker.training.environment import child_environment
from worker.training.job import Job
from worker.training.pool import TrainerPool
from worker.training.replay import Replays
from worker.training.workshop import Workshop
from worker.transfers import Transfers
from worker.unfounded import first_unfounded
from worker.verification import Auditor
from worker.watchers import WAITING_LIMIT, ModelWatchers, Records

LOOK_AGAIN_S = 0.5
RECORDS = "records"


class Node:
    """A worker. `run` serves until `stop`, and leaves everything durable."""

    def __init__(self, settings: Settings) -> None:
        """Open the data directory and the port; raises `Refused`, `Corrupt`, `LogCorrupt` with what is wrong."""
        self.settings = settings
        self.loop = Loop()
        self.loop.held_up = self.log
        self._failure: BaseException | None = None
        self._when_applied: list[tuple[int, Callable[[], None]]] = []
        self._caught_up_for: int | None = None

        disk = OsDisk()
        disk.make_directory(settings.data)
        self._lock = disk.lock(settings.data / "lock")
        self.cluster = settings.keys.cluster_id
        self.disk = disk
        identity, self.entry_log, found = open_data(disk, settings, self.cluster, self.log)
        self.incarnation = identity.incarnation
        self.formation = load_formation(disk, settings.data)
        self._reserve = Reserve(disk, settings.data)
        self._reserve.restore()
        self.store = BlobStore(disk, settings.data / "blobs")
        self.records = Records(self.loop, RecordFile(disk, settings.data / RECORDS), self.log)
        if self.entry_log.torn_bytes:
            self.log(f"cut {self.entry_log.torn_bytes} bytes of an unfinished write off the log")

        self.flight = FlightRecorder()
        self.requests = Requests(self)
        self._door = Door(self)
        self._beacon = Beacon(self.loop, settings, self.cluster, self.log)
        self.transfers = Transfers(self.loop)
        self.space = Space(self, self._reserve)
        self.links = PeerLinks(
            self.loop, settings.id, self.cluster, settings.keys.cluster, self.peer_lost, self.log
        )
        self.exchange = Exchange(self.loop, self.store, self.transfers, self.links, self.voters)
        self.children = Children(self.loop, settings.id, self.log)
        self.registry = found.registry
        self.snapshots = Snapshots(self, SnapshotStore(disk, settings.data / SNAPSHOTS), found, self.children)
        self.installation = Installation(self)
        self.needs = Needs(self)
        self._notes = load_notes(disk, settings.data)
        self._released = Released(self, self._notes)
        self.driver = self._make_driver()

        environment = child_environment(os.environ)
        pool = TrainerPool(self.loop, self.children, settings.cores, environment)
        self.workshop = Workshop(self, pool, settings.data / "scratch")
        self.replays = Replays(self, pool.submit)
        self.coordinator = Coordinator(self.loop, self.workshop)
        self.watchers = ModelWatchers(self.loop, self.coordinator.jobs)
        self.service = PredictionService(self.loop, self.children, environment, self.workshop.blob_path)
        self.journal = Journal(self)
        self.predictions = Predictions(self)
        self.auditor = Auditor(self)
        self.repairs = Repairs(self)
        self.scrubber = Scrubber(self)
        self.exchange.was_read = self.scrubber.blob_was_read
        self.entry_log.is_damaged = self.repairs.entry
        self.outlook = Outlook(self, str(settings.data / RECORDS))
        for peer, address in settings.peers.items():
            self.links.add(peer, address)
        for peer in self.registry.members:
            self._member_changed(peer)
        self.roster = Roster(self)
        self.outlook.start()
        # Last: its thread would outlive a failure of anything before.
        self._writer: LogWriter[int] = LogWriter(
            self.entry_log,
            done=lambda numbers: self.loop.post(lambda: self.driver.persisted(numbers[-1])),
            failed=lambda error: self.loop.post(lambda: self.fail(error)),
            full=lambda error: self.loop.post(lambda: self.space.is_full(error)),
            reserve=self._reserve,
        )

    def _make_driver(self) -> Driver:
        first = Membership(frozenset(self.settings.peers))
        state, snapshot = self.registry.applied_index, self.entry_log.snapshot()
        founded, unfounded = first_unfounded(self.entry_log, self.missing, state, self._notes)
        if self.formation is not None:
            first = snapshot.membership if snapshot.index else self.formation.membership
        core = Raft(
            Config(self.settings.id),
            self.entry_log.hard_state,
            self.entry_log,
            first,
            random.Random(),
            self.loop.now,
            stable_index=founded,
            applied_index=state,
            snapshots=self.snapshots.store,
        )
        return Driver(core, self.entry_log, self.registry, self, unfounded)

    @property
    def jobs(self) -> Mapping[str, Job]:
        """Those that this worker drives, while it leads."""
        return self.coordinator.jobs

    # --- its life

    def run(self) -> None:
        """Serve until `stop` is called; raises what made it impossible to go on."""
        self.log(
            f"listening on {write_address(self.settings.listen)}, "
            f"monitor on http://{write_address(self.settings.monitor)}/"
        )
        try:
            self.loop.run(self._turn)
        finally:
            self._close()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End `run`; may be called from a signal handler."""
        self.loop.post(self.loop.stop)

    def _turn(self) -> float:
        if self.formation is None and not self._found_place():
            return self.loop.now + ROW_S
        deadline = self.driver.pump(self.loop.now)
        self.flight.applied(self.registry.applied_index)
        self.snapshots.look()
        self.records.flush()
        self.coordinator.assign()
        self.watchers.look()
        return deadline

    def _found_place(self) -> bool:
        """Whether this worker, which had nothing at its start, may take part from now on."""
        rows = {peer: row for peer, row in self.links.rows.items() if self.links.reachable(peer)}
        place = find_place(self.settings.id, self.incarnation, self.settings.peers, rows)
        if place is None:
            return False
        keep_formation(self.disk, self.settings.data, place)
        self.formation = place
        self.driver = self._make_driver()
        self.log(f"takes part, with {', '.join(sorted(place.membership.members))}")
        return True

    def _close(self) -> None:
        leaving = Unreachable(f"Worker {self.settings.id} is stopping.")
        self.children.close()
        self.links.close(leaving)
        self._door.close(leaving)
        self._beacon.close()
        self._writer.close()
        self.transfers.close()
        self.entry_log.close()
        self._lock.release()
        self.loop.close()

    def fail(self, error: BaseException) -> None:
        """The disk or the code can't be trusted any more: nothing more is promised, the process ends."""
        self._failure = error
        self.loop.stop()

    def log(self, line: str) -> None:
        """One line for whoever watches the terminal."""
        shown = "".join(character if character.isprintable() else "?" for character in line)
        with contextlib.suppress(OSError):  # whoever read the terminal has gone
            print(f"{time.strftime('%H:%M:%S')} {self.settings.id}: {shown}", file=sys.stderr, flush=True)

    def notice(self, kind: str, text: str, **facts: Any) -> None:
        """Something about this worker that its monitor shows: kind "damage", "repair" or "space"; `facts` say the same."""
        self.log(f"{kind}: {text}")
        self.outlook.feed.noticed(kind, text, **facts)

    def hear(self, message: Message) -> None:
        """A peer's consensus message; raises `Violation`."""
        if self.formation is not None:  # else: a disk without a past holds its tongue until it has its place
            self.flight.heard(message)
            self.driver.step(message, self.loop.now)

    def peer_lost(self, peer: str) -> None:
        """A connection to or from this worker broke."""
        self.driver.core.peer_lost(peer, self.loop.now)
        self.coordinator.lost(peer)

    # --- what the driver causes (driver.Surroundings)

    def send(self, message: Message) -> None:
        self.flight.sent(message)
        self.links.send(message)

    def persist(self, batch: Any, number: int) -> None:
        try:
            self._writer.submit(batch, number)
        except Busy as error:
            self.fail(error)

    def missing(self, blobs: tuple[Blob, ...]) -> set[str]:
        return self.needs.missing(blobs)

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        self.snapshots.applied(entry)
        self.space.took(len(entry.data))
        self.outlook.feed.applied(entry, outcome)
        self.outlook.applied(entry)
        if outcome is not None:
            self.records.add(outcome.records)
            for digest in outcome.released:
                self._released.add(digest)
            for change in outcome.changes:
                if change.set == "members":
                    self._member_changed(str(change.id))
                elif change.set == "models" and isinstance(change.id, str):
                    self._model_changed(self.registry.models[change.id])
        self._answer_waiting()

    def _model_changed(self, model: ModelRow) -> None:
        self.coordinator.changed(model)
        if model.status in ("cancelled", "failed"):
            self.workshop.ended(model.id)
        if model.aliases:
            self.service.warm(model)

    def _answer_waiting(self) -> None:
        if self._when_applied:
            applied = self.registry.applied_index
            due = [call for index, call in self._when_applied if index <= applied]
            self._when_applied = [one for one in self._when_applied if one[0] > applied]
            for call in due:
                call()

    def restore(self, chunk: SnapshotChunk, taken: Taken) -> None:
        self.installation.take(chunk, taken)

    def restored(self, snapshot: SnapshotMeta) -> None:
        self.snapshots.replaced(snapshot.index, self.installation.packs)
        self.installation.restored()
        for peer in self.registry.members:
            self._member_changed(peer)
        self.outlook.feed.replaced()
        self._answer_waiting()

    def _member_changed(self, id: str) -> None:
        row = self.registry.members.get(id)
        if row is not None:
            self.links.add(id, read_address(row.address))

    def led(self, leadership: Leadership) -> None:
        self.log(
            f"{leadership.role.value} in term {leadership.term}, leader {leadership.leader or 'unknown'}"
        )
        self.flight.stood(leadership)
        if leadership.role is Role.LEADER:
            # Jobs go on once all that earlier leaders have committed is applied, this term's no-op included.
            self._caught_up_for = leadership.term
            self.driver.read(self._caught_up)
        else:
            self._caught_up_for = None
            self.coordinator.follow()
        self.journal.led()
        self.outlook.led(leadership)

    def time_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def _caught_up(self, error: MinkaError | None) -> None:
        if isinstance(error, Busy):
            self.loop.call_later(LOOK_AGAIN_S, lambda: self.driver.read(self._caught_up))
        elif error is None and self._caught_up_for is not None:
            self.coordinator.lead(self._caught_up_for, list(self.registry.models.values()))

    # --- what requests need

    def address_of(self, peer: str) -> str | None:
        """Where clients find this member."""
        address = self.links.addresses.get(peer)
        return None if address is None else write_address(address)

    def holders(self, index: int) -> list[str]:
        """The workers that durably hold entry `index` and the bytes it names, as the leader knows."""
        status = self.driver.core.status()
        found = [self.settings.id] if status.durable_index >= index else []
        return sorted(found + [peer for peer, one in status.peers.items() if one.match_index >= index])

    def holds(self, blob: Blob) -> bool:
        return self.store.use(blob.digest) and self.store.size(blob.digest) == blob.size_bytes

    def small_file(self, digest: str, index: int) -> Callable[[], bytes]:
        """What reads a small file's bytes, on a transfer thread: they ride in entry `index`, or lie in a pack by now."""
        if index >= self.entry_log.first_index():
            data = commands.body_of(self.entry_log.entries(index, index + 1, INLINE_BYTES)[0].data)
            return lambda: data
        place = self.snapshots.packs.places.get(digest)
        if place is None:
            raise Refused(f"The bytes of {digest} are not here.", "Ask another worker.")
        return lambda: self.store.read(place.pack, place.offset, place.size_bytes)

    def when_applied(self, index: int, call: Callable[[], None]) -> None:
        """Call once entry `index` is applied here; raises `Busy` when too many wait."""
        if self.registry.applied_index >= index:
            call()
        elif len(self._when_applied) >= WAITING_LIMIT:
            raise Busy("Too many wait for this worker to catch up.", "Try again in a moment.")
        else:
            self._when_applied.append((index, call))

    def voters(self) -> frozenset[str]:
        """The workers whose majority decides."""
        return self.driver.core.status().membership.voters
