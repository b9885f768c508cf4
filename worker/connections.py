"""Framed TCP connections of the node thread: non-blocking, with the handshake, limits, and calls that wait for answers.

The one place in the node where `OSError` of a peer or client connection is met: it ends that connection, and the calls that
wait on it fail with `Unreachable`.
"""

import os
import selectors
import socket
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from shared.errors import (
    MinkaError,
    ProtocolViolation,
    Refused,
    TimedOut,
    Unreachable,
    failure_fields,
    from_failure,
)
from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType, ProtocolMisuse
from shared.handshake import ClientHandshake, Introduction, ServerHandshake, refusal
from worker.loop import Loop, Timer

RECEIVE_BYTES = 256 * 1024
SEND_LIMIT_BYTES = 256 * 1024 * 1024
"""A peer that lets this much pile up is cut off; a client is not read while it leaves `PAUSE_BYTES` unread."""
PAUSE_BYTES = 8 * 1024 * 1024
REQUESTS_LIMIT = 1_024
REQUESTS_LIMIT_BYTES = 32 * 1024 * 1024
"""Requests of one connection, and bytes of a client's, that may be unanswered before it is not read any more."""
HANDSHAKE_S = 5.0
_JOIN_BYTES = 64 * 1024
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}

Done = Callable[[dict[str, Any] | MinkaError, bytes], None]
"""What a call ends with: the answer's header and body, or the error and no bytes."""


class State(Enum):
    CONNECTING = "connecting"
    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    """Refused: closed as soon as the last words are sent."""
    CLOSED = "closed"


class Owner:
    """What a connection tells whoever made it. Each method is called in the node thread."""

    def opened(self, connection: "Connection") -> None:
        """The handshake is done; `connection.about` says who the other side proved to be."""

    def received(self, connection: "Connection", frame: Frame) -> None:
        """A REQUEST, NOTICE or RAFT frame came in."""

    def closed(self, connection: "Connection", error: MinkaError) -> None:
        """The connection has ended, whoever ended it; called once."""


