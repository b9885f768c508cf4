"""The doors of a laboratory: bytes pass, a cut link is silent, and a mended one goes on where it stopped."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from backend.lab.relay import CONNECTIONS_LIMIT, Relays
from shared.frames import Frame, FrameEncoder, FrameType
from tests.browser.waiting import until

WAIT_S = 20.0


def hello(role: str, id: str) -> bytes:
    header = {"role": role, "id": id, "channel": "raft", "cluster": "", "nonce": "00" * 32}
    return FrameEncoder().encode(Frame(FrameType.HELLO, header))


class World:
    """Worker w1 behind its door; `visit` comes to it."""

    def __init__(self) -> None:
        self.worker = socket.create_server(("127.0.0.1", 0))
        self.worker.settimeout(WAIT_S)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.door = free.getsockname()
        self.relays = Relays()
        self.relays.add("w1", self.door, self.worker.getsockname())
        self.thread = threading.Thread(target=self.relays.run)
        self.thread.start()

    def visit(self, role: str, id: str) -> tuple[socket.socket, socket.socket]:
        near = socket.create_connection(self.door, WAIT_S)
        near.sendall(hello(role, id))
        far, _ = self.worker.accept()
        far.settimeout(WAIT_S)
        assert read(far, len(hello(role, id))) == hello(role, id)
        return near, far

    def close(self) -> None:
        self.relays.stop()
        self.thread.join()
        self.worker.close()


def read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        assert piece, "ended early"
        data += piece
    return data


@pytest.fixture
def world() -> Iterator[World]:
    with contextlib.closing(World()) as built:
        yield built


def test_bytes_pass_both_ways_and_so_does_the_end(world: World) -> None:
    near, far = world.visit("worker", "w2")
    with near, far:
        data = bytes(range(256)) * 20_000
        sender = threading.Thread(target=near.sendall, args=(data,))
        sender.start()
        assert read(far, len(data)) == data
        sender.join()
        far.sendall(b"answer")
        assert read(near, 6) == b"answer"
        far.close()
        assert near.recv(1) == b""


def test_a_cut_link_is_silent_and_a_mended_one_goes_on(world: World) -> None:
    near, far = world.visit("worker", "w2")
    other, behind = world.visit("worker", "w3")
    client, served = world.visit("client", "w2")
    with near, far, other, behind, client, served:
        world.relays.cut("w2", "w1")
        until(lambda: frozenset(("w1", "w2")) in world.relays.cuts)
        near.sendall(b"before")
        for sock, end in (
            (other, behind),
            (client, served),
        ):  # what is not cut still works, so the cut has been seen
            sock.sendall(b"x")
            assert read(end, 1) == b"x"
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(1)
        far.settimeout(WAIT_S)
        world.relays.mend("w1", "w2")
        near.sendall(b" after")
        assert read(far, 12) == b"before after"


def test_a_link_that_is_cut_answers_no_newcomer(world: World) -> None:
    world.relays.cut("w1", "w2")
    near = socket.create_connection(world.door, WAIT_S)
    near.sendall(hello("worker", "w2") + b"more")
    far, _ = world.worker.accept()
    with near, far:
        other, behind = world.visit("worker", "w3")
        other.close()
        behind.close()
        far.setblocking(False)
        with pytest.raises(BlockingIOError):
            far.recv(1)
        world.relays.mend("w1", "w2")
        far.settimeout(WAIT_S)
        assert read(far, 4 + len(hello("worker", "w2"))).endswith(b"more")


def test_who_speaks_another_protocol_is_sent_away(world: World) -> None:
    with socket.create_connection(world.door, WAIT_S) as near:
        near.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
        with contextlib.suppress(ConnectionError):
            assert near.recv(1) == b""


def test_a_dead_worker_s_door_closes_what_comes(world: World) -> None:
    world.worker.close()
    with socket.create_connection(world.door, WAIT_S) as near, contextlib.suppress(ConnectionError):
        assert near.recv(1) == b""
    assert CONNECTIONS_LIMIT > 64
