"""The scrubber: reads again what this worker's disk holds, all the time and slowly, and at once what was just read.

Disks forget. What is found not to be what was written goes to `worker.repairs`. Blobs and the small files in packs are
compared with their digests, entries of the log with their checksums.
"""

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import Refused
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.storage.disk import Disk
from worker.storage.mending import EntryPlace, read_entry
from worker.storage.packs import Place
from worker.storage.segment import LogCorrupt
from worker.transfers import as_refusal

if TYPE_CHECKING:
    from worker.node import Node

RATE_BYTES_PER_S = 8 * 1_048_576
"""In the background."""
STEP_BYTES = 1_048_576
URGENT_LIMIT = 1_000
"""Things just read and not yet looked at; more are left to the background."""


@dataclass(slots=True)
class Look:
    """At one thing: `check` runs on transfer threads, yields the bytes that it reads, and returns what `found` hears."""

    check: Generator[int, None, Any]
    found: Callable[[Any], None]
    over: Callable[[], None] = lambda: None


class Scrubber:
    """Looks at everything of one worker. Node thread only; disk work goes to the transfer threads."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._urgent: dict[str | int, None] = {}
        """What was just read: digests, and indexes of entries."""
        self._hurrying = False
        self._pass: Iterator[Look] = iter(())
        self._looked_to = 0
        """The last entry that was looked at."""
        node.loop.call_later(node.settings.scrub_pause_s, self._begin)

    # --- what was just read

    def blob_was_read(self, digest: str) -> None:
        """Somebody was given the last bytes of this blob."""
        self._hurry(digest)

    def small_was_read(self, digest: str, index: int) -> None:
        """Somebody was given this small file, which entry `index` named."""
        self._hurry(index if index >= self._node.entry_log.first_index() else digest)

    def _hurry(self, what: str | int) -> None:
        if len(self._urgent) < URGENT_LIMIT:
            self._urgent[what] = None
        if not self._hurrying:
            self._hurrying = True
            self._next_urgent()

    def _next_urgent(self) -> None:
        if not self._urgent:
            self._hurrying = False
            return
        what = next(iter(self._urgent))
        del self._urgent[what]
        look = self._entries(what, 0) if isinstance(what, int) else self._bytes(what)
        if look is None:
            self._node.loop.post(self._next_urgent)
        else:
            self._carry_out(look, float("inf"), self._next_urgent)

    def _bytes(self, digest: str) -> Look | None:
        packs = self._node.snapshots.packs
        if digest in packs.sizes:
            return self._pieces(digest, [one for one in packs.places.items() if one[1].pack == digest])
        if digest in packs.places:
            return self._pieces(packs.places[digest].pack, [(digest, packs.places[digest])])
        return (
            self._blob(Blob(digest, self._node.store.size(digest))) if self._node.store.has(digest) else None
        )

    # --- the background

    def _begin(self) -> None:
        self._pass = self._everything()
        self._next()

    def _next(self) -> None:
        look = next(self._pass, None)
        if look is None:
            self._node.loop.call_later(self._node.settings.scrub_pause_s, self._begin)
        else:
            self._carry_out(look, RATE_BYTES_PER_S, self._next)

    def _everything(self) -> Iterator[Look]:
        for digest, size_bytes in {
            (blob.digest, blob.size_bytes) for blob in self._node.registry.live_blobs()
        }:
            yield self._blob(Blob(digest, size_bytes))
        packs, pieces = self._node.snapshots.packs, dict[str, list[tuple[str, Place]]]()
        for digest, place in packs.places.items():
            pieces.setdefault(place.pack, []).append((digest, place))
        for pack, small in pieces.items():
            if self._node.snapshots.packs is packs:
                yield self._pieces(pack, small)
        index = self._node.entry_log.first_index()
        while index <= self._node.registry.applied_index:
            look = self._entries(index, STEP_BYTES)
            if look is not None:
                yield look
            index = max(self._looked_to + 1, self._node.entry_log.first_index())

    # --- what a look is

    def _blob(self, blob: Blob) -> Look:
        def found(state: str) -> None:
            if state != "ok":
                self._node.repairs.blob(blob)

        return Look(self._node.store.check(blob.digest), found)

    def _pieces(self, pack: str, small: Sequence[tuple[str, Place]]) -> Look:
        def found(damaged: list[str]) -> None:
            for digest in damaged:
                self._node.repairs.small(digest)

        return Look(check_pieces(self._node.store, pack, small), found)

    def _entries(self, index: int, limit_bytes: int) -> Look | None:
        log, applied = self._node.entry_log, self._node.registry.applied_index
        if not log.first_index() <= index <= applied:
            return None
        places = log.pin(index, limit_bytes)
        self._looked_to = places[-1].index

        def found(damaged: list[int]) -> None:
            for index in damaged:
                self._node.repairs.entry(index)

        settled = [place for place in places if place.index <= applied]
        return Look(check_entries(self._node.disk, settled), found, lambda: log.unpin(places))

    def _carry_out(self, look: Look, rate: float, then: Callable[[], None]) -> None:
        """Step by step, at no more than `rate` bytes a second."""

        def stepped(step: tuple[int, bool, Any], error: BaseException | None) -> None:
            if error is not None:
                self._node.log(f"ALARM: this worker's disk cannot be read again: {as_refusal(error)}")
                look.over()
                then()
                return
            size_bytes, ended, result = step
            if ended:
                look.over()
                look.found(result)
            again = then if ended else lambda: self._carry_out(look, rate, then)
            self._node.loop.call_later(size_bytes / rate, again)

        self._node.transfers.run(lambda: _step(look.check), stepped)


def _step(check: Generator[int, None, Any]) -> tuple[int, bool, Any]:
    """The bytes read, whether that was all, and what came of it."""
    try:
        return next(check), False, None
    except StopIteration as end:
        return 0, True, end.value


def check_pieces(
    store: BlobStore, pack: str, small: Sequence[tuple[str, Place]]
) -> Generator[int, None, list[str]]:
    """The digests of those of `small`, the files of a pack, that are damaged."""
    damaged: list[str] = []
    read_bytes = 0
    for digest, place in small:
        try:
            data = store.read(pack, place.offset, place.size_bytes)
        except Refused:
            data = None  # the pack is gone
        if data is None or hashlib.sha256(data).hexdigest() != digest:
            damaged.append(digest)
        read_bytes += place.size_bytes
        if read_bytes >= STEP_BYTES:
            yield read_bytes
            read_bytes = 0
    yield read_bytes
    return damaged


def check_entries(disk: Disk, places: Sequence[EntryPlace]) -> Generator[int, None, list[int]]:
    """The indexes of those entries that are damaged."""
    damaged: list[int] = []
    for place in places:
        try:
            read_entry(disk, place)
        except LogCorrupt:
            damaged.append(place.index)
    yield sum(place.size_bytes for place in places)
    return damaged
