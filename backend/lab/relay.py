"""One door before each worker, through which the others reach it, and which is shut for some of them.

Who comes is said in the first frame of a connection (HELLO, docs/protocol.md), which is not encrypted. A cut link is
silent, as a pulled cable is: nothing is refused and nothing arrives, until it is mended.
"""

import contextlib
import selectors
import socket
from collections import deque
from collections.abc import Callable

from backend.addresses import Address
from shared.errors import ProtocolViolation
from shared.frames import FrameDecoder

PIECE_BYTES = 256 * 1024
WAITING_BYTES = 1_048_576
CONNECTIONS_LIMIT = 512
POLL_S = 0.5


class _Pipe:
    """One way of one connection: what was read there and is not yet written here."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.source, self.target = source, target
        self.waiting = bytearray()
        self.ended = False


class _Pair:
    """A connection from a worker, or a client, to the worker behind the door."""

    def __init__(self, near: socket.socket, far: socket.socket, owner: str) -> None:
        self.there, self.back = _Pipe(near, far), _Pipe(far, near)
        self.owner = owner
        self.comes_from: str | None = None
        """Id of a worker, "" of a client; None while it has not said."""
        self.said = FrameDecoder()


class Relays:
    """Every door of a cluster, in one thread. `cut` and `mend` may be called from another one."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._pairs: set[_Pair] = set()
        self._cuts: frozenset[frozenset[str]] = frozenset()
        self._calls: deque[Callable[[], None]] = deque()
        self._wakes, self._waker = socket.socketpair()
        self._wakes.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ, lambda _: self._wakes.recv(4096))
        self._doors: list[socket.socket] = []
        self._over = False

    def add(self, worker: str, door: Address, behind: Address) -> None:
        """Listen at `door` for what is meant for `worker`, which listens at `behind`. Raises OSError."""
        listener = socket.create_server(door, backlog=64)
        listener.setblocking(False)
        self._doors.append(listener)
        self._selector.register(
            listener, selectors.EVENT_READ, lambda _: self._accept(listener, worker, behind)
        )

    @property
    def cuts(self) -> frozenset[frozenset[str]]:
        """The links that are cut, each the ids of two workers."""
        return self._cuts

    def cut(self, one: str, other: str) -> None:
        """Nothing passes between these two any more."""
        self._change(self._cuts | {frozenset((one, other))})

    def mend(self, one: str, other: str) -> None:
        """What waits goes on, and so does what follows."""
        self._change(self._cuts - {frozenset((one, other))})

    def _change(self, cuts: frozenset[frozenset[str]]) -> None:
        def apply() -> None:
            self._cuts = cuts
            for pair in list(self._pairs):
                self._watch(pair)

        self._cuts = cuts
        self._calls.append(apply)
        self._waker.send(b"\0")

    def run(self) -> None:
        """Carry bytes until `stop`."""
        while not self._over:
            for key, events in self._selector.select(POLL_S):
                key.data(events)
            while self._calls:
                self._calls.popleft()()
        for pair in list(self._pairs):
            self._drop(pair)
        for sock in (*self._doors, self._wakes, self._waker):
            sock.close()
        self._selector.close()

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._over = True
        self._waker.send(b"\0")

    def _accept(self, listener: socket.socket, worker: str, behind: Address) -> None:
        try:
            near, _ = listener.accept()
        except OSError:
            return
        far = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        for sock in (near, far):
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self._pairs) >= CONNECTIONS_LIMIT:
            near.close()
            far.close()
            return
        far.connect_ex(behind)
        pair = _Pair(near, far, worker)
        self._pairs.add(pair)
        self._watch(pair)

    def _is_cut(self, pair: _Pair) -> bool:
        return pair.comes_from is not None and frozenset((pair.comes_from, pair.owner)) in self._cuts

    def _watch(self, pair: _Pair) -> None:
        """Wait for what can go on: nothing is written over a cut link, but whoever gives up a connection is let go."""
        if pair not in self._pairs:
            return
        cut = self._is_cut(pair)
        for reads, writes in ((pair.there, pair.back), (pair.back, pair.there)):
            events = 0
            if not reads.ended and len(reads.waiting) < WAITING_BYTES:
                events |= selectors.EVENT_READ
            if not cut and writes.waiting and (reads is pair.there or pair.comes_from is not None):
                events |= selectors.EVENT_WRITE
            self._select(reads.source, events, pair)

    def _select(self, sock: socket.socket, events: int, pair: _Pair) -> None:
        known = sock in self._selector.get_map()
        if events and known:
            self._selector.modify(sock, events, lambda seen: self._ready(pair, sock, seen))
        elif events:
            self._selector.register(sock, events, lambda seen: self._ready(pair, sock, seen))
        elif known:
            self._selector.unregister(sock)

    def _ready(self, pair: _Pair, sock: socket.socket, events: int) -> None:
        if pair not in self._pairs:
            return
        reads = pair.there if sock is pair.there.source else pair.back
        writes = pair.back if reads is pair.there else pair.there
        try:
            if events & selectors.EVENT_READ:
                self._read(pair, reads)
            if events & selectors.EVENT_WRITE and writes.waiting:
                del writes.waiting[: sock.send(writes.waiting[:PIECE_BYTES])]
        except (BlockingIOError, InterruptedError):
            pass
        except (OSError, ProtocolViolation):
            self._drop(pair)
            return
        cut = self._is_cut(pair)
        if any(pipe.ended and (cut or not pipe.waiting) for pipe in (reads, writes)):
            self._drop(pair)
        else:
            self._watch(pair)

    def _read(self, pair: _Pair, pipe: _Pipe) -> None:
        data = pipe.source.recv(PIECE_BYTES)
        if not data:
            pipe.ended = True
            return
        pipe.waiting += data
        if pipe is pair.there and pair.comes_from is None:
            pair.said.receive(data)
            hello = pair.said.next_frame()
            if hello is not None:
                worker = hello.header.get("role") == "worker"
                pair.comes_from = str(hello.header.get("id")) if worker else ""

    def _drop(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        for sock in (pair.there.source, pair.back.source):
            if sock in self._selector.get_map():
                self._selector.unregister(sock)
            sock.close()
