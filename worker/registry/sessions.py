"""Client sessions: a command that is sent twice is applied once (dissertation, 6.3).

A session is named by the log index that opened it. Its client numbers its commands; answers are kept until the client
says that it no longer waits for them. Sessions end by disuse or when there are too many; both are judged by the
entries' own order and (never falling) time, so that every worker ends the same ones at the same index.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MinkaError, Refused, SessionExpired, failure_fields
from shared.messages import Ticket

SESSIONS_LIMIT = 10_000
ANSWERS_LIMIT = 1_024
"""Commands of one session that may be unanswered at once."""
DISUSE_MS = 24 * 3600 * 1000
ANSWERS_ROWS = 64
"""In one row of a dump."""

Answer = dict[str, Any]
"""{"answer": fields} or {"failure": fields}: what the client was, or will be, told."""


@dataclass(slots=True)
class Session:
    client: str
    used_ms: int
    waiting_from: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)


class Sessions:
    """All open sessions, least recently used first."""

    def __init__(self) -> None:
        self._open: dict[int, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, index: int, client: str, time_ms: int) -> None:
        """Open session number `index`, and end what is stale or over the limit."""
        while self._open:
            oldest = next(iter(self._open))
            if len(self._open) < SESSIONS_LIMIT and self._open[oldest].used_ms >= time_ms - DISUSE_MS:
                break
            del self._open[oldest]
        self._open[index] = Session(client, time_ms)

    def dump(self) -> Iterator[list[Any]]:
        """All sessions as rows of `Registry.dump`, least recently used first."""
        for number, session in self._open.items():
            yield ["session", number, session.client, session.used_ms, session.waiting_from]
            told = iter(session.answers.items())
            while piece := list(itertools.islice(told, ANSWERS_ROWS)):
                yield ["answers", number, piece]

    def load(self, kind: str, values: list[Any]) -> None:
        """Take in one such row."""
        if kind == "session":
            number, client, used_ms, waiting_from = values
            self._open[number] = Session(client, used_ms, waiting_from)
        else:
            self._open[values[0]].answers.update((sequence, answer) for sequence, answer in values[1])

    def client(self, ticket: Ticket) -> str:
        """The name of the client that holds this ticket, which `earlier_answer` has accepted."""
        return self._open[ticket.session].client

    def earlier_answer(self, ticket: Ticket, time_ms: int) -> Answer | None:
        """The stored answer if this command was applied before, None if it is new.

        Raises `SessionExpired` for an unknown session, `Refused` for a sequence number that the client had let go of, or
        when too many of its commands are unanswered: such a command must not be applied.
        """
        session = self._open.pop(ticket.session, None)
        if session is None:
            raise SessionExpired(
                f"Session {ticket.session} is not open any more.",
                "Look whether the last command took effect.",
            )
        self._open[ticket.session] = session
        session.used_ms = time_ms
        if ticket.waiting_from > session.waiting_from:
            session.waiting_from = ticket.waiting_from
            for sequence in [number for number in session.answers if number < ticket.waiting_from]:
                del session.answers[sequence]
        if ticket.sequence in session.answers:
            return session.answers[ticket.sequence]
        if ticket.sequence < session.waiting_from:
            raise Refused(f"Command {ticket.sequence} was already answered.")
        if len(session.answers) >= ANSWERS_LIMIT:
            raise Refused(f"More than {ANSWERS_LIMIT} commands of one session are unanswered.")
        return None

    def remember(self, ticket: Ticket, answer: Answer) -> None:
        """Keep what the client was told, until it lets go of it."""
        self._open[ticket.session].answers[ticket.sequence] = answer


def as_failure(error: MinkaError) -> Answer:
    """The stored form of a refusal."""
    return {"failure": failure_fields(error)}
