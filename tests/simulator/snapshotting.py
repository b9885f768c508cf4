"""One worker's snapshots: the order of steps of `worker.snapshots` and `worker.installation`, at simulated times.

Files, rows and checks are production code. What is left out: packs (nobody reads small files here) and records.
"""

from collections import deque
from typing import TYPE_CHECKING, Any

from worker.driver import Taken
from worker.raft import SnapshotMeta
from worker.raft.ready import SnapshotChunk
from worker.registry.registry import Registry
from worker.storage.disk import Corrupt, DiskFailed, DiskFull
from worker.storage.snapshots import Heading, SnapshotStore, write_snapshot

if TYPE_CHECKING:
    from tests.simulator.server import Server

RETRY_S = 0.5


class Snapshotting:
    """Makes snapshots when the log has grown, and takes the leader's."""

    def __init__(self, server: "Server", store: SnapshotStore, newest: int) -> None:
        self._server = server
        self._store = store
        self._newest = newest
        self._making: Heading | None = None
        self._installing = False
        self._chunks: deque[tuple[SnapshotChunk, Taken]] = deque()
        """Chunks of the leader's snapshot, taken one after the other; the first is being written."""
        store.keep([index for index in store.indexes() if index <= newest][:2])

    # --- its own

    def look(self) -> None:
        """Begin a snapshot of what is applied, if it is time."""
        server = self._server
        registry = server.registry
        if self._making is not None or self._installing:
            return
        if registry.applied_index < self._newest + server.sim.compact_entries:
            return
        heading = Heading(
            registry.applied_index,
            server.log.term(registry.applied_index),
            server.core.applied_membership(),
            registry.state_digest,
        )
        self._making = heading
        server.later(server.rng.uniform(0.01, 0.5), self._write, heading, list(registry.dump()))

    def _write(self, heading: Heading, rows: list[list[Any]]) -> None:
        server = self._server
        if heading is not self._making:
            return  # it was called off: the leader's came
        try:
            size_bytes = write_snapshot(server.disk, self._store.path(heading.index), heading, rows)
        except DiskFull:
            self._making = None
            return
        except DiskFailed:
            server.end("the disk: DiskFailed")
            return
        meta = SnapshotMeta(heading.index, heading.term, heading.membership, size_bytes)
        previous = self._newest

        def compacted() -> None:
            server.note(f"stands on its snapshot at {meta.index}")
            self._newest, self._making = meta.index, None
            if not self._installing:
                self._store.keep([meta.index, previous])

        keep_from = max(previous + 1, server.log.first_index())
        server.act(server.driver.compact, meta, keep_from, compacted)

    # --- the leader's

    def restore(self, chunk: SnapshotChunk, taken: Taken) -> None:
        self._making, self._installing = None, True
        self._chunks.append((chunk, taken))
        if len(self._chunks) == 1:
            self._server.later(self._server.write_s(), self._receive)

    def _receive(self) -> None:
        chunk, taken = self._chunks[0]
        try:
            self._store.receive(chunk.offset, chunk.data)
        except DiskFull:
            self._server.later(RETRY_S, self._receive)
            return
        if not chunk.last:
            self._taken(taken, None)
            return
        registry = self._read()
        meta = chunk.snapshot
        if registry is None:
            self._installing = False
            self._taken(taken, None)
            return
        assert registry.applied_index == meta.index
        self._pull(meta, registry, taken)

    def _read(self) -> Registry | None:
        """The state in the snapshot that has come whole; None if its bytes cannot be used."""
        registry = Registry()
        try:
            snapshot = self._store.received()
            for rows in snapshot.pieces():
                registry.load(rows)
        except Corrupt as damage:
            self._server.note(f"refuses the leader's snapshot: {damage}")
            return None
        return registry if registry.state_digest == snapshot.heading.digest else None

    def _taken(self, taken: Taken, state: Registry | None) -> None:
        self._chunks.popleft()
        if self._chunks:
            self._server.later(self._server.write_s(), self._receive)
        self._server.act(taken, state)

    def _pull(self, meta: SnapshotMeta, registry: Registry, taken: Taken) -> None:
        """The bytes that it names come before it is taken."""
        server = self._server
        lacking = sorted({blob.digest for blob in registry.live_blobs()} - server.blobs)
        for digest in lacking:
            if server.reaches(digest):
                server.blobs.add(digest)
        if any(digest not in server.blobs for digest in lacking):
            server.later(RETRY_S, self._pull, meta, registry, taken)
            return
        try:
            self._store.take(meta)
        except DiskFailed:
            server.end("the disk: DiskFailed")
            return
        self._taken(taken, registry)

    def restored(self, snapshot: SnapshotMeta) -> None:
        """Log and state are the leader's."""
        self._newest, self._installing = snapshot.index, False
        self._store.keep([snapshot.index])
