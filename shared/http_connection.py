"""One client's connection to the HTTP server: what it may send when, and how long each thing may take."""

import enum
import selectors
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from shared.http1 import Data, End, Head, Limits, Request, RequestDecoder
from shared.http_deferred import Deferred
from shared.http_errors import AnswerTimeout, HttpError, RequestTimeout
from shared.http_events import HEARTBEAT, EventStream
from shared.http_responses import CONTINUE, Response, encode_head, encode_response, error_response

Answer = Response | EventStream | Deferred
RECEIVE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What a server takes from its clients; times in seconds.

    ``header_s`` runs from the first byte of a request to the end of its headers, ``body_s`` to its end,
    ``idle_s`` between requests, ``write_s`` since the client last took a byte, ``answer_s`` until a
    `Deferred` is completed. ``queue_bytes`` may wait for one client before it is dropped (events) or not read
    from.
    """

    request: Limits = field(default_factory=Limits)
    connections: int = 256
    connections_per_address: int = 128
    header_s: float = 10.0
    body_s: float = 60.0
    idle_s: float = 60.0
    write_s: float = 30.0
    answer_s: float = 300.0
    linger_s: float = 2.0
    heartbeat_s: float = 15.0
    queue_bytes: int = 4 * 1024 * 1024
    pending_calls: int = 65536


class Site(Protocol):
    """What a connection needs of the server that it belongs to."""

    limits: ServerLimits

    def now(self) -> float:
        """The monotonic time in seconds."""

    def admit(self, head: Head) -> None:
        """Raises `HttpError` for a request that is refused whatever its body is."""

    def answer(self, request: Request) -> Answer:
        """The handler's answer. Raises `HttpError` only."""

    def extra_headers(self) -> tuple[tuple[str, str], ...]:
        """Fields that go into every answer."""

    def watch(self, connection: "Connection", events: int) -> None:
        """Asks for these `selectors` events from now on; 0 for none."""

    def forget(self, connection: "Connection") -> None:
        """The connection is closed."""

    def call_soon(self, call: Callable[[], None]) -> None:
        """Runs `call` in the loop's thread."""


class Phase(enum.Enum):
    """Where a connection is in its exchange."""

    READING = "reading a request"
    ANSWERING = "waiting for a deferred answer"
    STREAMING = "listening to events"
    FLUSHING = "sending its last answer"
    LINGERING = "waiting for the client to close"
    CLOSED = "closed"


