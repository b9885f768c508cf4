"""A blocking stream of frames over one TCP connection, for clients and child processes.

One thread may receive while another sends. This is the one place on their side where `OSError` is mapped to the
families of `shared.errors`.
"""

import math
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

from shared.errors import ProtocolViolation, TimedOut, Unreachable
from shared.frames import Frame, FrameDecoder, FrameEncoder, ProtocolMisuse
from shared.handshake import ClientHandshake, Introduction, SessionKeys

RECEIVE_BYTES: Final = 256 << 10

# One file descriptor costs nothing with poll; Windows has select only, without a limit on descriptor numbers.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class _Deadline:
    """A moment after which waiting ends; never, for None."""

    def __init__(self, timeout_s: float | None) -> None:
        self._at = math.inf if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """Seconds left, at least 0, or None for ever."""
        return None if self._at == math.inf else max(0.0, self._at - time.monotonic())


class FrameStream:
    """Frames over a connected socket. Close it, or use it as a context manager.

    ``peer`` says who is at the other end: the "id" and the "cluster" that it has proved.
    """

    def __init__(self, connection: socket.socket, name: str) -> None:
        """Takes over `connection`; `name` is how errors call the other side, such as "host:port"."""
        self.peer: dict[str, str] = {}
        self._name = name
        self._socket = connection
        self._socket.setblocking(False)
        self._encoder = FrameEncoder()
        self._decoder = FrameDecoder()
        self._received = memoryview(bytearray(RECEIVE_BYTES))
        self._sending = threading.Lock()
        self._receiving = threading.Lock()
        self._closed = threading.Event()
        self._closing = threading.Lock()
        self._wakes, self._waker = socket.socketpair()
        self._readable = self._selector(selectors.EVENT_READ)
        self._writable = self._selector(selectors.EVENT_WRITE)

    def _selector(self, event: int) -> selectors.BaseSelector:
        selector = _Selector()
        selector.register(self._socket, event)
        selector.register(self._wakes, selectors.EVENT_READ)
        return selector

    def __repr__(self) -> str:
        return f"<FrameStream {self._name} {'closed' if self._closed.is_set() else self._decoder}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fileno(self) -> int:
        """The socket's descriptor; -1 once closed. Readable does not yet mean that a whole frame is there."""
        return self._socket.fileno()

    def seal(self, keys: SessionKeys) -> None:
        """Seals all later frames, of both directions."""
        self._encoder.seal(keys.send, bodies=keys.bodies)
        self._decoder.seal(keys.receive, bodies=keys.bodies)

    def send(self, frame: Frame, timeout_s: float | None = None) -> None:
        """Sends one frame, whole, waiting at most `timeout_s` seconds for the network to take it.

        Raises `Unreachable` or `TimedOut`: then the frame was not sent whole, so that the other side has not acted
        on it, and the stream is closed. Frames of several threads never mix.
        """
        deadline = _Deadline(timeout_s)
        try:
            with self._sending, self._mapping_errors():
                left = memoryview(self._encoder.encode(frame))
                while left:
                    try:
                        left = left[self._socket.send(left) :]
                    except BlockingIOError:
                        self._wait(self._writable, deadline, "take what was sent")
        except ProtocolMisuse:
            raise  # nothing was sent
        except BaseException:
            self.close()
            raise

    def receive(self, timeout_s: float | None = None) -> Frame:
        """The next frame, waiting at most `timeout_s` seconds for it (None: for ever; 0: not at all).

        Raises `TimedOut`, after which the stream is as before and no byte is lost: call again. Raises `Unreachable`
        when the connection has ended, `ProtocolViolation` when the other side broke the protocol; the stream is
        then closed.
        """
        deadline = _Deadline(timeout_s)
        try:
            with self._receiving, self._mapping_errors():
                while (frame := self._decoder.next_frame()) is None:
                    try:
                        size_bytes = self._socket.recv_into(self._received)
                    except BlockingIOError:
                        self._wait(self._readable, deadline, "answer")
                        continue
                    if size_bytes == 0:
                        self._check_open()
                        middle = " in the middle of a frame" if self._decoder.pending_bytes else ""
                        raise Unreachable(f"{self._name} closed the connection{middle}.", "Try again.")
                    self._decoder.receive(self._received[:size_bytes])
                return frame
        except (Unreachable, ProtocolViolation):
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection. A `send` or `receive` that waits in another thread raises `Unreachable`."""
        with self._closing:
            if self._closed.is_set():
                return
            self._closed.set()
        try:
            self._waker.send(b"\0")
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was faster
        # Descriptors are closed only when no other thread can be inside them: their numbers are used again at once.
        with self._sending, self._receiving:
            self._readable.close()
            self._writable.close()
            self._wakes.close()
            self._waker.close()
            self._socket.close()

    def _wait(self, selector: selectors.BaseSelector, deadline: _Deadline, what: str) -> None:
        """Waits until the socket may be tried again. It was tried just now: so a spent deadline ends here."""
        left_s = deadline.left_s()
        if left_s == 0.0:
            raise TimedOut(f"{self._name} did not {what} in time.", "Try again, or allow more time.")
        selector.select(left_s)
        self._check_open()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise Unreachable(f"The connection to {self._name} was closed.")

    @contextmanager
    def _mapping_errors(self) -> Iterator[None]:
        self._check_open()
        try:
            yield
        except OSError as error:
            self._check_open()
            raise Unreachable(
                f"The connection to {self._name} broke: {error.strerror or error}.", "Try again."
            ) from error


def connect(address: tuple[str, int], about: Introduction, key: bytes, timeout_s: float) -> FrameStream:
    """Connects to a worker and proves `key` for the role of `about`, within `timeout_s` seconds in all.

    Only the look-up of a host's name may take longer: the system sets its limit. Raises `Unreachable` when nobody
    listens there, `TimedOut`, `AccessDenied` when either side could not prove the key, `Refused` by a worker of
    another cluster, `Busy` by one that takes no more connections, `ProtocolViolation` when it is no worker of Minka.
    """
    deadline = _Deadline(timeout_s)
    name = f"{address[0]}:{address[1]}"
    connection = _open(address, name, deadline)
    try:
        stream = FrameStream(connection, name)
    except OSError as error:
        connection.close()
        raise Unreachable(f"No connection can be made: {error.strerror}.", "Close other programs.") from error
    try:
        handshake = ClientHandshake(about, key)
        answer: Frame | None = handshake.hello()
        while not handshake.done:
            if answer is not None:
                stream.send(answer, deadline.left_s())
            answer = handshake.receive(stream.receive(deadline.left_s()))
        stream.seal(handshake.keys)
        stream.peer = handshake.peer
    except BaseException:
        stream.close()
        raise
    return stream


def _open(address: tuple[str, int], name: str, deadline: _Deadline) -> socket.socket:
    """Tries the addresses of a host in turn, each with a fair part of the time that is left."""
    advice = "Check that a worker runs there, and that no firewall is between."
    try:
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "its name cannot be looked up"
        raise Unreachable(f"The host {address[0]} is not known: {reason}.", advice) from error
    failure: OSError = OSError("it has no address")
    for position, (family, kind, protocol, _, target) in enumerate(found):
        left_s = deadline.left_s() or 0.0
        try:
            return _reach(socket.socket(family, kind, protocol), target, left_s / (len(found) - position))
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise TimedOut(f"{name} did not answer in time.", advice) from failure
    raise Unreachable(f"{name} cannot be reached: {failure.strerror or failure}.", advice) from failure


def _reach(connection: socket.socket, target: tuple[Any, ...], timeout_s: float) -> socket.socket:
    try:
        connection.settimeout(max(timeout_s, 0.001))
        connection.connect(target)
        if connection.getsockname() == connection.getpeername():
            # TCP can meet itself on a free local port.
            raise ConnectionRefusedError("nobody listens there")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        connection.close()
        raise
    return connection
