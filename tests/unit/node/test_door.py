"""The listening socket: whoever comes is taken in, or sent away, and the worker goes on."""

import errno
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import ProtocolViolation, Refused, Unreachable
from shared.frames import Frame, FrameType
from shared.handshake import Introduction
from tests.unit.node.fakes import SocketLoop
from worker import door
from worker.door import Door
from worker.raft.errors import Violation


class Caller:
    """A connection, as far as the door looks at it."""

    def __init__(self, role: str, channel: str) -> None:
        self.about = Introduction(role, "w2", channel, "")
        self.name = f"{role} w2"


class Bench:
    def __init__(self, listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.loop = SocketLoop()
        self.logged: list[str] = []
        self.lost: list[str] = []
        self.rows: list[Any] = []
        self.node: Any = SimpleNamespace(
            loop=self.loop,
            cluster="c",
            settings=SimpleNamespace(
                id="w1", listen=listen, keys=SimpleNamespace(cluster=bytes(32), client=bytes(32))
            ),
            log=self.logged.append,
            peer_lost=self.lost.append,
            hear=lambda message: None,
            links=SimpleNamespace(told=lambda peer, row: self.rows.append((peer, row))),
        )
        self.door = Door(self.node)
        self.callers: list[socket.socket] = []

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.door._socket.getsockname()
        return host, port

    def call(self) -> socket.socket:
        self.callers.append(socket.create_connection(self.address))
        return self.callers[-1]

    def taken(self) -> int:
        return len(self.door._connections)

    def close(self) -> None:
        self.door.close(Unreachable("The test is over."))
        for caller in self.callers:
            caller.close()
        self.loop.selector.close()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_a_caller_is_taken_in_and_forgotten_when_it_leaves(bench: Bench) -> None:
    caller = bench.call()
    bench.loop.until(lambda: bench.taken() == 1)
    caller.close()
    bench.loop.until(lambda: bench.taken() == 0)


def test_more_callers_than_there_is_room_for_are_sent_away(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "CONNECTIONS_LIMIT", 2)
    for _ in range(2):
        bench.call()
    bench.loop.until(lambda: bench.taken() == 2)
    third = bench.call()
    third.setblocking(False)

    def sent_away() -> bool:
        try:
            return third.recv(1) == b""
        except BlockingIOError:
            return False

    bench.loop.until(sent_away)
    assert bench.taken() == 2


def test_without_descriptors_the_door_rests_and_opens_again(bench: Bench) -> None:
    class Exhausted:
        """The socket of a process that may open nothing more."""

        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock
            self.tried = 0

        def accept(self) -> Any:
            self.tried += 1
            raise OSError(errno.EMFILE, "Too many open files")

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sock, name)

    real = bench.door._socket
    exhausted: Any = Exhausted(real)
    bench.door._socket = exhausted
    bench.call()
    bench.loop.until(lambda: exhausted.tried)
    bench.loop.turn(20)
    assert exhausted.tried == 1
    bench.door._socket = real
    bench.loop.advance(door.ACCEPT_PAUSE_S)
    bench.loop.until(lambda: bench.taken() == 1)


def test_a_taken_address_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match="Cannot listen"):
        Bench(bench.address)


@pytest.mark.parametrize(
    ("role", "frame"),
    [
        ("client", Frame(FrameType.RAFT, {"kind": "vote"})),
        ("client", Frame(FrameType.NOTICE, {"about": "row", "row": {}})),
        ("worker", Frame(FrameType.NOTICE, {"about": "weather"})),
        ("worker", Frame(FrameType.RAFT, {"kind": "dance"})),
    ],
)
def test_what_somebody_may_not_say_is_a_violation(bench: Bench, role: str, frame: Frame) -> None:
    connection: Any = Caller(role, "raft")
    with pytest.raises(ProtocolViolation):
        bench.door.received(connection, frame)


def test_a_message_that_no_correct_peer_sends_is_a_violation(bench: Bench) -> None:
    def hear(message: Any) -> None:
        raise Violation("two leaders in one term")

    bench.node.hear = hear
    connection: Any = Caller("worker", "raft")
    with pytest.raises(ProtocolViolation, match="two leaders"):
        bench.door.received(connection, Frame(FrameType.RAFT, {"kind": "timeout_now", "term": 3}))


def test_a_peers_row_goes_to_the_links(bench: Bench) -> None:
    connection: Any = Caller("worker", "bulk")
    bench.door.received(connection, Frame(FrameType.NOTICE, {"about": "row", "row": {"term": 3}}))
    assert bench.rows == [("w2", {"term": 3})]


@pytest.mark.parametrize(("channel", "lost"), [("raft", ["w2"]), ("bulk", [])])
def test_only_the_loss_of_the_raft_channel_is_evidence_of_a_crash(
    bench: Bench, channel: str, lost: list[str]
) -> None:
    connection: Any = Caller("worker", channel)
    bench.door.closed(connection, Unreachable("It closed."))
    bench.door.closed(connection, ProtocolViolation("It sent garbage."))
    assert bench.lost == lost * 2
    assert len(bench.logged) == 1
