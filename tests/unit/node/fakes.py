"""Stand-ins for what surrounds a part of the node: time, transfer threads, peers, and who asks."""

import heapq
import itertools
import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from shared.errors import MinkaError, Unreachable
from worker.connections import Done
from worker.loop import Callback, Timer


class FakeLoop:
    """The loop without sockets; `advance` is time, and what was posted runs with it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[Timer] = []
        self._order = itertools.count()
        self._posted: deque[Callback] = deque()

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        timer = Timer(self.now + delay_s, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        return timer

    def at_turns_end(self, callback: Callback) -> None:
        self.post(callback)

    def post(self, callback: Callback) -> None:
        self._posted.append(callback)

    def settle(self) -> None:
        """Run what was posted, and what that posts."""
        while self._posted:
            self._posted.popleft()()

    def advance(self, seconds: float) -> None:
        """Let time pass: every timer rings in order, at its own moment."""
        until = self.now + seconds
        self.settle()
        while self._timers and self._timers[0].due <= until:
            timer = heapq.heappop(self._timers)
            self.now = max(self.now, timer.due)
            if timer.callback is not None:
                timer.callback()
            self.settle()
        self.now = until

    @property
    def waiting(self) -> int:
        """Timers that would still ring."""
        return sum(timer.callback is not None for timer in self._timers)


class SocketLoop(FakeLoop):
    """Sockets are real, and looked at only in `turn`."""

    def __init__(self) -> None:
        super().__init__()
        self.selector = selectors.DefaultSelector()

    def watch(self, sock: socket.socket, events: int, ready: Callable[[int], None]) -> None:
        if sock.fileno() in self.selector.get_map():
            self.selector.modify(sock, events, ready)
        else:
            self.selector.register(sock, events, ready)

    def forget(self, sock: socket.socket) -> None:
        if sock.fileno() in self.selector.get_map():
            self.selector.unregister(sock)

    def events(self, sock: socket.socket) -> int:
        found = self.selector.get_map().get(sock.fileno())
        return 0 if found is None else found.events

    def turn(self, turns: int = 1) -> None:
        for _ in range(turns):
            for key, mask in self.selector.select(0):
                key.data(mask)
            self.advance(0)

    def until(self, done: Callable[[], Any]) -> None:
        """Turn until `done`; sockets of one machine need no time, but for their buffers."""
        for _ in range(100_000):
            if done():
                return
            self.turn()
        raise AssertionError("it did not come about")


class FakeTransfers:
    """Transfer threads that work one after the other, when the loop settles."""

    def __init__(self, loop: FakeLoop) -> None:
        self._loop = loop

    def run(self, work: Callable[[], Any], finished: Callable[[Any, BaseException | None], None]) -> None:
        def task() -> None:
            result, error = None, None
            try:
                result = work()
            except Exception as caught:
                error = caught
            self._loop.post(lambda: finished(result, error))

        self._loop.post(task)


@dataclass
class Call:
    """A request that this worker made of a peer."""

    op: str
    fields: dict[str, Any]
    body: bytes
    done: Done
    over: bool = False

    def answer(self, fields: dict[str, Any] | MinkaError, body: bytes = b"") -> None:
        assert not self.over, "answered twice"
        self.over = True
        self.done(fields, body)


class FakeConnection:
    """A connection to a peer, who is asked and does not answer by itself."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.sent: list[Any] = []

    def call(
        self, op: str, fields: dict[str, Any], body: bytes, done: Done, timeout_s: float | None = None
    ) -> None:
        self.calls.append(Call(op, dict(fields), body, done))

    def send(self, frame: Any) -> None:
        self.sent.append(frame)

    def open_calls(self, op: str = "") -> list[Call]:
        return [call for call in self.calls if not call.over and op in ("", call.op)]

    def break_(self) -> None:
        for call in self.open_calls():
            call.answer(Unreachable("The connection broke."))


class FakeLinks:
    """The links to peers that the test connects and disconnects."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.peers: dict[str, FakeConnection] = {}
        self.rows: dict[str, Any] = {}

    def connect(self, peer: str) -> FakeConnection:
        self.peers[peer] = FakeConnection()
        return self.peers[peer]

    def connected(self) -> Iterator[tuple[str, FakeConnection]]:
        yield from self.peers.items()

    def bulk(self, peer: str) -> FakeConnection | None:
        return self.peers.get(peer)

    def reachable(self, peer: str) -> bool:
        return peer in self.peers


@dataclass
class FakeRequest:
    """Somebody's request; it remembers its one answer."""

    op: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    body: bytes = b""
    answer: tuple[dict[str, Any], bytes] | MinkaError | None = None

    def reply(self, fields: dict[str, Any], body: bytes = b"") -> None:
        assert self.answer is None, f"{self.op} was answered twice"
        self.answer = (fields, body)

    def fail(self, error: MinkaError) -> None:
        assert self.answer is None, f"{self.op} was answered twice"
        self.answer = error

    @property
    def header(self) -> dict[str, Any]:
        """What was replied; a failure is raised."""
        assert self.answer is not None, f"{self.op} was not answered"
        if isinstance(self.answer, MinkaError):
            raise self.answer
        return self.answer[0]


class FakeChild:
    """A child process that the test lets join and die."""

    def __init__(self, name: str, settings: Any = None) -> None:
        self.name = name
        self.settings = settings
        self.connection: FakeConnection | None = None
        self.joined: Callable[[], None] = lambda: None
        self.left: Callable[[MinkaError], None] = lambda error: None
        self.started = False
        self.restarts = 0

    def start(self) -> None:
        self.started = True

    def restart(self) -> None:
        self.restarts += 1
        self.die()

    def join(self) -> FakeConnection:
        self.connection = FakeConnection()
        self.joined()
        return self.connection

    def die(self) -> None:
        """As `Connection.close` does it: the owner hears first, then every call fails."""
        connection, self.connection = self.connection, None
        assert connection is not None
        self.left(Unreachable("It died."))
        for call in connection.open_calls():
            call.answer(Unreachable("It died."))


class FakeChildren:
    """The children of a node, by name."""

    def __init__(self) -> None:
        self.named: dict[str, FakeChild] = {}

    def add(self, name: str, module: str, settings: Any, environment: Any) -> FakeChild:
        self.named[name] = FakeChild(name, settings)
        return self.named[name]
