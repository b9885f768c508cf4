"""Damage that was found on this worker's disk, and its repair from the other workers.

    a blob                   is laid aside, and pulled again
    a small file in a pack   its bytes are asked for by their digest, and written into their place
    an entry of the log      comes from memory or from a peer, who has the same one (Raft, log matching), and is written into
                             its place
    what is between entries  is on no other worker, and is laid anew from what the log knows (`worker.storage.framing`)

Each is tried until it succeeds, or until nothing needs it any more. Both ends of it appear in the monitor.
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from shared.errors import MinkaError
from shared.messages import INLINE_BYTES
from worker.raft.entries import Entry, EntryKind
from worker.registry.commands import Blob
from worker.storage.framing import Stretch, lay_anew
from worker.storage.mending import damaged_entries, mend_entry, read_entry

if TYPE_CHECKING:
    from worker.node import Node

CALL_S = 10.0
RETRY_S = 1.0

Key = tuple[Literal["blob", "small", "entry", "segment"], str | int]
Took = Callable[[dict[str, Any], bytes], None]


class Repairs:
    """All repairs of one worker, one at a time for each damaged thing. Node thread only."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._under_way: set[Key] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    # --- what was found

    def file(self, digest: str, size_bytes: int, index: int) -> None:
        """The bytes of a file or model are not what they were; `index` is the entry that named a small one."""
        if size_bytes > INLINE_BYTES:
            self.blob(Blob(digest, size_bytes))
        elif index >= self._node.entry_log.first_index():
            self.entry(index)
        else:
            self.small(digest)

    def blob(self, blob: Blob) -> None:
        """A blob that this worker should hold is damaged, or missing."""
        if self._blob_is_needed(blob) and self._begin(("blob", blob.digest), f"the blob {blob.digest[:12]}"):
            self._lay_aside(blob)

    def small(self, digest: str) -> None:
        """A small file's bytes in a pack are damaged."""
        if digest in self._node.snapshots.packs.places and self._begin(
            ("small", digest), f"the file {digest[:12]} in its pack"
        ):
            self._ask_for_small(digest)

    def entry(self, index: int) -> None:
        """An entry of the log is damaged. A peer's entry of the same index and term is the same, committed or not."""
        if self._entry_is_needed(index) and self._begin(("entry", index), f"entry {index} of the log"):
            known = self._node.entry_log.remembered(index)
            if known is None:
                self._ask_for_entry(index)
            else:
                self._mend_entry(known)

    # --- blobs

    def _blob_is_needed(self, blob: Blob) -> bool:
        return any(blob.digest == live.digest for live in self._node.registry.live_blobs())

    def _lay_aside(self, blob: Blob) -> None:
        def laid(_: None, error: BaseException | None) -> None:
            if error is None:
                self._node.exchange.want(blob, held)
            else:
                self._again(("blob", blob.digest), error, lambda: self._lay_aside(blob))

        def held(error: MinkaError | None) -> None:
            key: Key = ("blob", blob.digest)
            if error is None:
                self._node.transfers.run(
                    lambda: store.mended(blob.digest), lambda _, error: self._done(key, error)
                )
            elif self._blob_is_needed(blob):
                self._again(key, error, lambda: self._node.exchange.want(blob, held))
            else:
                self._under_way.discard(key)

        store = self._node.store
        self._node.transfers.run(lambda: store.lay_aside(blob.digest), laid)

    # --- small files in packs

    def _ask_for_small(self, digest: str) -> None:
        key: Key = ("small", digest)

        def took(_: dict[str, Any], data: bytes) -> None:
            place = self._node.snapshots.packs.places.get(digest)
            if place is None:
                self._under_way.discard(key)
            else:
                write = self._node.store.write_into
                self._node.transfers.run(
                    lambda: write(place.pack, place.offset, data), lambda _, error: self._done(key, error)
                )

        def fits(_: dict[str, Any], data: bytes) -> bool:
            return hashlib.sha256(data).hexdigest() == digest

        def needed() -> bool:
            return digest in self._node.snapshots.packs.places

        self._ask(key, "small", {"digest": digest}, fits, took, needed)

    # --- entries

    def _entry_is_needed(self, index: int) -> bool:
        return self._node.entry_log.first_index() <= index <= self._node.entry_log.last_index()

    def _ask_for_entry(self, index: int) -> None:
        term = self._node.entry_log.term(index)
        kinds = {kind.value for kind in EntryKind}

        def took(answer: dict[str, Any], data: bytes) -> None:
            if self._entry_is_needed(index):
                self._mend_entry(Entry(term, index, EntryKind(answer["kind"]), data))
            else:
                self._under_way.discard(("entry", index))

        self._ask(
            ("entry", index),
            "entry",
            {"index": index, "term": term},
            lambda answer, _: answer.get("kind") in kinds,
            took,
            lambda: self._entry_is_needed(index),
        )

    def _mend_entry(self, entry: Entry) -> None:
        places = self._node.entry_log.pin(entry.index, 0)
        segment = places[0].segment
        disk = self._node.disk

        def mend() -> None:
            mend_entry(disk, places[0], entry)
            read_entry(disk, places[0])

        def mended(_: None, error: BaseException | None) -> None:
            self._node.entry_log.unpin(places)
            key: Key = ("entry", entry.index)
            if error is None:
                self._done(key, None)
                self._node.scrubber.look_at_segment(segment)
            else:
                self._again(key, error, lambda: self._ask_for_entry(entry.index))

        self._node.transfers.run(mend, mended)

    # --- what is between entries

    def stretch(self, number: int, stretch: Stretch) -> None:
        """A stretch of a segment of the log is damaged: entries in it, or what is between them."""
        log, disk = self._node.entry_log, self._node.disk
        extent = log.hold(number)
        if extent is None:
            return
        places = log.within(number, stretch.start, stretch.end)

        def read(damaged: list[int] | None, error: BaseException | None) -> None:
            log.release(number)
            if damaged is None:
                self._again(("segment", number), error, lambda: self.stretch(number, stretch))
            elif damaged:
                for index in damaged:
                    self.entry(index)
            elif self._begin(("segment", number), f"the log, between its entries ({extent.path.name}),"):
                self._node.driver.repeat(lambda: self._lay_anew(number, stretch))

        self._node.transfers.run(lambda: damaged_entries(disk, places), read)

    def _lay_anew(self, number: int, stretch: Stretch) -> None:
        log, disk = self._node.entry_log, self._node.disk
        key: Key = ("segment", number)
        extent = log.hold(number)
        if extent is None:
            self._under_way.discard(key)
            return
        places = log.within(number, stretch.start, stretch.end)

        def laid(_: None, error: BaseException | None) -> None:
            log.release(number)
            if error is None:
                self._done(key, None)
                self._node.scrubber.look_at_segment(number)
            else:
                self._again(key, error, lambda: self._lay_anew(number, stretch))

        self._node.transfers.run(lambda: lay_anew(disk, extent, stretch, places), laid)

    # --- all of them

    def _begin(self, key: Key, what: str) -> bool:
        if key in self._under_way:
            return False
        self._under_way.add(key)
        self._node.notice(
            "damage",
            f"{what} is damaged on the disk, and is being repaired",
            what=key[0],
            id=str(key[1])[:12],
        )
        return True

    def _ask(
        self,
        key: Key,
        op: str,
        fields: dict[str, Any],
        fits: Callable[[dict[str, Any], bytes], bool],
        took: Took,
        needed: Callable[[], bool],
    ) -> None:
        """Ask one peer after the other, and all of them again later, until an answer fits."""
        peers = [connection for _, connection in self._node.links.connected()]

        def ask_next() -> None:
            if peers:
                peers.pop().call(op, fields, b"", came, CALL_S)
            elif needed():
                self._node.loop.call_later(RETRY_S, lambda: self._ask(key, op, fields, fits, took, needed))
            else:
                self._under_way.discard(key)

        def came(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if isinstance(answer, MinkaError) or not fits(answer, body):
                ask_next()
            else:
                took(answer, body)

        ask_next()

    def _again(self, key: Key, error: BaseException | None, repeat: Callable[[], None]) -> None:
        if error is not None and not isinstance(error, MinkaError | OSError):
            raise error
        self._node.log(f"ALARM: {key[0]} {str(key[1])[:12]} cannot be repaired yet: {error}")
        self._node.loop.call_later(RETRY_S, repeat)

    def _done(self, key: Key, error: BaseException | None) -> None:
        self._under_way.discard(key)
        if error is None:
            id = str(key[1])[:12]
            self._node.notice("repair", f"{key[0]} {id} is whole again", what=key[0], id=id)
        elif isinstance(error, MinkaError | OSError):
            self._node.log(f"ALARM: {key[0]} {str(key[1])[:12]} could not be repaired: {error}")
        else:
            raise error
