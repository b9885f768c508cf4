"""What the node tells its monitor process: deltas, in small pieces, and never more than it takes.

The monitor has its own copy of all that it shows (DESIGN 3). When it joins, and after it was restarted, it is given the
whole state in pieces, one a turn of the timer, so that the node thread never serialises much at once.
"""

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from shared.errors import MinkaError
from shared.frames import Frame, FrameType, ProtocolMisuse
from worker.children import Child
from worker.loop import Loop
from worker.raft.entries import Entry
from worker.registry.registry import Outcome, Registry
from worker.registry.rows import Change, RecordRow
from worker.tables import to_table

TURN_S = 0.1
STATUS_S = 1.0
"""A status is sent when it has changed, and so often in any case: its age tells whether the node lives."""
PIECE_ROWS = 500
SETS = ("files", "models")
PENDING_LIMIT = 10_000
"""Rows that a monitor may be behind: then it is given the whole state anew, and the oldest log entries are left out."""

BEHIND_BYTES = 4 * 1_048_576
"""A monitor that has so much yet to take is told nothing more for the moment."""

_to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

StatusView = Callable[[], dict[str, Any]]
RecordsTail = Callable[[int], list[dict[str, Any]]]


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
        self._changes: dict[tuple[str, int | str], Change] = {}
        """The newest change of each row."""
        self._records: deque[RecordRow] = deque(maxlen=PENDING_LIMIT)
        self._entries: deque[tuple[Entry, Outcome | None]] = deque(maxlen=PENDING_LIMIT)
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._whole: Iterator[Change] = iter(())
        child.joined = self._joined
        self._turn()

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        """An entry took effect here."""
        if self._child.connection is None:
            return
        self._entries.append((entry, outcome))
        if outcome is not None:
            for change in outcome.changes:
                self.changed(change)
            if outcome.record is not None:
                self._records.append(outcome.record)

    def changed(self, change: Change) -> None:
        """A file or a model has moved, by a command or, like a job's progress between checkpoints, without one."""
        if self._child.connection is not None and change.set in SETS:
            self._changes[change.set, change.id] = change
            if len(self._changes) > PENDING_LIMIT:
                self._tell_all()

    def replaced(self) -> None:
        """All rows may be others now."""
        if self._child.connection is not None:
            self._joined()

    def _joined(self) -> None:
        self._records.clear()
        self._entries.clear()
        self._told = {}
        self._tell_all()
        with contextlib.suppress(MinkaError):  # damaged records are not shown; who asks for them is told
            self._send_rows("records", "records", self._tail(2 * PIECE_ROWS))

    def _tell_all(self) -> None:
        """Begin anew: the monitor forgets its rows, and is given all of them in pieces."""
        self._changes.clear()
        self._send("reset", {})
        files = [Change("files", row.id, row.public()) for row in self._registry.files.values()]
        models = [Change("models", row.id, row.summary()) for row in self._registry.models.values()]
        self._whole = iter(files + models)

    def _turn(self) -> None:
        self._loop.call_later(TURN_S, self._turn)
        connection = self._child.connection
        if connection is None or connection.waiting_bytes > BEHIND_BYTES:
            return
        status = self._status()
        if status != self._told or self._loop.now - self._told_at >= STATUS_S:
            self._told, self._told_at = status, self._loop.now
            self._send("status", status)
        whole = list(islice(self._whole, PIECE_ROWS))
        # A row that has moved since the whole was laid out comes after it, and so wins.
        self._send_changes(whole or self._take_changes())
        self._send_rows("records", "records", [row.public() for row in _taken(self._records)])
        self._send_rows("log", "entries", [_entry_row(*one) for one in _taken(self._entries)])

    def _take_changes(self) -> list[Change]:
        keys = list(islice(self._changes, PIECE_ROWS))
        return [self._changes.pop(key) for key in keys]

    def _send_changes(self, changes: Iterable[Change]) -> None:
        rows = [{"set": change.set, "id": change.id, "value": change.value} for change in changes]
        self._send_rows("changes", "changes", rows, index=self._registry.applied_index)

    def _send_rows(self, about: str, name: str, rows: list[dict[str, Any]], **also: int) -> None:
        for start in range(0, len(rows), PIECE_ROWS):
            self._send_piece(about, name, rows[start : start + PIECE_ROWS], also)

    def _send_piece(self, about: str, name: str, rows: list[dict[str, Any]], also: dict[str, int]) -> None:
        """In one frame; rows that are too long for one go in two halves."""
        try:
            self._send(about, {name: to_table(rows), **also})
        except ProtocolMisuse:
            half = len(rows) // 2
            assert half, "a row fits a frame"
            self._send_piece(about, name, rows[:half], also)
            self._send_piece(about, name, rows[half:], also)

    def _send(self, about: str, fields: dict[str, Any]) -> None:
        assert self._child.connection is not None
        self._child.connection.send(Frame(FrameType.NOTICE, {"about": about}, _to_json(fields).encode()))


def _taken(queue: deque[Any]) -> list[Any]:
    """All that waits in `queue`, which is empty afterwards."""
    taken = list(queue)
    queue.clear()
    return taken


def _entry_row(entry: Entry, outcome: Outcome | None) -> dict[str, Any]:
    return {
        "index": entry.index,
        "term": entry.term,
        "kind": entry.kind.name.lower() if outcome is None else outcome.kind,
        "bytes": len(entry.data),
        "summary": "" if outcome is None or outcome.record is None else outcome.record.summary,
    }
