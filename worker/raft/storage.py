"""What the core needs from the disk: synchronous reads of what is durable. Writes go out through `Ready`."""

from typing import Protocol

from worker.raft.entries import Entry, SnapshotMeta


class LogStorage(Protocol):
    """The durable log, as it stands after the last write that the driver has reported with `Raft.persisted`.

    It may already show later writes; the core never reads an index above those it was told of.
    """

    def first_index(self) -> int:
        """The index of the first entry that is still there: 1 before any compaction."""
        ...

    def last_index(self) -> int:
        """The index of the last durable entry; ``first_index() - 1`` if there is none."""
        ...

    def term(self, index: int) -> int:
        """The term at `index`, from ``first_index() - 1`` (the snapshot's, or 0 for an empty log) to `last_index()`."""
        ...

    def entries(self, low: int, high: int, max_bytes: int) -> list[Entry]:
        """Entries low, ..., high - 1 in order: at least the first, then as many as keep their data within `max_bytes`.

        Raises `Unreadable` if the first is damaged on the disk; whoever implements this has it mended meanwhile.
        """
        ...

    def snapshot(self) -> SnapshotMeta:
        """The newest snapshot; its index is at least ``first_index() - 1``, which is 0 for one never taken."""
        ...


class SnapshotSource(Protocol):
    """The bytes of this server's own snapshots, for followers that are too far behind (7)."""

    def chunk(self, index: int, offset: int, max_bytes: int) -> bytes | None:
        """Bytes of the snapshot at `index` from `offset`; None if that snapshot is gone."""
        ...
