"""A disk in memory: what is durable of one server, and what a crash leaves of the rest."""

import json
from collections.abc import Sequence

from worker.raft.entries import Entry, HardState, Membership, SnapshotMeta
from worker.raft.errors import Unreadable
from worker.raft.ready import SnapshotChunk


class Disk:
    """LogStorage and SnapshotSource over lists. `base` is the snapshot's index."""

    def __init__(self, membership: Membership) -> None:
        self.hard_state = HardState()
        self.log: list[Entry] = []
        self.meta = SnapshotMeta(0, 0, membership)
        self.image = b""
        self.partial = bytearray()
        self.damaged: set[int] = set()

    @property
    def base(self) -> int:
        return self.meta.index

    def first_index(self) -> int:
        return self.base + 1

    def last_index(self) -> int:
        return self.base + len(self.log)

    def term(self, index: int) -> int:
        assert self.base <= index <= self.last_index(), (
            f"term({index}) is outside {self.base}..{self.last_index()}"
        )
        return self.meta.term if index == self.base else self.log[index - self.base - 1].term

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        assert self.base < low < high <= self.last_index() + 1, (
            f"entries({low}, {high}) of {self.last_index()}"
        )
        found, total = [], 0
        for entry in self.log[low - self.base - 1 : high - self.base - 1]:
            if entry.index in self.damaged:
                break
            total += len(entry.data)
            if found and total > max_bytes:
                break
            found.append(entry)
        if not found:
            raise Unreadable(f"entry {low} is damaged")
        return found

    def snapshot(self) -> SnapshotMeta:
        return self.meta

    def chunk(self, index: int, offset: int, max_bytes: int) -> bytes | None:
        return self.image[offset : offset + max_bytes] if index == self.meta.index else None

    def holds(self, index: int, term: int) -> bool:
        """Whether the entry, or a snapshot that stands for it, is durable here."""
        return index <= self.base or (index <= self.last_index() and self.term(index) == term)

    def write(self, entries: Sequence[Entry]) -> None:
        if entries:
            first = entries[0].index
            assert self.base < first <= self.last_index() + 1, f"a hole before {first}"
            self.log[first - self.base - 1 :] = entries

    def write_chunk(self, chunk: SnapshotChunk) -> bool:
        """Whether the snapshot is now whole, and stands in place of the log."""
        if chunk.offset == 0:
            self.partial.clear()
        assert chunk.offset == len(self.partial), "chunks come in order"
        self.partial += chunk.data
        if not chunk.last:
            return False
        self.meta, self.image, self.log = chunk.snapshot, bytes(self.partial), []
        return True

    def compact(self, index: int, membership: Membership, applied: Sequence[Entry]) -> None:
        """Replace the log up to `index` by a snapshot of what was applied."""
        image = json.dumps([[entry.term, entry.index, entry.data.decode()] for entry in applied]).encode()
        rest = self.log[index - self.base :]
        self.meta = SnapshotMeta(index, self.term(index), membership, len(image))
        self.image, self.log = image, rest
