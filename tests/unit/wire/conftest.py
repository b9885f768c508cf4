"""Connections whose other end is in the test's hands."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.errors import MinkaError
from shared.frames import Frame, FrameType
from shared.handshake import ServerHandshake, refusal
from shared.stream import FrameStream

CLIENT_KEY = bytes(range(32))
Answer = Callable[[socket.socket], None]
Listen = Callable[[Answer], tuple[str, int]]


@pytest.fixture
def raw_end() -> Iterator[tuple[FrameStream, socket.socket]]:
    """A stream before its handshake, and the bare socket at its other end."""
    near, far = socket.socketpair()
    with FrameStream(near, "the peer") as stream, far:
        yield stream, far


@pytest.fixture
def both_ends() -> Iterator[tuple[FrameStream, FrameStream]]:
    """Two streams that face each other, without a seal."""
    near, far = socket.socketpair()
    with FrameStream(near, "far") as first, FrameStream(far, "near") as second:
        yield first, second


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listens on a loopback port and gives each connection to `answer`, which closes it."""
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []
    over = threading.Event()

    def serve(listener: socket.socket, answer: Answer) -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                if over.is_set():
                    return
                answer(connection)

    def start(answer: Answer) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=serve, args=(listener, answer)))
        threads[-1].start()
        address: tuple[str, int] = listener.getsockname()
        return address

    yield start
    over.set()
    for listener, thread in zip(listeners, threads, strict=True):
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


@pytest.fixture
def worker() -> Answer:
    """Answers as worker "w1" of cluster "c1": denies or welcomes, then echoes every request."""

    def answer(connection: socket.socket) -> None:
        handshake = ServerHandshake("w1", "c1", {"client": CLIENT_KEY})
        with FrameStream(connection, "the client") as stream:
            try:
                while not handshake.done:
                    stream.send(handshake.receive(stream.receive(5.0)))
                stream.seal(handshake.keys)
                while True:
                    request = stream.receive(5.0)
                    stream.send(Frame(FrameType.REPLY, request.header, request.body))
            except MinkaError as error:
                if not handshake.done:
                    stream.send(refusal(error))

    return answer
