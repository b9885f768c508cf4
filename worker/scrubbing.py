"""The scrubber: reads again what this worker's disk holds, all the time and slowly, and at once what was just read.

Disks forget. What is found not to be what was written goes to `worker.repairs`. Blobs and the small files in packs are
compared with their digests, entries of the log with their checksums.
"""

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shared.errors import Refused
from shared.messages import INLINE_BYTES, PAGE_ROWS
from worker.registry.commands import Blob
from worker.storage.blobs import BlobStore
from worker.storage.disk import Disk
from worker.storage.framing import Stretch, damaged_stretch
from worker.storage.mending import EntryPlace, damaged_entries
from worker.storage.packs import Packs, Place
from worker.transfers import as_refusal

if TYPE_CHECKING:
    from worker.node import Node

RATE_BYTES_PER_S = 8 * 1_048_576
"""In the background."""
STEP_BYTES = 1_048_576
PAUSE_S = 0.01
"""Between two pages of rows that are looked through."""
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
        self._urgent: dict[tuple[Callable[[Any], Look | None], str | int], None] = {}
        """What was just read, or mended: digests, indexes of entries, and numbers of segments."""
        self._hurrying = False
        self._pass: Iterator[Look | None] = iter(())
        node.loop.call_later(node.settings.scrub_pause_s, self._begin)

    # --- what was just read

    def blob_was_read(self, digest: str) -> None:
        """Somebody was given the last bytes of this blob."""
        self._hurry(self._bytes, digest)

    def small_was_read(self, digest: str, index: int) -> None:
        """Somebody was given this small file, which entry `index` named."""
        if index >= self._node.entry_log.first_index():
            self._hurry(self._entry, index)
        else:
            self._hurry(self._bytes, digest)

    def look_at_segment(self, number: int) -> None:
        """There may be damage in this segment of the log: behind what was just mended, or because it could not be read."""
        self._hurry(self._segment, number)

    def _hurry(self, look_at: Callable[[Any], Look | None], what: str | int) -> None:
        if len(self._urgent) < URGENT_LIMIT:
            self._urgent[look_at, what] = None
        if not self._hurrying:
            self._hurrying = True
            self._next_urgent()

    def _next_urgent(self) -> None:
        if not self._urgent:
            self._hurrying = False
            return
        look_at, what = urgent = next(iter(self._urgent))
        del self._urgent[urgent]
        look = look_at(what)
        if look is None:
            self._node.loop.post(self._next_urgent)
        else:
            self._carry_out(look, float("inf"), self._next_urgent)

    def _bytes(self, digest: str) -> Look | None:
        packs, store = self._node.snapshots.packs, self._node.store
        if digest in packs.sizes:
            return self._pack(packs, digest)
        if digest in packs.places:
            place = packs.places[digest]
            return Look(check_pieces(store, [(digest, place)]), self._small_damaged)
        return self._blob(Blob(digest, store.size(digest))) if store.has(digest) else None

    # --- the background

    def _begin(self) -> None:
        self._pass = self._everything()
        self._next()

    def _next(self) -> None:
        try:
            look = next(self._pass)
        except StopIteration:
            self._node.loop.call_later(self._node.settings.scrub_pause_s, self._begin)
            return
        if look is None:
            self._node.loop.call_later(PAUSE_S, self._next)
        else:
            self._carry_out(look, RATE_BYTES_PER_S, self._next)

    def _everything(self) -> Iterator[Look | None]:
        """What to look at, one after the other; None when others should have a turn first."""
        registry = self._node.registry
        after = 0
        while rows := registry.files_after(after, PAGE_ROWS):
            after = rows[-1].id
            yield None
            for row in rows:
                if row.size_bytes > INLINE_BYTES:
                    yield self._blob(Blob(row.digest, row.size_bytes))
        for number, example in enumerate(registry.datasets.examples()):
            if number % PAGE_ROWS == 0:
                yield None
            if example.size_bytes > INLINE_BYTES:
                yield self._blob(Blob(example.digest, example.size_bytes))
        for model in list(registry.models.values()):
            for blob in model.blobs:
                yield self._blob(blob)
        packs = self._node.snapshots.packs
        for pack in packs.sizes:
            if self._node.snapshots.packs is packs:
                yield self._pack(packs, pack)
        for number in self._node.entry_log.segments():
            yield self._segment(number)

    # --- what a look is

    def _blob(self, blob: Blob) -> Look:
        def found(state: str) -> None:
            if state != "ok":
                self._node.repairs.blob(blob)

        return Look(self._node.store.check(blob.digest), found)

    def _pack(self, packs: Packs, pack: str) -> Look:
        small = (one for one in packs.places.items() if one[1].pack == pack)
        return Look(check_pieces(self._node.store, small), self._small_damaged)

    def _small_damaged(self, digests: list[str]) -> None:
        for digest in digests:
            self._node.repairs.small(digest)

    def _entry(self, index: int) -> Look | None:
        """A look at this entry, if it is in the log still."""
        log = self._node.entry_log
        if index < log.first_index():
            return None
        places = log.pin(index, 0)

        def found(damaged: list[int]) -> None:
            for index in damaged:
                self._node.repairs.entry(index)

        return Look(check_entries(self._node.disk, places), found, lambda: log.unpin(places))

    def _segment(self, number: int) -> Look | None:
        """A look at a segment of the log, with all that holds its entries together."""
        log = self._node.entry_log
        extent = log.hold(number)
        if extent is None:
            return None

        def found(stretch: Stretch | None) -> None:
            if stretch is not None:
                self._node.repairs.stretch(number, stretch)

        return Look(damaged_stretch(self._node.disk, extent), found, lambda: log.release(number))

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


def check_pieces(store: BlobStore, small: Iterable[tuple[str, Place]]) -> Generator[int, None, list[str]]:
    """The digests of those of `small`, files in packs, that are damaged."""
    damaged: list[str] = []
    read_bytes = 0
    for digest, place in small:
        try:
            data = store.read(place.pack, place.offset, place.size_bytes)
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
    damaged = damaged_entries(disk, places)
    yield sum(place.size_bytes for place in places)
    return damaged
