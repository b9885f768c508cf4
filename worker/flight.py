"""The flight recorder: what this worker has said and heard of consensus in the last minutes, for `minka trace`.

An event costs one tuple in a ring; nothing is encoded before somebody asks, and then a page at a time. Elections have a
ring of their own, so that no flood of entries pushes them out. Entries themselves are not kept, only how many there were.
A row of a page is

    number, seconds since 1970, "sent" or "heard", peer, name of the message, {its fields}
    number, seconds since 1970, "role", leader or null, role, {"term"}
    number, seconds since 1970, "applied", null, "", {"index"}

in the order in which this worker saw them; all times are of its own clock.
"""

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from worker.raft.messages import (
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    InstallSnapshot,
    Message,
    ReadReply,
    ReadRequest,
    SnapshotReply,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from worker.raft.ready import Leadership

KEPT = 32_768
RARE_KEPT = 4_096
PAGE_EVENTS = 500
"""So many take about a millisecond of the node thread."""

_RARE = (VoteRequest, VoteReply, TimeoutNow)
UNTOLD = ("to", "sender", "round_trip_s")

Row = list[Any]
_Event = tuple[int, float, str, Any]


class _AppendNote(NamedTuple):
    """An `Append` without the bytes of its entries."""

    to: str
    sender: str
    term: int
    previous_index: int
    previous_term: int
    commit: int
    entries: int


@dataclass(slots=True)
class _SnapshotNote:
    """An `InstallSnapshot` without its bytes."""

    to: str
    sender: str
    term: int
    index: int
    offset: int
    size_bytes: int
    last: bool


_NAMES: dict[type[Any], str] = {
    VoteRequest: "vote",
    VoteReply: "vote_reply",
    _AppendNote: "append",
    AppendReply: "append_reply",
    Heartbeat: "heartbeat",
    HeartbeatReply: "heartbeat_reply",
    ReadRequest: "read",
    ReadReply: "read_reply",
    TimeoutNow: "timeout_now",
    _SnapshotNote: "snapshot",
    SnapshotReply: "snapshot_reply",
}
_FIELDS = {cls: tuple(name for name in cls.__annotations__ if name not in UNTOLD) for cls in _NAMES}


class FlightRecorder:
    """The last events of one worker. Node thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._applied = 0
        self._frequent: deque[_Event] = deque(maxlen=KEPT)
        self._rare: deque[_Event] = deque(maxlen=RARE_KEPT)
        self._tape: list[_Event] = []
        """What is being told, page by page."""
        self._epoch_s = 0.0

    def sent(self, message: Message) -> None:
        """A message leaves for `message.to`, or is dropped because that peer is not connected."""
        self._note("sent", message)

    def heard(self, message: Message) -> None:
        """A message came from `message.sender`."""
        self._note("heard", message)

    def stood(self, leadership: Leadership) -> None:
        """This worker's role, term or leader is another one."""
        self._count += 1
        self._rare.append((self._count, self._clock(), "role", leadership))

    def applied(self, index: int) -> None:
        """Everything up to `index` is applied; said once a turn, and noted if it is news."""
        if index != self._applied:
            self._applied = index
            self._count += 1
            self._frequent.append((self._count, self._clock(), "applied", index))

    def _note(self, way: str, message: Message) -> None:
        self._count += 1
        kept: Any = message
        if type(message) is Append:
            kept = _AppendNote(
                message.to,
                message.sender,
                message.term,
                message.previous_index,
                message.previous_term,
                message.commit,
                len(message.entries),
            )
        elif type(message) is InstallSnapshot:
            kept = _SnapshotNote(
                message.to,
                message.sender,
                message.term,
                message.snapshot.index,
                message.offset,
                len(message.data),
                message.last,
            )
        ring = self._rare if isinstance(message, _RARE) else self._frequent
        ring.append((self._count, self._clock(), way, kept))

    def page(self, after: int) -> tuple[list[Row], bool]:
        """Some rows after number `after`, oldest first, and whether there are more. From 0 on, it is all anew."""
        if not after or not self._tape:
            self._epoch_s = time.time() - self._clock()
            self._tape = sorted((*self._rare, *self._frequent), key=lambda event: event[0])
        start = bisect_right(self._tape, after, key=lambda event: event[0])
        rows = [self._row(event) for event in self._tape[start : start + PAGE_EVENTS]]
        more = start + PAGE_EVENTS < len(self._tape)
        if not more:
            self._tape = []
        return rows, more

    def _row(self, event: _Event) -> Row:
        number, moment, what, kept = event
        begin = [number, round(self._epoch_s + moment, 6), what]
        match kept:
            case int():
                return [*begin, None, "", {"index": kept}]
            case Leadership():
                return [*begin, kept.leader, kept.role.value, {"term": kept.term}]
        told = {name: getattr(kept, name) for name in _FIELDS[type(kept)]}
        return [*begin, kept.to if what == "sent" else kept.sender, _NAMES[type(kept)], told]
