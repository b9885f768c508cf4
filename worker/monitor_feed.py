"""What the node tells its monitor process: deltas, in small pieces, and never more than it takes.

The monitor has its own copy of all that it shows (DESIGN 3). When it joins, and after it was restarted, it is given the
whole state in pieces, one a turn of the timer, so that the node thread never serialises much at once. Afterwards it is told
of each entry in one row, which says all that there is to say of the naming of a file:

    index, term, kind, bytes, summary        of every entry
    record, time_ms, client, kind            of one that left a record
    name, bytes, digest                      of one that named a file; its id is the index
    [[client, summary], ...]                 of one that left several records: of the second on, whose numbers follow

Vitals (timers, round trips, transfers, shards) are told once a second, and at each turn while something is under way; the
rounds of a model once each, as they come.
"""

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from shared.errors import MinkaError
from shared.frames import Frame, FrameType
from worker.children import Child
from worker.loop import Loop
from worker.raft.entries import Entry
from worker.registry import commands
from worker.registry.registry import Outcome, Registry
from worker.registry.rows import Change

TURN_S = 0.1
SOON_S = 0.05
"""What is applied is told so soon; the rest once a turn, for a node that nobody asks anything is to sleep."""
STATUS_S = 1.0
"""A status is sent when it has changed, and so often in any case: its age tells whether the node lives."""
PIECE_ROWS = 500
SETS = ("files", "models")
NOTICES_KEPT = 200
PENDING_LIMIT = 10_000
"""Rows that a monitor may be behind: then it begins anew, and is told no more of the entries that waited."""

ROUNDS_AGAIN = 20
BEHIND_BYTES = 4 * 1_048_576
"""A monitor that has so much yet to take is told nothing more for the moment."""

_to_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

StatusView = Callable[[], dict[str, Any]]
ModelView = Callable[[str], tuple[dict[str, Any], list[dict[str, Any]]] | None]
"""All of a model but its summary, and its rounds so far; None when there is no such model."""
RecordsTail = Callable[[int], list[dict[str, Any]]]


