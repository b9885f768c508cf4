"""Connections to workers, kept open between requests.

One request is under way on a connection at a time; several threads use several connections.
"""

import itertools
import threading
from typing import Any

from backend.addresses import Address, format_address
from shared import fields
from shared.errors import MinkaError, ProtocolViolation, TimedOut, Unreachable
from shared.frames import Frame, FrameType
from shared.handshake import Introduction
from shared.messages import Operation
from shared.stream import FrameStream, connect

IDLE_LIMIT = 4
"""Connections to one worker that are kept open while nobody uses them."""


class Connection:
    """A proved connection to one worker, used by one thread at a time."""

    def __init__(self, stream: FrameStream, address: Address) -> None:
        self.address = address
        self._stream = stream
        self._numbers = itertools.count(1)

    def __repr__(self) -> str:
        return f"<Connection to {format_address(self.address)}>"

    def send(self, request: Operation, body: bytes, timeout_s: float) -> int:
        """Send `request`, and return the number its answer will carry.

        Raises `Unreachable` or `TimedOut`: then it was not sent whole, and is not carried out.
        """
        number = next(self._numbers)
        header: dict[str, Any] = {"id": number, "op": type(request).op, **fields.encode(request)}
        self._stream.send(Frame(FrameType.REQUEST, header, body), timeout_s)
        return number

    def receive(self, number: int, timeout_s: float) -> Frame:
        """The REPLY or FAILURE that answers request `number`.

        Raises `TimedOut` when nothing came in `timeout_s` seconds (it may be called again), `Unreachable` when the
        connection broke, `ProtocolViolation` for an answer to something else.
        """
        frame = self._stream.receive(timeout_s)
        while frame.type is FrameType.NOTICE:
            frame = self._stream.receive(timeout_s)
        if frame.type not in (FrameType.REPLY, FrameType.FAILURE) or frame.header.get("id") != number:
            raise ProtocolViolation(f"{format_address(self.address)} answered a question that was not asked.")
        return frame

    def alive(self) -> bool:
        """Whether an idle connection can be used again: nothing, not even its end, is to be received."""
        try:
            while self._stream.receive(0.0).type is FrameType.NOTICE:
                pass
        except TimedOut:
            return True
        except MinkaError:
            return False
        return False

    def close(self) -> None:
        """End it; a receive that is blocked in another thread ends too."""
        self._stream.close()


class ConnectionPool:
    """The open connections of one client, to any number of workers. Thread-safe."""

    def __init__(self, about: Introduction, key: bytes) -> None:
        self._about = about
        self._key = key
        self._lock = threading.Lock()
        self._idle: dict[Address, list[Connection]] = {}
        self._busy: set[Connection] = set()
        self._closed = False

    def take(self, address: Address, timeout_s: float, *, fresh: bool = False) -> Connection:
        """A connection for one request: an idle one, or a new one (always, with `fresh`).

        Raises `Unreachable`, `TimedOut`, `AccessDenied`, `ProtocolViolation` as `shared.stream.connect` does.
        """
        while not fresh and (idle := self._take_idle(address)) is not None:
            if idle.alive():
                return idle
            self.discard(idle)
        connection = Connection(connect(address, self._about, self._key, timeout_s), address)
        with self._lock:
            if not self._closed:
                self._busy.add(connection)
                return connection
        connection.close()
        raise _closed()

    def give_back(self, connection: Connection) -> None:
        """Keep it for the next request: its answer came whole."""
        with self._lock:
            self._busy.discard(connection)
            idle = self._idle.setdefault(connection.address, [])
            if not self._closed and len(idle) < IDLE_LIMIT:
                idle.append(connection)
                return
        connection.close()

    def discard(self, connection: Connection) -> None:
        """Close it, and those that wait idle for the same worker: they are likely as dead."""
        with self._lock:
            self._busy.discard(connection)
            dead = [connection, *self._idle.pop(connection.address, [])]
        for each in dead:
            each.close()

    def close(self) -> None:
        """Close all, also those in use."""
        with self._lock:
            self._closed = True
            every = [*self._busy, *(each for idle in self._idle.values() for each in idle)]
            self._busy.clear()
            self._idle.clear()
        for each in every:
            each.close()

    def _take_idle(self, address: Address) -> Connection | None:
        with self._lock:
            if self._closed:
                raise _closed()
            idle = self._idle.get(address)
            if not idle:
                return None
            connection = idle.pop()
            self._busy.add(connection)
            return connection


def _closed() -> Unreachable:
    return Unreachable("This client was closed.")
