"""The leader's snapshot comes to this worker, which was too far behind for its log.

    chunks -> read and checked -> every blob that it names is here -> the records before it are here -> durable

Only then is the last chunk acknowledged: a worker that counts as holding an entry holds the bytes, too (DESIGN 5). What goes
wrong makes the leader begin anew.
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError
from worker.driver import Taken
from worker.pulls import Held
from worker.raft.entries import SnapshotMeta
from worker.raft.ready import SnapshotChunk
from worker.registry.commands import Blob
from worker.registry.registry import Registry
from worker.storage.disk import Corrupt
from worker.storage.packs import Packs
from worker.storage.snapshots import SnapshotFile
from worker.transfers import as_refusal

if TYPE_CHECKING:
    from worker.node import Node

WINDOW_BLOBS = 64
"""Wanted at a time."""
RETRY_S = 1.0
CALL_S = 10.0
PATIENCE_S = 30.0
"""After a chunk, until another is not expected any more."""


class Installation:
    """Takes chunks; `packs` is what the last snapshot that was taken says of small files."""

    def __init__(self, node: "Node") -> None:
        self.packs = Packs()
        self._node = node
        self._meta: SnapshotMeta | None = None
        self._taken: Taken = lambda state: None
        self._registry = Registry()
        self._blobs: Iterator[Blob] = iter(())
        self._wanted: dict[str, tuple[Blob, Held]] = {}
        self._unstored: set[str] = set()
        """What this worker's disk had no room for, when it was last tried."""
        self._heard = float("-inf")

    def take(self, chunk: SnapshotChunk, taken: Taken) -> None:
        """Keep a chunk; after the last one, do all that it takes to stand on the snapshot."""
        self._heard = self._node.loop.now
        self._node.snapshots.call_off()

        def written(_: None, error: BaseException | None) -> None:
            if error is not None:
                self._node.log(f"ALARM: a snapshot cannot be stored yet: {as_refusal(error)}")
                self._node.loop.call_later(RETRY_S, lambda: self.take(chunk, taken))
            elif chunk.last:
                self._begin(chunk.snapshot, taken)
            else:
                taken(None)

        self._node.transfers.run(
            lambda: self._node.snapshots.store.receive(chunk.offset, chunk.data), written
        )

    @property
    def busy(self) -> bool:
        """Whether a snapshot is on its way here."""
        return self._meta is not None or self._node.loop.now - self._heard < PATIENCE_S

    def restored(self) -> None:
        """Log and state are those of the snapshot."""
        self._heard = float("-inf")

    def wanted(self) -> set[str]:
        """What is being pulled for the snapshot."""
        return set(self._wanted)

    def lacking(self) -> dict[str, int]:
        """The blobs of the snapshot that are not here yet, each with the snapshot's index. No packs."""
        index = 0 if self._meta is None else self._meta.index
        return {digest: index for digest in self._wanted if digest not in self.packs.sizes}

    def lost(self, digests: list[str]) -> None:
        """The leader does not hold these: a pack among them was that of a snapshot which it has no more."""
        gone = [digest for digest in digests if digest in self._wanted and digest in self.packs.sizes]
        if gone:
            self._fail("its packs are gone from the leader")

    def unneeded(self, digest: str) -> None:
        """The cluster has gone on, and this blob is named no more."""
        if digest in self._wanted:
            self._node.exchange.let_go(*self._wanted[digest])
            self._held(digest, None)

    # --- reading

    def _begin(self, meta: SnapshotMeta, taken: Taken) -> None:
        self._meta, self._taken = meta, taken
        self._registry, self.packs = Registry(), Packs()
        try:
            snapshot = self._node.snapshots.store.received()
        except MinkaError as damage:
            self._fail(str(damage))
            return
        self._node.log(f"takes the leader's snapshot at entry {meta.index}, {meta.size_bytes} bytes")
        self._read(meta, snapshot, snapshot.pieces())

    def _read(self, meta: SnapshotMeta, snapshot: SnapshotFile, pieces: Iterator[list[list[Any]]]) -> None:
        """One piece a turn: the node thread has more to do."""
        try:
            rows = next(pieces, None)
            if rows is not None:
                self._registry.load(self.packs.load(rows))
                self._node.loop.call_later(0.0, lambda: self._read(meta, snapshot, pieces))
                return
        except (Corrupt, ValueError, LookupError, TypeError) as damage:
            snapshot.close()
            self._fail(str(damage))
            return
        snapshot.close()
        found, heading = self._registry, snapshot.heading
        if (found.applied_index, found.state_digest, heading.term) != (meta.index, heading.digest, meta.term):
            self._fail("it holds another state than it says")
            return
        self._blobs = self._named()
        self._want_more()

    # --- blobs

    def _named(self) -> Iterator[Blob]:
        """Packs first: the leader keeps them no longer than it must."""
        seen = set(self.packs.sizes)
        yield from [Blob(*pack) for pack in self.packs.sizes.items()]
        for blob in self._registry.live_blobs():
            if blob.digest not in seen:
                seen.add(blob.digest)
                yield blob

    def _want_more(self) -> None:
        while self._meta is not None and len(self._wanted) < WINDOW_BLOBS:
            blob = next(self._blobs, None)
            if blob is None:
                if not self._wanted:
                    self._mend_records(0)
                return
            if not self._node.store.use(blob.digest):
                held = partial(self._held, blob.digest)
                self._wanted[blob.digest] = (blob, held)
                self._node.exchange.want(blob, held)

    def _held(self, digest: str, error: MinkaError | None) -> None:
        if digest not in self._wanted:
            return
        if error is None:
            del self._wanted[digest]
            self._unstored.discard(digest)
            self._want_more()
        else:
            if not self._unstored:
                self._node.log(f"ALARM: a snapshot names blobs that cannot be stored yet: {error}")
            self._unstored.add(digest)
            self._node.loop.call_later(RETRY_S, lambda: self._want_again(digest))

    def _want_again(self, digest: str) -> None:
        if digest in self._wanted:
            self._node.exchange.want(*self._wanted[digest])

    # --- records

    def _mend_records(self, turn: int) -> None:
        """Fetch the records that this worker has not made itself, page by page, from whoever has them."""
        records, last = self._node.records, self._registry.record_count
        if records.last >= last:
            self._keep()
            return
        peers = [connection for _, connection in self._node.links.connected()]

        def again() -> None:
            self._node.loop.call_later(RETRY_S, lambda: self._mend_records(turn + 1))

        def came(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if self._meta is None:
                return
            try:
                rows = [] if isinstance(answer, MinkaError) else json.loads(body)
                records.mend([row for row in rows if row["record"] <= last])
            except (MinkaError, ValueError, LookupError, TypeError, RecursionError) as error:
                self._node.log(f"records of a peer cannot be kept: {error}")
                rows = []
            if rows:
                self._mend_records(turn)
            else:
                again()

        if peers:
            peers[turn % len(peers)].call("records", {"after": records.last}, b"", came, CALL_S)
        else:
            again()

    # --- the end

    def _keep(self) -> None:
        meta = self._meta
        assert meta is not None

        def keep() -> None:
            self._node.records.sync()
            self._node.snapshots.store.take(meta)

        def kept(_: None, error: BaseException | None) -> None:
            if error is None:
                self._end(self._registry)
            else:
                self._fail(str(as_refusal(error)))

        self._node.transfers.run(keep, kept)

    def _fail(self, why: str) -> None:
        self._node.log(f"ALARM: the leader's snapshot is of no use here: {why}")
        self._end(None)

    def _end(self, state: Registry | None) -> None:
        taken = self._taken
        for blob, held in self._wanted.values():
            self._node.exchange.let_go(blob, held)
        self._meta, self._wanted, self._blobs = None, {}, iter(())
        self._unstored.clear()
        self._taken = lambda state: None
        taken(state)
