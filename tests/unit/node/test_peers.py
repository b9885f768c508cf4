"""Links to the other workers: dialled again whenever they break, and believed only as far as they make sense."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import MinkaError, ProtocolViolation, Unreachable
from shared.frames import Frame
from shared.handshake import ServerHandshake
from tests.unit.node.fakes import SocketLoop
from worker import connections, names, peers
from worker.connections import Connection, Owner
from worker.names import Names, is_in_digits, look_up
from worker.peers import ROW_FIELDS, PeerLinks
from worker.raft.messages import TimeoutNow

KEY = bytes(range(32))
ROW = {
    "role": "follower",
    "term": 3,
    "commit_index": 5,
    "applied_index": 5,
    "state_digest": "ab" * 32,
    "files": 1,
    "models": 0,
    "cores": 2,
    "monitor": "127.0.0.1:8001",
    "leader": "w1",
    "voters": ["w1", "w2"],
}


class Peer(Owner):
    """Worker w2: it accepts what w1 dials, and remembers what it is told."""

    def __init__(self, loop: SocketLoop, door: socket.socket) -> None:
        self.loop = loop
        self.door = door
        self.connections: list[Connection] = []
        self.frames: list[tuple[str, Frame]] = []
        door.setblocking(False)
        loop.watch(door, 1, self._accept)

    def _accept(self, _: int) -> None:
        sock, _address = self.door.accept()
        loop: Any = self.loop
        Connection.accept(loop, sock, ServerHandshake("w2", "c", {"worker": KEY}), self, "w1")

    def opened(self, connection: Connection) -> None:
        self.connections.append(connection)

    def closed(self, connection: Connection, error: MinkaError) -> None:
        if connection in self.connections:
            self.connections.remove(connection)

    def received(self, connection: Connection, frame: Frame) -> None:
        self.frames.append((connection.about.channel, frame))


class Bench:
    def __init__(self) -> None:
        self.loop = SocketLoop()
        self.lost: list[str] = []
        self.logged: list[str] = []
        loop: Any = self.loop
        self.links = PeerLinks(loop, "w1", "c", KEY, self.lost.append, self.logged.append)
        self.door = socket.create_server(("127.0.0.1", 0))
        self.peer = Peer(self.loop, self.door)

    def connect(self, host: str = "127.0.0.1") -> None:
        self.links.add("w2", (host, self.door.getsockname()[1]))
        self.until_connected()

    def until_connected(self) -> None:
        def connected() -> bool:
            self.loop.advance(0.01)
            both = {connection.about.channel for connection in self.peer.connections}
            return both == {"raft", "bulk"} and self.links.bulk("w2") is not None

        self.loop.until(connected)

    def hear(self) -> None:
        self.links.told("w2", ROW)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.links.close(Unreachable("The test is over."))
    bench.loop.forget(bench.door)
    bench.door.close()
    bench.loop.until(lambda: not bench.peer.connections)
    bench.loop.selector.close()


def test_messages_go_by_one_channel_and_the_rest_by_the_other(bench: Bench) -> None:
    bench.connect()
    bench.links.send(TimeoutNow("w2", "w1", 3))
    bench.links.tell({"id": "w1"})
    bench.loop.until(lambda: len(bench.peer.frames) == 2)
    assert {
        channel: frame.header.get("kind") or frame.header["about"] for channel, frame in bench.peer.frames
    } == {
        "raft": "timeout_now",
        "bulk": "row",
    }


def test_a_message_to_who_is_not_connected_is_dropped(bench: Bench) -> None:
    bench.links.send(TimeoutNow("w9", "w1", 3))
    assert bench.links.bulk("w9") is None
    assert list(bench.links.connected()) == []


def test_a_broken_link_is_told_once_and_dialled_again(bench: Bench) -> None:
    bench.connect()
    for connection in list(bench.peer.connections):
        connection.close(Unreachable("It crashed."))
    bench.loop.until(lambda: len(bench.lost) == 2)
    bench.until_connected()
    assert bench.lost == ["w2", "w2"]


def test_a_peer_is_dialled_again_when_this_process_has_sockets_left(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:

        def refuse(*_: Any) -> socket.socket:
            raise OSError(errno.EMFILE, "Too many open files")

        patched.setattr(connections.socket, "socket", refuse)
        bench.links.add("w2", bench.door.getsockname())
        bench.loop.advance(10)
    assert bench.logged == [
        f"w2 at 127.0.0.1:{bench.door.getsockname()[1]} cannot be dialled: Too many open files."
    ]
    bench.until_connected()


def test_a_peer_that_says_nothing_is_dialled_anew(bench: Bench) -> None:
    bench.connect()
    for _ in range(30):
        bench.hear()
        bench.loop.advance(0.2)
        bench.links.tell(ROW)
        bench.loop.turn(2)
    assert bench.lost == []
    for _ in range(30):
        bench.loop.advance(0.2)
        bench.links.tell(ROW)
        bench.loop.turn(2)
    assert len(bench.lost) == 2


def test_a_peer_is_reachable_while_it_tells_about_itself(bench: Bench) -> None:
    bench.connect()
    (row,) = bench.links.known_rows()
    assert (row["reachable"], row["term"]) == (False, None)
    bench.hear()
    (row,) = bench.links.known_rows()
    assert (row["reachable"], row["term"]) == (True, 3)
    assert set(row) == {"id", "address", "reachable", *ROW_FIELDS}
    bench.loop.advance(peers.STALE_S)
    assert not bench.links.reachable("w2")


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        {},
        {**ROW, "cores": "many"},
        {**ROW, "cores": 10**6},
        {**ROW, "cores": -1},
        {**ROW, "term": None},
        {**ROW, "monitor": "x" * 60_000},
        {**ROW, "state_digest": ["ab"]},
    ],
)
def test_a_row_that_makes_no_sense_is_a_violation(bench: Bench, row: Any) -> None:
    bench.connect()
    with pytest.raises(ProtocolViolation):
        bench.links.told("w2", row)
    assert bench.links.rows == {}


def test_who_is_no_member_is_not_remembered(bench: Bench) -> None:
    bench.links.told("w9", ROW)
    assert bench.links.rows == {}


def test_a_member_that_leaves_or_moves_is_not_dialled_any_more(bench: Bench) -> None:
    bench.connect()
    bench.hear()
    bench.links.drop("w2")
    bench.loop.until(lambda: not bench.peer.connections)
    bench.loop.advance(5)
    bench.loop.turn(5)
    assert bench.peer.connections == []
    assert (bench.links.rows, bench.links.addresses, bench.lost) == ({}, {}, [])


def test_a_refused_dial_is_said_once(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = door.getsockname()
    bench.links.add("w3", address)
    for _ in range(50):
        bench.loop.advance(0.5)
        bench.loop.turn(3)
    assert len(bench.logged) == 1


# --- names


def test_what_is_in_digits_is_not_looked_up() -> None:
    assert is_in_digits("127.0.0.1")
    assert is_in_digits("::1")
    assert not is_in_digits("lab-3")
    found: list[Any] = []
    loop: Any = SocketLoop()
    Names(loop).find(("10.0.0.7", 7000), found.append)
    assert found == [[("10.0.0.7", 7000)]]
    loop.selector.close()


def test_a_name_is_looked_up_in_another_thread_and_every_address_is_tried(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = bench.door.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as door:
        nobody = door.getsockname()
    monkeypatch.setattr(names, "look_up", lambda address: [nobody, ("127.0.0.1", port)])
    bench.connect("lab-3")


def test_a_name_that_nobody_knows_is_said_once_and_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def unknown(address: Any) -> Unreachable:
        asked.append(address)
        return Unreachable("The host name 'lab-3' cannot be found.")

    monkeypatch.setattr(names, "look_up", unknown)
    bench.links.add("w3", ("lab-3", 7000))

    def asked_often() -> bool:
        bench.loop.advance(1)
        return len(asked) >= 6

    bench.loop.until(asked_often)
    assert len(bench.logged) == 1


def test_the_system_knows_this_machine_and_not_nonsense() -> None:
    found = look_up(("localhost", 80))
    assert isinstance(found, list)
    assert {port for _, port in found} == {80}
    assert isinstance(look_up(("a" * 300, 80)), Unreachable)