class MonitorFeed:
    """Feeds one monitor process."""

    def __init__(
        self,
        loop: Loop,
        child: Child,
        registry: Registry,
        status: StatusView,
        tail: RecordsTail,
        vitals: StatusView,
        model: ModelView,
    ) -> None:
        self._loop = loop
        self._child = child
        self._registry = registry
        self._status = status
        self._tail = tail
        self._vitals = vitals
        self._model = model
        self._vitals_at = float("-inf")
        self._busy = False
        self._rounds_told: dict[str, int] = {}
        self._changes: dict[tuple[str, int | str], Change] = {}
        """The newest change of each row, but for files that were named."""
        self._applied: deque[tuple[Entry, Outcome | None]] = deque()
        self._applied_rows = 0
        self._telling = False
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._models: Iterator[str] = iter(())
        """Those of the whole that are still to be told."""
        self._files_after: int | None = None
        """The whole has been told up to this file; None when it has been told."""
        self._notices: deque[dict[str, Any]] = deque(maxlen=NOTICES_KEPT)
        self._noticed = 0
        child.joined = self._joined
        self._turn()

    def applied(self, entry: Entry, outcome: Outcome | None) -> None:
        """An entry took effect here."""
        if self._child.connection is None:
            return
        self._applied.append((entry, outcome))
        if not self._telling:
            self._telling = True
            self._loop.call_later(SOON_S, self._tell_applied)
        self._applied_rows += _weight(outcome)
        if self._applied_rows > PENDING_LIMIT:
            self._joined()
        elif outcome is not None and not _names_file(outcome):
            for change in outcome.changes:
                self.changed(change)

    def changed(self, change: Change) -> None:
        """A file or a model has moved, by a command or, like a job's progress between checkpoints, without one."""
        if self._child.connection is not None and change.set in SETS:
            self._changes[change.set, change.id] = change
            if len(self._changes) > PENDING_LIMIT:
                self._joined()

    def noticed(self, kind: str, text: str, **facts: Any) -> None:
        """Something has happened as this worker saw it, such as damage of its disk; `facts` say the same to programs."""
        self._noticed += 1
        notice = {"notice": self._noticed, "time": time.time(), "kind": kind, "text": text, **facts}
        self._notices.append(notice)
        if self._child.connection is not None:
            self._send("notices", {"notices": [notice]})

    def replaced(self) -> None:
        """All rows may be others now."""
        if self._child.connection is not None:
            self._joined()

    def _joined(self) -> None:
        """Begin anew: the monitor forgets its rows, and is given all of them in pieces."""
        self._applied.clear()
        self._applied_rows = 0
        self._changes.clear()
        self._told = {}
        self._rounds_told.clear()
        self._vitals_at = float("-inf")
        self._send("reset", {})
        if self._notices:
            self._send("notices", {"notices": list(self._notices)})
        self._models, self._files_after = iter(tuple(self._registry.models)), 0
        with contextlib.suppress(MinkaError):  # damaged records are not shown; who asks for them is told
            self._send_rows("records", "records", self._tail(2 * PIECE_ROWS))

    def _turn(self) -> None:
        self._loop.call_later(TURN_S, self._turn)
        connection = self._child.connection
        if connection is None or connection.waiting_bytes > BEHIND_BYTES:
            return
        status = self._status()
        if status != self._told or self._loop.now - self._told_at >= STATUS_S:
            self._told, self._told_at = status, self._loop.now
            self._send("status", status)
        self._send_vitals()
        # A file that was named since is told here or with the whole, never with neither.
        self._send_applied()
        # A row that has moved since the whole was begun comes after it, and so wins.
        self._send_changes(self._take_whole() or self._take_changes())

    def _tell_applied(self) -> None:
        self._telling = False
        connection = self._child.connection
        if connection is not None and connection.waiting_bytes <= BEHIND_BYTES:
            self._send_applied()

    def _send_applied(self) -> None:
        while self._applied:
            self._send("applied", {"rows": self._take_applied()})

    def _send_vitals(self) -> None:
        if self._loop.now - self._vitals_at < STATUS_S and not self._busy:
            return
        vitals = self._vitals()
        # Once more after the end, so that the monitor sees that it is over.
        self._busy = bool(vitals["transfers"] or vitals["jobs"])
        self._vitals_at = self._loop.now
        self._send("vitals", {"vitals": vitals})

    def _take_applied(self) -> list[list[Any]]:
        rows, room = [], PIECE_ROWS
        while self._applied and room > 0:
            entry, outcome = self._applied.popleft()
            rows.append(_row(entry, outcome, self._files_after is None))
            room -= _weight(outcome)
            self._applied_rows -= _weight(outcome)
        return rows

    def _take_whole(self) -> list[Change]:
        """The next piece of the whole; nothing once it has been told."""
        if self._files_after is None:
            return []
        models = [self._registry.models.get(id) for id in islice(self._models, PIECE_ROWS)]
        if models:
            return [Change("models", row.id, row.summary()) for row in models if row is not None]
        files = self._registry.files_after(self._files_after, PIECE_ROWS)
        self._files_after = files[-1].id if len(files) == PIECE_ROWS else None
        return [Change("files", row.id, row.public()) for row in files]

    def _take_changes(self) -> list[Change]:
        keys = list(islice(self._changes, PIECE_ROWS))
        return [self._changes.pop(key) for key in keys]

    def _send_changes(self, changes: list[Change]) -> None:
        rows = []
        for change in changes:
            value = change.value
            found = self._model(str(change.id)) if change.set == "models" and value is not None else None
            if value is not None and found is not None:
                value = value | found[0]
                self._send_rounds(str(change.id), found[1])
            rows.append({"set": change.set, "id": change.id, "value": value})
        self._send_rows("changes", "changes", rows, index=self._registry.applied_index)

    def _send_rounds(self, model: str, history: list[dict[str, Any]]) -> None:
        """What this monitor was not told of a model's rounds yet; at first no more than a chart can show."""
        told = self._rounds_told.get(model, 0)
        if history and history[-1]["round"] >= told:
            # The last ones again: what they reached on the test set is known a little later.
            fresh = [row for row in history if row["round"] > told - ROUNDS_AGAIN]
            self._rounds_told[model] = fresh[-1]["round"]
            step = -(-len(fresh) // PIECE_ROWS)
            self._send("rounds", {"model": model, "rounds": fresh[::-step][::-1]})

    def _send_rows(self, about: str, name: str, rows: list[dict[str, Any]], **also: int) -> None:
        for start in range(0, len(rows), PIECE_ROWS):
            self._send(about, {name: rows[start : start + PIECE_ROWS], **also})

    def _send(self, about: str, fields: dict[str, Any]) -> None:
        assert self._child.connection is not None
        self._child.connection.send(Frame(FrameType.NOTICE, {"about": about}, _to_json(fields).encode()))


def _names_file(outcome: Outcome) -> bool:
    return outcome.kind == commands.PutFile.kind and bool(outcome.changes)


def _row(entry: Entry, outcome: Outcome | None, with_file: bool) -> list[Any]:
    """What the monitor is told of one entry: see above."""
    if outcome is None or not outcome.records:
        kind = entry.kind.name.lower() if outcome is None else outcome.kind
        return [entry.index, entry.term, kind, len(entry.data), ""]
    record, *others = outcome.records
    row = [entry.index, entry.term, outcome.kind, len(entry.data), record.summary]
    row += record.record, record.time_ms, record.client, record.kind
    if with_file and _names_file(outcome):
        file = outcome.changes[0].value
        assert file is not None
        row += file["name"], file["bytes"], file["digest"]
    if others:
        row.append([[other.client, other.summary] for other in others])
    return row


def _weight(outcome: Outcome | None) -> int:
    """How many rows an entry counts for: records come in bundles."""
    return 1 if outcome is None else max(1, len(outcome.records))