class Connection:
    """Reads requests in order, asks the site for each answer, writes it, and keeps the deadlines."""

    def __init__(self, sock: socket.socket, client: str, site: Site) -> None:
        self.sock = sock
        self.client = client
        self.phase = Phase.READING
        self._site = site
        self._decoder = RequestDecoder(site.limits.request)
        self._head: Head | None = None
        self._body: list[bytes] = []
        self._stream: EventStream | None = None
        self._output: deque[memoryview] = deque()
        self._output_bytes = 0
        self._written_at = site.now()
        self._deadline = site.now() + site.limits.header_s
        self._events = 0
        self._ended = False
        self._watch()

    def __repr__(self) -> str:
        return f"Connection({self.client}, {self.phase.value}, {self._output_bytes} bytes to send)"

    def ready(self, events: int) -> None:
        """The socket can be read or written."""
        if events & selectors.EVENT_READ:
            self._read()
        if events & selectors.EVENT_WRITE:
            self._flush()
            self._advance()
        self._watch()

    def expire(self) -> None:
        """Ends what has taken longer than its limit, and keeps an event stream alive."""
        now, limits = self._site.now(), self._site.limits
        if self._output and now >= self._written_at + limits.write_s:
            self.close()
        elif self.phase is Phase.STREAMING:
            if now >= self._written_at + limits.heartbeat_s:
                self.offer(HEARTBEAT)
        elif self.phase is not Phase.FLUSHING and now >= self._deadline:
            self._overdue()
        self._watch()

    def offer(self, data: bytes) -> bool:
        """Queues events for a client that listens; drops it when too much waits already."""
        if self.phase is not Phase.STREAMING:
            return False
        if self._output and self._output_bytes + len(data) > self._site.limits.queue_bytes:
            self.close()
            return False
        self._write(data)
        self._watch()
        return self.phase is Phase.STREAMING

    def close(self) -> None:
        """Closes the socket at once; twice is harmless."""
        if self.phase is Phase.CLOSED:
            return
        self.phase = Phase.CLOSED
        self._output.clear()
        self._watch()
        self._site.forget(self)
        if self._stream is not None:
            self._stream.unsubscribe(self)
        self.sock.close()

    def _overdue(self) -> None:
        if self.phase is Phase.ANSWERING:
            self._refuse(AnswerTimeout("The answer did not come in time."))
        elif self.phase is Phase.READING and not (self._head is None and self._decoder.between_requests):
            self._refuse(RequestTimeout("The request did not arrive in time."))
        else:
            self.close()

    def _read(self) -> None:
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()
            return
        if not data:
            self._end()
        elif self.phase in (Phase.READING, Phase.ANSWERING):
            if self.phase is Phase.READING and self._head is None and self._decoder.between_requests:
                self._deadline = self._site.now() + self._site.limits.header_s
            self._decoder.receive(data)
            self._advance()

    def _end(self) -> None:
        """The client sends no more; what it was already answered still goes out."""
        self._ended = True
        if self._output and self.phase in (Phase.READING, Phase.FLUSHING):
            self.phase = Phase.FLUSHING
        else:
            self.close()

    def _advance(self) -> None:
        """Takes requests from what was received, one after the other, while their answers find room."""
        try:
            while self.phase is Phase.READING and self._output_bytes <= self._site.limits.queue_bytes:
                event = self._decoder.next_event()
                match event:
                    case None:
                        return
                    case Head():
                        self._begin(event)
                    case Data():
                        self._body.append(event.data)
                    case End():
                        self._dispatch()
        except HttpError as error:
            self._refuse(error)

    def _begin(self, head: Head) -> None:
        self._head = head
        self._body = []
        self._deadline = self._site.now() + self._site.limits.body_s
        self._site.admit(head)
        if head.expects_continue and not self._decoder.buffered_bytes:
            self._write(CONTINUE)

    def _dispatch(self) -> None:
        assert self._head is not None
        request = Request(self._head, b"".join(self._body), self.client)
        self._body = []
        try:
            answer = self._site.answer(request)
        except HttpError as error:
            self._respond(error_response(error), close=error.fatal)
            return
        match answer:
            case Response():
                self._respond(answer)
            case Deferred():
                self.phase = Phase.ANSWERING
                self._deadline = self._site.now() + self._site.limits.answer_s
                answer.deliver_to(
                    lambda response: self._site.call_soon(lambda: self._complete(request, response))
                )
            case EventStream():
                self._listen(answer, request)

    def _complete(self, request: Request, response: Response) -> None:
        """The deferred answer came; it is dropped when the client or the time has gone."""
        if self.phase is not Phase.ANSWERING or request.head is not self._head:
            return
        self._respond(response)
        self._advance()
        self._watch()

    def _listen(self, stream: EventStream, request: Request) -> None:
        if request.method == "HEAD":
            self._respond(Response(200, (("Content-Type", "text/event-stream"),)))
            return
        fields = (
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        )
        self.phase = Phase.STREAMING
        self._write(encode_head(200, fields + self._site.extra_headers()))
        self._stream = stream
        stream.subscribe(self, request)

    def _respond(self, response: Response, *, close: bool = False) -> None:
        head, self._head = self._head, None
        keep_alive = head is not None and head.keep_alive and not close
        head_only = head is not None and head.method == "HEAD"
        extra = self._site.extra_headers()
        self.phase = Phase.READING if keep_alive else Phase.FLUSHING
        limits = self._site.limits
        between = self._decoder.between_requests
        self._deadline = self._site.now() + (limits.idle_s if between else limits.header_s)
        self._write(encode_response(response, keep_alive=keep_alive, head_only=head_only, extra=extra))

    def _refuse(self, error: HttpError) -> None:
        """Answers a request that will not be read further; what follows it cannot be trusted."""
        self._respond(error_response(error), close=True)

    def _write(self, data: bytes) -> None:
        if not self._output:
            self._written_at = self._site.now()
        self._output.append(memoryview(data))
        self._output_bytes += len(data)
        self._flush()

    def _flush(self) -> None:
        while self._output:
            try:
                sent = self.sock.send(self._output[0])
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self.close()
                return
            self._written_at = self._site.now()
            self._output_bytes -= sent
            if sent == len(self._output[0]):
                self._output.popleft()
            else:
                self._output[0] = self._output[0][sent:]
        if self.phase is Phase.FLUSHING:
            self.close() if self._ended else self._linger()

    def _linger(self) -> None:
        """Sends the end of stream and reads on for a moment: closing with unread bytes would reset the
        connection, and the client might lose the answer (RFC 9112 section 9.6)."""
        self.phase = Phase.LINGERING
        self._deadline = self._site.now() + self._site.limits.linger_s
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def _watch(self) -> None:
        events = 0
        if self.phase is not Phase.CLOSED:
            waiting = self._decoder.buffered_bytes if self.phase is not Phase.LINGERING else 0
            room = waiting <= RECEIVE_BYTES and self._output_bytes <= self._site.limits.queue_bytes
            if room and not self._ended:
                events |= selectors.EVENT_READ
            if self._output:
                events |= selectors.EVENT_WRITE
        if events != self._events:
            self._events = events
            self._site.watch(self, events)
