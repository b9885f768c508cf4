"""What the node tells its monitor process: deltas, in small pieces, and never more than it takes.

The monitor has its own copy of all that it shows (DESIGN 3). When it joins, and after it was restarted, it is given the
whole state in pieces, one a turn of the timer, so that the node thread never serialises much at once.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from shared.frames import Frame, FrameType
from worker.children import Child
from worker.loop import Loop
from worker.raft.entries import Entry
from worker.registry.registry import Outcome, Registry
from worker.registry.rows import Change, RecordRow

STATUS_S = 0.1
PIECE_ROWS = 200
PENDING_LIMIT = 10_000
"""Deltas that a monitor may be behind before it is given the whole state anew."""

StatusView = Callable[[], dict[str, Any]]
RecordsTail = Callable[[int, Callable[[list[dict[str, Any]]], None]], None]


class MonitorFeed:
    """Feeds one monitor process."""

    def __init__(
        self, loop: Loop, child: Child, registry: Registry, status: StatusView, tail: RecordsTail
    ) -> None:
        self._loop = loop
        self._child = child
        self._registry = registry
        self._status = status
        self._tail = tail
        self._changes: list[Change] = []
        self._records: list[RecordRow] = []
        self._log: list[dict[str, Any]] = []
        self._told: dict[str, Any] = {}
        self._whole: Iterator[list[Change]] | None = None
        child.joined = self._joined
        self._turn()

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        """An entry took effect here."""
        if self._child.connection is None:
            return
        summary = "" if outcome is None or outcome.record is None else outcome.record.summary
        kind = outcome.kind if outcome is not None else entry.kind.name.lower()
        self._log.append(
            {
                "index": entry.index,
                "term": entry.term,
                "kind": kind,
                "bytes": len(entry.data),
                "summary": summary,
            }
        )
        if outcome is not None:
            self._changes.extend(outcome.changes)
            if outcome.record is not None:
                self._records.append(outcome.record)
        if len(self._log) > PENDING_LIMIT:
            self._joined()

    def changed(self, change: Change) -> None:
        """Something that is not in the log has moved: a job's progress between checkpoints."""
        if self._child.connection is not None:
            self._changes.append(change)

    def _joined(self) -> None:
        self._changes.clear()
        self._records.clear()
        self._log.clear()
        self._told = {}
        self._whole = self._pieces()
        self._tail(PIECE_ROWS * 5, self._send_records)

    def _pieces(self) -> Iterator[list[Change]]:
        files = (Change("files", row.id, row.public()) for row in list(self._registry.files.values()))
        models = (Change("models", row.id, row.summary()) for row in list(self._registry.models.values()))
        for rows in (files, models):
            piece: list[Change] = []
            for change in rows:
                piece.append(change)
                if len(piece) == PIECE_ROWS:
                    yield piece
                    piece = []
            yield piece

    def _turn(self) -> None:
        self._loop.call_later(STATUS_S, self._turn)
        connection = self._child.connection
        if connection is None:
            return
        if self._whole is not None:
            piece = next(self._whole, None)
            if piece is None:
                self._whole = None
            else:
                self._send_changes(piece)
            return
        status = self._status()
        if status != self._told:
            self._told = status
            self._send("status", status)
        changes, self._changes = self._changes[:PIECE_ROWS], self._changes[PIECE_ROWS:]
        self._send_changes(changes)
        records, self._records = self._records[:PIECE_ROWS], self._records[PIECE_ROWS:]
        self._send_records([row.public() for row in records])
        entries, self._log = self._log[:PIECE_ROWS], self._log[PIECE_ROWS:]
        if entries:
            self._send("log", {"entries": entries})

    def _send_changes(self, changes: Iterable[Change]) -> None:
        rows = [{"set": change.set, "id": change.id, "value": change.value} for change in changes]
        if rows:
            self._send("changes", {"index": self._registry.applied_index, "changes": rows})

    def _send_records(self, records: list[dict[str, Any]]) -> None:
        if records:
            self._send("records", {"records": records})

    def _send(self, about: str, fields: dict[str, Any]) -> None:
        assert self._child.connection is not None
        self._child.connection.send(Frame(FrameType.NOTICE, {"about": about, **fields}))