class Connection:
    """One connection. Dialled with `dial`, or accepted with `accept`."""

    def __init__(self, loop: Loop, sock: socket.socket, owner: Owner, name: str) -> None:
        self.name = name
        self.about = Introduction("", "", "", "")
        self.state = State.HANDSHAKE
        self._loop = loop
        self._socket = sock
        self._owner = owner
        self._client: ClientHandshake | None = None
        self._server: ServerHandshake | None = None
        self._encoder, self._decoder = FrameEncoder(), FrameDecoder()
        self._out: deque[bytes | memoryview] = deque()
        self._out_bytes = 0
        self._unanswered = self._unanswered_bytes = 0
        self._calls: dict[int, tuple[Done, Timer | None]] = {}
        self._next_call = 0
        self._events = 0
        self._flushing = False
        self._deadline: Timer | None = loop.call_later(HANDSHAKE_S, self._handshake_late)

    def __repr__(self) -> str:
        return f"<Connection {self.name} {self.about.role} {self.about.channel} {self.state.value}>"

    @classmethod
    def dial(
        cls, loop: Loop, address: tuple[str, int], about: Introduction, key: bytes, owner: Owner, peer: str
    ) -> "Connection":
        """Start to connect to a worker that is called `peer`; `owner` hears how it went.

        Raises `Unreachable` when this process has no socket left for it.
        """
        name = f"{peer} at {address[0]}:{address[1]}"
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise Unreachable(f"{name} cannot be dialled: {error.strerror or error}.") from error
        sock.setblocking(False)
        connection = cls(loop, sock, owner, name)
        connection._client = ClientHandshake(about, key)
        connection.about = Introduction("worker", peer, about.channel, about.cluster)
        connection.state = State.CONNECTING
        try:
            sock.connect_ex(address)
        except OSError as error:  # a host name that cannot be resolved
            reason = Unreachable(f"{connection.name} cannot be reached: {error.strerror or error}.")
            loop.call_later(0.0, lambda: connection.close(reason))
            return connection
        connection._watch()
        return connection

    @classmethod
    def accept(
        cls, loop: Loop, sock: socket.socket, handshake: ServerHandshake, owner: Owner, name: str
    ) -> "Connection":
        """Take an accepted socket; the other side must prove its role first."""
        sock.setblocking(False)
        connection = cls(loop, sock, owner, name)
        connection._server = handshake
        try:
            _set_options(sock)
        except OSError as error:  # some systems refuse options for a peer that has gone already
            reason = Unreachable(f"{name} has gone: {error.strerror or error}.")
            loop.call_later(0.0, lambda: connection.close(reason))
            return connection
        connection._watch()
        return connection

    # --- sending

    def send(self, frame: Frame) -> None:
        """Queue a frame; it leaves at the end of this turn. Ignored once the connection is closed, or is to be."""
        if self.state not in (State.OPEN, State.HANDSHAKE, State.CONNECTING):
            return
        if self._out_bytes > SEND_LIMIT_BYTES:
            return
        data = self._encoder.encode(frame)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > SEND_LIMIT_BYTES:
            reason = Unreachable(f"{self.name} did not take what was sent to it.")
            self._loop.call_later(0.0, lambda: self.close(reason))  # not now: whoever sends has not finished
        elif not self._flushing and self.state is not State.CONNECTING:
            self._flushing = True
            self._loop.at_turns_end(self._flush_turn)

    def call(
        self, op: str, fields: dict[str, Any], body: bytes, done: Done, timeout_s: float | None = None
    ) -> None:
        """Send a REQUEST; `done` is called once, with the answer or the error."""
        if self.state is not State.OPEN:
            self._loop.call_later(0.0, lambda: done(Unreachable(f"{self.name} is not connected."), b""))
            return
        self._next_call += 1
        number = self._next_call
        timer = (
            None if timeout_s is None else self._loop.call_later(timeout_s, lambda: self._late(number, op))
        )
        self._calls[number] = (done, timer)
        try:
            self.send(Frame(FrameType.REQUEST, {**fields, "id": number, "op": op}, body))
        except ProtocolMisuse as misuse:
            too_large = Refused(f"{op!r} cannot be asked of {self.name}: {misuse}.")
            self._loop.call_later(0.0, lambda: self._end_call(number, too_large))

    @property
    def waiting_bytes(self) -> int:
        """What was sent and not taken yet."""
        return self._out_bytes

    def answered(self, size_bytes: int) -> None:
        """One request of the other side, which had a body of `size_bytes`, has its answer queued."""
        self._unanswered -= 1
        self._unanswered_bytes -= size_bytes
        self._watch()

    def close(self, error: MinkaError) -> None:
        """End the connection; calls that wait fail with `error`."""
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._loop.forget(self._socket)
        self._socket.close()
        if self._deadline is not None:
            self._deadline.cancel()
        self._out.clear()
        calls, self._calls = self._calls, {}
        self._owner.closed(self, error)
        for done, timer in calls.values():
            if timer is not None:
                timer.cancel()
            done(error, b"")

    # --- events

    def _watch(self) -> None:
        if self.state is State.CLOSED:
            return
        waits = self._out and not self._flushing
        events = selectors.EVENT_WRITE if waits or self.state is State.CONNECTING else 0
        if self._unanswered < REQUESTS_LIMIT and not (self.about.role == "client" and self._is_behind()):
            events |= selectors.EVENT_READ
        if events == self._events:
            return
        self._events = events
        if events:
            self._loop.watch(self._socket, events, self._ready)
        else:
            self._loop.forget(self._socket)

    def _is_behind(self) -> bool:
        """Whether enough of this client waits, to be answered or to be taken, that no more is asked of it."""
        return self._out_bytes >= PAUSE_BYTES or self._unanswered_bytes >= REQUESTS_LIMIT_BYTES

    def _ready(self, events: int) -> None:
        if self.state is State.CONNECTING:
            self._connected()
            return
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE:
            self.flush()

    def _connected(self) -> None:
        assert self._client is not None
        problem = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self.close(Unreachable(f"{self.name} cannot be reached: {os.strerror(problem)}."))
            return
        try:
            _set_options(self._socket)
        except OSError as error:
            self.close(Unreachable(f"The connection to {self.name} broke: {error.strerror or error}."))
            return
        self.state = State.HANDSHAKE
        self.send(self._client.hello())
        self.flush()

    def _read(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self.close(Unreachable(f"The connection to {self.name} broke: {error.strerror or error}."))
            return
        if not data:
            self.close(Unreachable(f"{self.name} closed the connection."))
            return
        try:
            self._decoder.receive(data)
            while self.state in (State.OPEN, State.HANDSHAKE):
                frame = self._decoder.next_frame()
                if frame is None:
                    break
                if self.state is State.OPEN:
                    self._take(frame)
                else:
                    self._shake(frame)
        except ProtocolViolation as violation:
            self.close(violation)
        self._watch()

    def _shake(self, frame: Frame) -> None:
        handshake = self._server or self._client
        assert handshake is not None
        try:
            answer = handshake.receive(frame)
        except MinkaError as error:
            self._refuse(error)
            return
        if answer is not None:
            self.send(answer)
        if handshake.done:
            keys = handshake.keys
            self._encoder.seal(keys.send, bodies=keys.bodies)
            self._decoder.seal(keys.receive, bodies=keys.bodies)
            if self._client is not None and self._client.peer["id"] != self.about.id:
                self.close(Refused(f"{self.name} is worker {self._client.peer['id']!r}."))
                return
            if self._server is not None:
                self.about = self._server.about
                self.name = f"{self.about.role} {self.about.id}"
            if self._deadline is not None:
                self._deadline.cancel()
            self.state = State.OPEN
            self._owner.opened(self)

    def _refuse(self, error: MinkaError) -> None:
        if self._server is None:
            self.close(error)
            return
        self.send(refusal(error))
        self.state = State.CLOSING
        self.flush()

    def _take(self, frame: Frame) -> None:
        if frame.type in (FrameType.REPLY, FrameType.FAILURE):
            number = frame.header.get("id")
            if type(number) is not int:
                raise ProtocolViolation("An answer needs the id of its request.")
            done, timer = self._calls.pop(number, (None, None))
            if timer is not None:
                timer.cancel()
            if done is not None:  # else: it came after its time
                answer = frame.header if frame.type is FrameType.REPLY else from_failure(frame.header)
                done(answer, frame.body)
            return
        if frame.type is FrameType.REQUEST:
            if type(frame.header.get("id")) is not int or type(frame.header.get("op")) is not str:
                raise ProtocolViolation("A request needs an id and an op.")
            self._unanswered += 1
            self._unanswered_bytes += len(frame.body)
        elif frame.type not in (FrameType.NOTICE, FrameType.RAFT):
            raise ProtocolViolation(f"A {frame.type.name} frame after the handshake.")
        self._owner.received(self, frame)

    def _flush_turn(self) -> None:
        self._flushing = False
        if self.state is not State.CLOSED:
            self.flush()

    def flush(self) -> None:
        """Give the socket all that it takes now."""
        try:
            while self._out and self.state is not State.CLOSED:
                if len(self._out) > 1 and len(self._out[0]) < _JOIN_BYTES:
                    self._join()
                piece = self._out[0]
                sent = self._socket.send(piece)
                self._out_bytes -= sent
                if sent == len(piece):
                    self._out.popleft()
                else:
                    self._out[0] = memoryview(piece)[sent:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.close(Unreachable(f"The connection to {self.name} broke: {error.strerror or error}."))
            return
        if self.state is State.CLOSING and not self._out:
            self.close(Refused("The handshake was refused."))
            return
        self._watch()

    def _join(self) -> None:
        """Small frames that wait one after the other leave in one call."""
        pieces: list[bytes | memoryview] = []
        size_bytes = 0
        while self._out and size_bytes < _JOIN_BYTES:
            pieces.append(self._out.popleft())
            size_bytes += len(pieces[-1])
        self._out.appendleft(b"".join(pieces))

    def _late(self, number: int, op: str) -> None:
        self._end_call(number, TimedOut(f"{self.name} did not answer {op!r} in time."))

    def _end_call(self, number: int, error: MinkaError) -> None:
        done, timer = self._calls.pop(number, (None, None))
        if timer is not None:
            timer.cancel()
        if done is not None:
            done(error, b"")

    def _handshake_late(self) -> None:
        self._deadline = None
        self.close(TimedOut(f"{self.name} did not finish the handshake in time."))


def _set_options(sock: socket.socket) -> None:
    """Small frames leave at once, and a machine that has vanished is found out within two minutes or so."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Request:
    """One request of the other side; it is answered once."""

    __slots__ = ("_connection", "_id", "body", "fields", "op")

    def __init__(self, connection: Connection, frame: Frame) -> None:
        self._connection: Connection | None = connection
        self._id: int = frame.header["id"]
        self.op: str = frame.header["op"]
        self.fields = frame.header
        self.body = frame.body

    @property
    def about(self) -> Introduction:
        """Who asks."""
        return self._connection.about if self._connection is not None else Introduction("", "", "", "")

    @property
    def connected(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self._connection is not None and self._connection.state is State.OPEN

    def reply(self, fields: dict[str, Any], body: bytes = b"") -> None:
        """Answer; what does not fit a frame becomes a refusal."""
        try:
            self._answer(Frame(FrameType.REPLY, {**fields, "id": self._id}, body))
        except ProtocolMisuse as misuse:
            self.fail(Refused(f"The answer cannot be sent: {misuse}.", "Ask for less at a time."))

    def fail(self, error: MinkaError) -> None:
        self._answer(Frame(FrameType.FAILURE, {**failure_fields(error), "id": self._id}))

    def _answer(self, frame: Frame) -> None:
        connection = self._connection
        assert connection is not None, f"{self.op} was answered twice"
        connection.send(frame)
        self._connection = None
        connection.answered(len(self.body))
