"""Each prediction becomes a record: many of them in one command, before their answers leave.

What comes while a batch is on its way to the log makes the next one, so that notes cost few entries; where many predict, it
waits a few milliseconds more, since an entry costs three workers more than all that its notes do. A follower hands its batch
to the leader, which puts it together with its own and those of others. When a batch fails, so do its predictions:
whoever asked asks again. Whether it was committed may be unknown then; so every answer has its record, and a record may be
of an answer that was lost.

While the log has no room (the leader's disk is full), predictions go on as all reads do: each takes a read index instead,
and its answer says that there is no record of it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import Busy, MinkaError, NoSpace, Unreachable
from shared.value import value
from worker.registry.commands import NotePredictions

if TYPE_CHECKING:
    from worker.node import Node

NOTES_AT_ONCE = 250
"""That go into one command, with the last batch's rest; their texts are short, so that they fit into a frame's header."""
MANY_NOTES = 4
GATHER_S = 0.008
"""After a batch of so many notes, the next one is gathered for so long."""
NOTES_LIMIT = 10_000
NOTE_S = 5.0
"""A leader that is silent for so long is not waited for."""


@value
class Place:
    """The index of the log at which predictions are true; `recorded`: their records are there."""

    index: int
    recorded: bool


Noted = Callable[[Place | MinkaError], None]
"""Hears once where in the log notes are committed, or why that cannot be told."""


@value
class Notes:
    """Of predictions that a worker made: who asked for each, and the summary of its record."""

    clients: tuple[str, ...]
    summaries: tuple[str, ...]


class Journal:
    """Takes notes into the log, one batch at a time."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._waiting: deque[tuple[Notes, Noted]] = deque()
        self._waiting_notes = 0
        self._sending = self._many = False
        self._batch: list[tuple[Notes, Noted]] | None = None
        """On its way to the log, through `_leader`; `_heard` ends it."""
        self._leader: str | None = None
        self._heard: Callable[[dict[str, Any] | MinkaError], None]

    def add(self, notes: Notes, noted: Noted) -> None:
        """Make records of these."""
        if self._waiting_notes >= NOTES_LIMIT:
            noted(Busy("The log cannot keep up with what is predicted.", "Try again in a moment."))
            return
        self._waiting.append((notes, noted))
        self._waiting_notes += len(notes.clients)
        self._send_soon()

    def led(self) -> None:
        """Who leads may have changed: what was handed to another one is not waited for."""
        if self._batch is not None and self._node.driver.leadership.leader != self._leader:
            self._heard(Unreachable("Another worker leads now."))

    def _send_soon(self) -> None:
        if self._waiting and self._batch is None and not self._sending:
            self._sending = True
            if self._many:
                self._node.loop.call_later(GATHER_S, self._send)
            else:
                self._node.loop.at_turns_end(self._send)

    def _send(self) -> None:
        self._sending = False
        batch = self._gather()

        def heard(answer: dict[str, Any] | MinkaError) -> None:
            if self._batch is not batch:
                return  # its leader was given up
            self._batch = None
            if isinstance(answer, NoSpace):
                self._go_without(batch)
            else:
                _tell(batch, answer if isinstance(answer, MinkaError) else _place(answer))
            self._send_soon()

        self._batch, self._heard = batch, heard
        self._leader = self._node.driver.leadership.leader
        clients = tuple([client for notes, _ in batch for client in notes.clients])
        summaries = tuple([summary for notes, _ in batch for summary in notes.summaries])
        self._many = len(clients) >= MANY_NOTES
        if self._node.driver.leads:
            self._propose(clients, summaries)
        else:
            self._hand_over(clients, summaries)

    def _gather(self) -> list[tuple[Notes, Noted]]:
        batch: list[tuple[Notes, Noted]] = []
        room = NOTES_AT_ONCE
        while self._waiting and (not batch or len(self._waiting[0][0].clients) <= room):
            batch.append(self._waiting.popleft())
            room -= len(batch[-1][0].clients)
        self._waiting_notes -= NOTES_AT_ONCE - room
        return batch

    def _propose(self, clients: Sequence[str], summaries: Sequence[str]) -> None:
        try:
            self._node.space.check(sum(map(len, summaries)))
        except MinkaError as full:
            self._heard(full)
            return
        command = NotePredictions(tuple(clients), tuple(summaries), self._node.time_ms())
        self._node.driver.propose(command, b"", self._heard)

    def _hand_over(self, clients: Sequence[str], summaries: Sequence[str]) -> None:
        heard = self._heard
        connection = None if self._leader is None else self._node.links.bulk(self._leader)
        if connection is None:
            later = Unreachable("The leader, which notes predictions, cannot be reached from here.")
            self._node.loop.call_later(0.0, lambda: heard(later))
            return
        fields = {"clients": list(clients), "summaries": list(summaries)}
        connection.call("note", fields, b"", lambda answer, _: heard(answer), NOTE_S)

    def _go_without(self, batch: Sequence[tuple[Notes, Noted]]) -> None:
        """The log has no room for these."""

        def readable(error: MinkaError | None) -> None:
            _tell(batch, error or Place(self._node.registry.applied_index, False))

        self._node.driver.read(readable)


def _place(answer: dict[str, Any]) -> Place:
    return Place(int(answer["index"]), answer.get("recorded") is not False)


def _tell(batch: Sequence[tuple[Notes, Noted]], found: Place | MinkaError) -> None:
    for _, noted in batch:
        noted(found)
