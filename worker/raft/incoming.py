"""The snapshot that is under way to this follower (7, Figure 13)."""

from dataclasses import dataclass

from worker.raft.entries import SnapshotMeta
from worker.raft.ready import SnapshotChunk


@dataclass(slots=True)
class Incoming:
    """How much of `snapshot` has come. One chunk at a time is with the driver, from Ready `number` on.

    `restoring`: that chunk is the last one, so log and state are being replaced.
    """

    snapshot: SnapshotMeta
    offset: int = 0
    chunk: SnapshotChunk | None = None
    number: int = 0
    restoring: bool = False

    def is_writing(self) -> bool:
        """Whether a chunk is waiting for the driver, or being written by it."""
        return self.chunk is not None or self.number > 0
