"""Each prediction becomes a record: many of them in one command, before their answers leave.

What comes within a few milliseconds of a batch makes the next one, so that notes cost few entries: an entry costs its three
workers more than all that its notes do. Where few predict, nothing waits. A follower hands its batches to the leader, which
puts them together with its own and those of others. When a batch fails, so do its predictions: whoever asked asks again.
Whether it was committed may be unknown then; so every answer has its record, and a record may be of an answer that was lost.

While the log has no room (the leader's disk is full), predictions go on as all reads do: each takes a read index instead,
and its answer says that there is no record of it.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from shared.errors import Busy, MinkaError, NoSpace, Unreachable
from shared.value import value
from worker.loop import Timer
from worker.registry.commands import NotePredictions

if TYPE_CHECKING:
    from worker.node import Node

NOTES_AT_ONCE = 250
"""That go into one command, with the last batch's rest; their texts are short, so that they fit into a frame's header."""
MANY_NOTES = 4
GATHER_S = 0.006
"""So long after a batch of so many notes, or after one that is still on its way, the next one leaves."""
BATCHES_AT_ONCE = 4
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


class _Batch:
    """Notes on their way to the log, through the worker that leads."""

    def __init__(self, notes: list[tuple[Notes, Noted]], leader: str | None) -> None:
        self.notes = notes
        self.leader = leader
        self.clients = tuple([client for one, _ in notes for client in one.clients])
        self.summaries = tuple([summary for one, _ in notes for summary in one.summaries])

    def tell(self, found: Place | MinkaError) -> None:
        for _, noted in self.notes:
            noted(found)


class Journal:
    """Takes notes into the log, batch by batch."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._waiting: deque[tuple[Notes, Noted]] = deque()
        self._waiting_notes = 0
        self._open: list[_Batch] = []
        self._many = False
        self._sent_at = -GATHER_S
        self._due: Timer | None = None
        """When the next batch leaves; None when nothing waits, or it leaves in the next turn."""
        self._leaving = False

    def add(self, notes: Notes, noted: Noted) -> None:
        """Make records of these."""
        if self._waiting_notes >= NOTES_LIMIT:
            noted(Busy("The log cannot keep up with what is predicted.", "Try again in a moment."))
            return
        self._waiting.append((notes, noted))
        self._waiting_notes += len(notes.clients)
        if self._due is None:
            self._send_soon()

    def led(self) -> None:
        """Who leads may have changed: what was handed to another one is not waited for."""
        for batch in self._open.copy():
            if self._node.driver.leadership.leader != batch.leader:
                self._ended(batch, Unreachable("Another worker leads now."))

    def _send_soon(self) -> None:
        if self._leaving or not self._waiting or len(self._open) >= BATCHES_AT_ONCE:
            return
        pause_s = GATHER_S if self._open or self._many else 0.0
        wait_s = self._sent_at + pause_s - self._node.loop.now
        if wait_s > 0:
            self._due = self._node.loop.call_later(wait_s, self._send)
        else:
            self._leaving = True
            self._node.loop.post(
                self._send
            )  # with what this turn brings still, before the driver looks again

    def _send(self) -> None:
        self._leaving, self._due = False, None
        self._sent_at = self._node.loop.now
        batch = _Batch(self._gather(), self._node.driver.leadership.leader)
        self._many = len(batch.clients) >= MANY_NOTES
        self._open.append(batch)
        if self._node.driver.leads:
            self._propose(batch)
        else:
            self._hand_over(batch)
        self._send_soon()

    def _ended(self, batch: _Batch, answer: dict[str, Any] | MinkaError) -> None:
        if batch not in self._open:
            return  # its leader was given up
        self._open.remove(batch)
        if isinstance(answer, NoSpace):
            self._go_without(batch)
        else:
            batch.tell(answer if isinstance(answer, MinkaError) else _place(answer))
        if self._due is not None:
            self._due.cancel()
            self._due = None
        self._send_soon()

    def _gather(self) -> list[tuple[Notes, Noted]]:
        batch: list[tuple[Notes, Noted]] = []
        room = NOTES_AT_ONCE
        while self._waiting and (not batch or len(self._waiting[0][0].clients) <= room):
            batch.append(self._waiting.popleft())
            room -= len(batch[-1][0].clients)
        self._waiting_notes -= NOTES_AT_ONCE - room
        return batch

    def _propose(self, batch: _Batch) -> None:
        try:
            self._node.space.check(sum(map(len, batch.summaries)))
        except MinkaError as full:
            self._ended(batch, full)
            return
        command = NotePredictions(batch.clients, batch.summaries, self._node.time_ms())
        self._node.driver.propose(command, b"", partial(self._ended, batch))

    def _hand_over(self, batch: _Batch) -> None:
        connection = None if batch.leader is None else self._node.links.bulk(batch.leader)
        if connection is None:
            later = Unreachable("The leader, which notes predictions, cannot be reached from here.")
            self._node.loop.call_later(0.0, lambda: self._ended(batch, later))
            return
        fields = {"clients": list(batch.clients), "summaries": list(batch.summaries)}
        connection.call("note", fields, b"", lambda answer, _: self._ended(batch, answer), NOTE_S)

    def _go_without(self, batch: _Batch) -> None:
        """The log has no room for these."""

        def readable(error: MinkaError | None) -> None:
            batch.tell(error or Place(self._node.registry.applied_index, False))

        self._node.driver.read(readable)


def _place(answer: dict[str, Any]) -> Place:
    return Place(int(answer["index"]), answer.get("recorded") is not False)
