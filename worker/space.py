"""What a full disk or a used-up quota means: no new things, and space that was set aside for what is under way and for
deletions.

The room of a worker is what is free on its disk, or left of its quota if that is less. It is measured every few seconds, and
told to the other workers, so that a leader refuses what a majority could not hold before a byte of it is sent.
"""

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import NoSpace
from shared.messages import INLINE_BYTES
from worker.storage.blobs import MARGIN_BYTES
from worker.storage.disk import DiskFull
from worker.storage.reserve import Reserve
from worker.transfers import as_refusal

if TYPE_CHECKING:
    from worker.node import Node

LOOK_S = 5.0
NO_QUOTA_BYTES = 1 << 62
ADVICE = "Remove files that are not needed, make space, or allow more (--quota)."
HURRY_S = 15.0
"""While there is no room, the log is compacted so often if it has grown: only that gives back what removed files took."""


class Space:
    """Watches over the room of this worker's disk. Node thread only, but for `room_bytes`."""

    def __init__(self, node: "Node", reserve: Reserve) -> None:
        self._node = node
        self._reserve = reserve
        self._alarm: DiskFull | None = None
        self._used_bytes, self._free_bytes = self._measure()
        self._taken_bytes = 0
        """By small files since the measurement; the store counts what blobs take."""
        self._refused = False
        self._hurried = node.loop.now
        node.store.quota_left_bytes = lambda: self.quota_left_bytes
        node.loop.call_later(LOOK_S, self._look)

    @property
    def quota_left_bytes(self) -> int:
        """What the quota leaves to this worker. Any thread."""
        quota_bytes = self._node.settings.quota_bytes
        grown_bytes = self._taken_bytes + self._node.store.grown_bytes
        return NO_QUOTA_BYTES if quota_bytes is None else max(0, quota_bytes - self._used_bytes - grown_bytes)

    @property
    def room_bytes(self) -> int:
        """What this worker has room for: on its disk, and by its quota."""
        return min(max(0, self._free_bytes), self.quota_left_bytes)

    def is_full(self, error: DiskFull) -> None:
        """The log was written only because the reserve was given up: until that is back, nothing new is taken."""
        if self._alarm is None:
            self._node.log(f"ALARM: {error}")
            self._node.notice("space", "the disk is full")
        self._alarm = error

    def check(self, size_bytes: int = 0) -> None:
        """Before anything that makes the cluster hold so many bytes more. Raises `NoSpace` if they cannot come.

        What is small enough to ride in the log may use the last of the disk; blobs may not.
        """
        self._refused = True
        if self._alarm is not None:
            raise NoSpace("The leader's disk is full.", "Remove files, or free space on its disk.")
        if self.quota_left_bytes < size_bytes:
            raise NoSpace(
                f"The leader's quota leaves {self.quota_left_bytes} bytes, and {size_bytes} are to come.",
                ADVICE,
            )
        if size_bytes > INLINE_BYTES:
            self._check_blob(size_bytes)
        self._refused = False

    def _check_blob(self, size_bytes: int) -> None:
        rooms = {row["id"]: row.get("room") for row in self._node.links.known_rows() if row.get("reachable")}
        rooms[self._node.settings.id] = self.room_bytes
        voters = self._node.voters()
        short = sorted(id for id in voters if (room := rooms.get(id)) is not None and room < size_bytes)
        if self._node.settings.id in short or len(voters) - len(short) <= len(voters) // 2:
            raise NoSpace(
                f"{size_bytes} bytes are to come; no room for them have: {', '.join(short)}.", ADVICE
            )

    def took(self, size_bytes: int) -> None:
        """The log has grown by so much."""
        self._taken_bytes += size_bytes

    def _look(self) -> None:
        taken_bytes, grown_bytes = self._taken_bytes, self._node.store.grown_bytes

        def look() -> tuple[bool, tuple[int, int]]:
            return self._reserve.restore(), self._measure()

        def looked(found: tuple[bool, tuple[int, int]] | None, error: BaseException | None) -> None:
            self._node.loop.call_later(LOOK_S, self._look)
            if error is not None:
                as_refusal(error)  # a fault of ours is raised; a disk that fails goes on being full
            if found is None:
                return
            held, (self._used_bytes, self._free_bytes) = found
            self._taken_bytes -= taken_bytes
            self._node.store.grown_bytes -= grown_bytes
            if held and self._alarm is not None:
                self._alarm = None
                self._node.log("there is space on the disk again")
            if self._refused or self._alarm is not None:
                self._hurry()

        self._node.transfers.run(look, looked)

    def _measure(self) -> tuple[int, int]:
        """The bytes of this worker's folder (0 if nobody asks), and those free for blobs on its disk."""
        data = self._node.settings.data
        used_bytes = 0 if self._node.settings.quota_bytes is None else folder_bytes(data)
        return used_bytes, self._node.disk.free_bytes(data) - MARGIN_BYTES

    def _hurry(self) -> None:
        if self._node.loop.now - self._hurried >= HURRY_S:
            self._hurried, self._refused = self._node.loop.now, False
            self._node.snapshots.hurry()


def folder_bytes(folder: Path) -> int:
    """The bytes of all files below; those that go meanwhile count or do not."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
