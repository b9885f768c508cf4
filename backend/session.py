"""The client's half of exactly-once: a session, and tickets that number its commands (dissertation, 6.3)."""

import threading
from collections.abc import Callable

from shared.messages import Ticket


class TicketBook:
    """Hands out the tickets of one session, and opens the session when the first is asked for. Thread-safe."""

    def __init__(self, open_session: Callable[[], int]) -> None:
        """`open_session` asks the cluster for a new session's number; it may raise, and is then asked again later."""
        self._open_session = open_session
        self._opening = threading.Lock()
        self._lock = threading.Lock()
        self._session: int | None = None
        self._next = 1
        self._waiting: set[int] = set()

    def take(self) -> Ticket:
        """A ticket for a new command. `settle` it when nobody waits for the answer any more."""
        with self._opening:
            if self._session is None:
                session = self._open_session()
                with self._lock:
                    self._session, self._next, self._waiting = session, 1, set()
            with self._lock:
                assert self._session is not None
                sequence = self._next
                self._next += 1
                self._waiting.add(sequence)
                return Ticket(self._session, sequence, min(self._waiting))

    def settle(self, ticket: Ticket) -> None:
        """The answer came, or is given up."""
        with self._lock:
            if ticket.session == self._session:
                self._waiting.discard(ticket.sequence)

    def forget(self, session: int) -> None:
        """The cluster does not know `session` any more: the next ticket opens another."""
        with self._opening, self._lock:
            if self._session == session:
                self._session = None
