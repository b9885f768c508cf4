"""Blobs that the applied log has released: no file has their bytes any more. They go as soon as nobody uses them.

The log, and the older snapshots, still name them. So before they go it is noted, durably, up to which entry this worker's
state had let go of each::

    released    records of 40 bytes (the blob's SHA-256, then the index, u64 big-endian), and their CRC-32

Whoever starts from the log needs no bytes for an entry up to that one: it was committed, so what this worker says of it
changes nothing. Other workers that lack them ask, and are told the same (`worker.needs`).
"""

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import MinkaError, NoSpace
from worker.storage.disk import Disk, read_file, write_file
from worker.transfers import as_refusal

if TYPE_CHECKING:
    from worker.node import Node

LOOK_S = 1.0
IDLE_S = 30.0
"""Whoever uses a blob, to read it or to put it again, has come back to it by then, or does not come."""
WAITING_LIMIT = 10_000
"""More are left to the next snapshots."""
NOTES_LIMIT = 100_000
FILE = "released"
_NOTE = struct.Struct(">32sQ")
_CRC = struct.Struct(">I")


def load_notes(disk: Disk, data: Path) -> dict[str, int]:
    """By the digest of each blob: the entry up to which it was let go of. Nothing, if that is not what was written."""
    try:
        text = read_file(disk, data / FILE, NOTES_LIMIT * _NOTE.size + _CRC.size)
    except (FileNotFoundError, MinkaError):
        return {}
    notes, checksum = text[: -_CRC.size], text[-_CRC.size :]
    if checksum != _CRC.pack(zlib.crc32(notes)) or len(notes) % _NOTE.size:
        return {}
    return {digest.hex(): index for digest, index in _NOTE.iter_unpack(notes)}


def save_notes(disk: Disk, data: Path, notes: dict[str, int]) -> None:
    """Durable on return."""
    text = b"".join([_NOTE.pack(bytes.fromhex(digest), index) for digest, index in notes.items()])
    write_file(disk, data / FILE, text + _CRC.pack(zlib.crc32(text)))


class Released:
    """Removes what was released. Node thread only; disk work goes to the transfer threads."""

    def __init__(self, node: "Node", notes: dict[str, int]) -> None:
        self._node = node
        self._notes = notes
        self._waiting: dict[str, None] = {}
        node.loop.call_later(LOOK_S, self._look)

    def add(self, digest: str) -> None:
        """The last file with these bytes was removed."""
        if len(self._waiting) < WAITING_LIMIT:
            self._waiting[digest] = None

    def _look(self) -> None:
        node = self._node
        # What was proposed, and is not in the log yet, may name one of them again.
        due = [] if node.driver.queued or node.installation.busy else [*filter(self._is_due, self._waiting)]
        if not due:
            node.loop.call_later(LOOK_S, self._look)
            return
        first, index = node.entry_log.first_index(), node.registry.applied_index
        kept = {digest: until for digest, until in self._notes.items() if until >= first}
        idle_s = min(IDLE_S, node.settings.blob_idle_s)

        def collect() -> tuple[dict[str, int], list[str]]:
            idle = node.store.idle(due, idle_s)[: max(0, NOTES_LIMIT - len(kept))]
            notes = kept | dict.fromkeys(idle, index)
            if idle:
                save_notes(node.disk, node.settings.data, notes)
            return notes, node.store.collect(idle, idle_s)

        def collected(found: tuple[dict[str, int], list[str]] | None, error: BaseException | None) -> None:
            node.loop.call_later(LOOK_S, self._look)
            if found is None:
                if error is not None and not isinstance(error, NoSpace):  # the disk's alarm is on then
                    node.log(f"ALARM: what was released cannot be removed: {as_refusal(error)}")
                return
            self._notes, gone = found
            for digest in gone:
                self._waiting.pop(digest, None)
            if gone:
                node.log(f"blobs removed that no file has any more: {len(gone)}")

        node.transfers.run(collect, collected)

    def _is_due(self, digest: str) -> bool:
        """All entries that name it are applied, and the state does not."""
        return self._node.snapshots.is_settled(digest) and not self._node.registry.names(digest)
