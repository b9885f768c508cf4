"""A small HTTP/1.1 server over plain sockets: one `selectors` loop, no thread, no global state.

The handler is called in the loop's thread and answers at once with a `Response`, with an `EventStream` that
the client then listens to, or with a `Deferred` that another thread completes. Deadlines and limits are those
of `ServerLimits`. Every answer carries the security headers; a request whose Host is not ours is refused.
"""

import errno
import heapq
import ipaddress
import itertools
import logging
import selectors
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from email.utils import formatdate
from types import TracebackType
from typing import Protocol, Self

from shared.errors import Busy
from shared.http1 import Head, Request
from shared.http_connection import Answer, Connection, ServerLimits
from shared.http_errors import HttpError, InternalError, MisdirectedRequest, ServiceUnavailable
from shared.http_responses import encode_response, error_response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; font-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
SWEEP_S = 0.5
ACCEPT_PAUSE_S = 0.5
_OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Handler = Callable[[Request], Answer]
HostRule = Callable[[str], bool]

log = logging.getLogger(__name__)


class HasFileno(Protocol):
    """A socket, or what wraps one."""

    def fileno(self) -> int:
        """The socket's descriptor."""


def literal_host(host: str) -> bool:
    """True for localhost and for an address in digits: no page of another site can have that name."""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


class HttpServer:
    """Listens from construction on (port 0: any free one, see `address`); serves in `serve_forever`.

    ``allows_host(name)`` is asked about the Host of every request: lower case, no port, IPv6 in brackets.
    Raises OSError when the address cannot be bound.
    """

    def __init__(
        self,
        listen: tuple[str, int],
        handler: Handler,
        *,
        allows_host: HostRule = literal_host,
        limits: ServerLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits if limits is not None else ServerLimits()
        self._handler = handler
        self._allows_host = allows_host
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._connections: dict[Connection, int] = {}
        self._per_address: Counter[str] = Counter()
        self._calls: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_numbers = itertools.count()
        self._stopping = False
        self._sweep_at = float("inf")
        self._date = (0, "")
        self._listener = _listen(listen)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self.add_reader(self._listener, self._accept)
        self.add_reader(self._wake_receiver, self._drain_wake)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def serve_forever(self) -> None:
        """Turns the loop until `stop`, then closes every socket."""
        try:
            while not self._stopping:
                self.turn()
        finally:
            self.close()

    def stop(self) -> None:
        """Ends `serve_forever`; from any thread or signal handler."""
        self._stopping = True
        self._wake()

    def close(self) -> None:
        """Closes every socket of the server; twice is harmless."""
        for connection in list(self._connections):
            connection.close()
        self._selector.close()
        for sock in (self._listener, self._wake_receiver, self._wake_sender):
            sock.close()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Runs `call` in the loop's thread; from any thread. Raises `Busy` when too many wait already."""
        if len(self._calls) >= self.limits.pending_calls:
            raise Busy("The local server has too much to do.", "Try again in a moment.")
        self._calls.append(call)
        self._wake()

    def call_later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Runs `call` in the loop after `delay_s` seconds; only from the loop's own thread."""
        heapq.heappush(self._timers, (self._clock() + delay_s, next(self._timer_numbers), call))

    def add_reader(self, sock: HasFileno, callback: Callable[[], None]) -> None:
        """Calls `callback` in the loop whenever `sock` can be read."""
        self._selector.register(sock, selectors.EVENT_READ, lambda _events: callback())

    def remove_reader(self, sock: HasFileno) -> None:
        """Undoes `add_reader`, before the socket is closed."""
        self._selector.unregister(sock)

    def turn(self, wait_s: float | None = None) -> None:
        """One turn of the loop: waits for a socket, a call or a deadline, at most `wait_s`, serves them."""
        due = min(self._sweep_at, self._timers[0][0] if self._timers else float("inf"))
        until_due = 0.0 if self._calls else max(0.0, due - self._clock())
        wait = until_due if wait_s is None else min(wait_s, until_due)
        for key, events in self._selector.select(None if wait == float("inf") else wait):
            key.data(events)
        for _ in range(len(self._calls)):
            self._calls.popleft()()
        now = self._clock()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if now >= self._sweep_at:
            for connection in list(self._connections):
                connection.expire()
            self._sweep_at = now + SWEEP_S if self._connections else float("inf")

    def _accept(self) -> None:
        try:
            sock, peer = self._listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_FILES:
                self.remove_reader(self._listener)
                self.call_later(ACCEPT_PAUSE_S, lambda: self.add_reader(self._listener, self._accept))
            return
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # some systems refuse options for a client that has gone already
            sock.close()
            return
        client = str(peer[0])
        limits = self.limits
        full = len(self._connections) >= limits.connections
        if full or self._per_address[client] >= limits.connections_per_address:
            _turn_away(sock)
            return
        self._per_address[client] += 1
        Connection(sock, client, self)
        self._sweep_at = min(self._sweep_at, self._clock() + SWEEP_S)

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"\0")
        except OSError:
            return

    def _drain_wake(self) -> None:
        self._wake_receiver.recv(4096)

    # What a connection asks of its server (`Site`).

    def now(self) -> float:
        """The monotonic time in seconds."""
        return self._clock()

    def admit(self, head: Head) -> None:
        """Refuses a request for a host that is not ours."""
        if head.host and not self._allows_host(head.host):
            raise MisdirectedRequest("This server does not go by that name.")

    def answer(self, request: Request) -> Answer:
        """The handler's answer; what it raises beside `HttpError` is a bug, logged and answered with 500."""
        try:
            return self._handler(request)
        except HttpError:
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            raise InternalError("The server failed on this request.") from error

    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """The security headers and the date."""
        second = int(time.time())
        if second != self._date[0]:
            self._date = (second, formatdate(second, usegmt=True))
        return (*SECURITY_HEADERS, ("Date", self._date[1]))

    def watch(self, connection: Connection, events: int) -> None:
        """Registers, changes or removes what the loop waits for on a connection."""
        before = self._connections.get(connection, 0)
        self._connections[connection] = events
        if before and events:
            self._selector.modify(connection.sock, events, connection.ready)
        elif events:
            self._selector.register(connection.sock, events, connection.ready)
        elif before:
            self._selector.unregister(connection.sock)

    def forget(self, connection: Connection) -> None:
        """Counts a closed connection out."""
        del self._connections[connection]
        self._per_address[connection.client] -= 1
        if not self._per_address[connection.client]:
            del self._per_address[connection.client]


def _listen(listen: tuple[str, int]) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(*listen, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _turn_away(sock: socket.socket) -> None:
    """Tells a client that the server is full, if its socket takes the answer at once."""
    busy = error_response(ServiceUnavailable("Too many connections.", (("Retry-After", "5"),)))
    try:
        sock.send(encode_response(busy, keep_alive=False))
    except OSError:
        pass
    finally:
        sock.close()
