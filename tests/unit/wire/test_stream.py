"""A stream keeps every byte through timeouts, works in both directions at once, and ends when it is told to."""

import socket
import threading
import time
from collections.abc import Callable

import pytest

from shared.errors import (
    AccessDenied,
    Busy,
    MinkaError,
    ProtocolViolation,
    Refused,
    TimedOut,
    Unreachable,
)
from shared.frames import Frame, FrameEncoder, FrameType, ProtocolMisuse
from shared.handshake import Introduction, SessionKeys, refusal
from shared.stream import FrameStream, connect

CLIENT_KEY = bytes(range(32))
Answer = Callable[[socket.socket], None]
Listen = Callable[[Answer], tuple[str, int]]
Ends = tuple[FrameStream, FrameStream]
RawEnd = tuple[FrameStream, socket.socket]
ABOUT = Introduction("client", "laptop", "requests", "")
HELLO = Frame(FrameType.HELLO, {"a": "x" * 1000})


def seal(ends: Ends) -> Ends:
    ends[0].seal(SessionKeys(b"there", b"back"))
    ends[1].seal(SessionKeys(b"back", b"there"))
    return ends


def test_a_client_connects_and_is_answered(listen: Listen, worker: Answer) -> None:
    with connect(listen(worker), ABOUT, CLIENT_KEY, 5.0) as stream:
        assert stream.peer == {"id": "w1", "cluster": "c1"}
        for size_bytes in (0, 100, 3 << 20):
            stream.send(Frame(FrameType.REQUEST, {"id": size_bytes}, bytes(size_bytes)), 5.0)
            assert stream.receive(5.0) == Frame(FrameType.REPLY, {"id": size_bytes}, bytes(size_bytes))


@pytest.mark.parametrize(
    ("about", "key", "error"),
    [
        (ABOUT, bytes(32), AccessDenied),
        (Introduction("worker", "w2", "peer", ""), CLIENT_KEY, AccessDenied),
        (Introduction("client", "laptop", "requests", "c2"), CLIENT_KEY, Refused),
    ],
)
def test_who_is_not_let_in_is_told_why(
    listen: Listen, worker: Answer, about: Introduction, key: bytes, error: type[MinkaError]
) -> None:
    with pytest.raises(error):
        connect(listen(worker), about, key, 5.0)


def test_a_full_worker_says_so(listen: Listen) -> None:
    def full(connection: socket.socket) -> None:
        with FrameStream(connection, "the client") as stream:
            stream.receive(5.0)
            stream.send(refusal(Busy("no more connections")))

    with pytest.raises(Busy, match="no more connections"):
        connect(listen(full), ABOUT, CLIENT_KEY, 5.0)


def test_a_server_of_another_kind_is_a_violation(listen: Listen) -> None:
    with pytest.raises(ProtocolViolation, match="does not speak"):
        connect(listen(lambda it: it.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")), ABOUT, CLIENT_KEY, 5.0)


def test_a_server_that_closes_at_once_is_unreachable(listen: Listen) -> None:
    with pytest.raises(Unreachable):
        connect(listen(lambda it: None), ABOUT, CLIENT_KEY, 5.0)


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
    with pytest.raises(Unreachable, match="cannot be reached"):
        connect(address, ABOUT, CLIENT_KEY, 5.0)


@pytest.mark.parametrize("host", ["no such host", "a" * 70, "a..b"])
def test_a_host_without_an_address_is_unreachable(host: str) -> None:
    with pytest.raises(Unreachable, match="is not known"):
        connect((host, 1), ABOUT, CLIENT_KEY, 5.0)


def test_a_server_that_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = time.monotonic()
        with pytest.raises(TimedOut, match="did not answer in time"):
            connect(listener.getsockname(), ABOUT, CLIENT_KEY, 0.1)
        assert time.monotonic() - before < 30.0


def test_a_server_that_drips_bytes_cannot_stretch_the_timeout(raw_end: RawEnd) -> None:
    stream, far = raw_end
    data = FrameEncoder().encode(HELLO)
    over = threading.Event()

    def drip() -> None:
        for at in range(len(data)):
            if over.wait(0.002):
                return
            far.sendall(data[at : at + 1])

    dripping = threading.Thread(target=drip)
    dripping.start()
    with pytest.raises(TimedOut):
        stream.receive(0.05)
    over.set()
    dripping.join()


def test_no_byte_is_lost_when_receiving_times_out(raw_end: RawEnd) -> None:
    stream, far = raw_end
    data = FrameEncoder().encode(HELLO)
    for at in range(0, len(data), 100):
        far.sendall(data[at : at + 100])
        if at + 100 < len(data):
            with pytest.raises(TimedOut):
                stream.receive(0.0)
    assert stream.receive(0.0) == HELLO
    with pytest.raises(TimedOut):
        stream.receive(0.01)


def test_frames_that_came_together_are_received_one_by_one(raw_end: RawEnd) -> None:
    stream, far = raw_end
    far.sendall(FrameEncoder().encode(HELLO) * 3)
    assert [stream.receive(0.0) for _ in range(3)] == [HELLO] * 3


def test_one_thread_sends_while_another_receives_in_both_directions(both_ends: Ends) -> None:
    frames = [Frame(FrameType.NOTICE, {"n": n}, bytes(n * 1000)) for n in range(200)]
    near, far = seal(both_ends)

    def send(end: FrameStream) -> None:
        for frame in frames:
            end.send(frame, 10.0)

    sending = [threading.Thread(target=send, args=(end,)) for end in (near, far)]
    received: list[Frame] = []
    receiving = threading.Thread(target=lambda: received.extend(far.receive(10.0) for _ in frames))
    for thread in (*sending, receiving):
        thread.start()
    assert [near.receive(10.0) for _ in frames] == frames
    for thread in (*sending, receiving):
        thread.join()
    assert received == frames


def test_frames_of_several_sending_threads_do_not_mix(both_ends: Ends) -> None:
    near, far = seal(both_ends)
    body = bytes(100_000)

    def send(name: int) -> None:
        for _ in range(20):
            near.send(Frame(FrameType.NOTICE, {"of": name}, body))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    names = [far.receive(10.0).header["of"] for _ in range(80)]
    for thread in threads:
        thread.join()
    assert sorted(names) == sorted(list(range(4)) * 20)


@pytest.mark.parametrize("attempt", range(10))
def test_closing_ends_a_receive_that_waits_in_another_thread(both_ends: Ends, attempt: int) -> None:
    near, _ = both_ends
    begun, errors = threading.Event(), list[BaseException]()

    def receive() -> None:
        begun.set()
        try:
            near.receive()
        except Unreachable as error:
            errors.append(error)

    receiving = threading.Thread(target=receive)
    receiving.start()
    begun.wait()
    near.close()
    receiving.join(10.0)
    assert [str(error) for error in errors] == ["The connection to far was closed."]
    assert near.fileno() == -1


def test_closing_ends_a_send_that_waits_in_another_thread(both_ends: Ends) -> None:
    near, far = seal(both_ends)
    errors = list[BaseException]()

    def send() -> None:
        try:
            while True:
                near.send(Frame(FrameType.NOTICE, {}, bytes(1 << 20)))
        except Unreachable as error:
            errors.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    far.receive(10.0)
    near.close()
    sending.join(10.0)
    assert len(errors) == 1


def test_sending_times_out_and_closes_when_nobody_reads(both_ends: Ends) -> None:
    near, far = seal(both_ends)
    with pytest.raises(TimedOut, match="did not take"):
        near.send(Frame(FrameType.NOTICE, {}, bytes(8 << 20)), 0.05)
    with pytest.raises(Unreachable, match="was closed"):
        near.send(Frame(FrameType.NOTICE, {}))
    with pytest.raises(Unreachable, match="middle of a frame"):
        far.receive(10.0)


def test_the_end_of_the_connection_is_told_and_closes(both_ends: Ends) -> None:
    near, far = both_ends
    far.send(HELLO)
    far.close()
    assert near.receive(10.0) == HELLO
    with pytest.raises(Unreachable, match="far closed the connection\\."):
        near.receive(10.0)
    assert near.fileno() == -1
    near.close()


def test_the_end_in_the_middle_of_a_frame_is_told(raw_end: RawEnd) -> None:
    stream, far = raw_end
    far.sendall(FrameEncoder().encode(HELLO)[:-1])
    far.close()
    with pytest.raises(Unreachable, match="in the middle of a frame"):
        stream.receive(10.0)


def test_a_violation_closes_the_stream(raw_end: RawEnd) -> None:
    stream, far = raw_end
    far.sendall(bytes(20))
    with pytest.raises(ProtocolViolation):
        stream.receive(10.0)
    assert far.recv(1) == b""
    with pytest.raises(Unreachable):
        stream.receive(10.0)
    assert repr(stream) == "<FrameStream the peer closed>"


def test_a_frame_that_may_not_be_sent_leaves_the_stream_as_it_was(both_ends: Ends) -> None:
    near, far = both_ends
    with pytest.raises(ProtocolMisuse):
        near.send(Frame(FrameType.REQUEST, {}))
    near.send(HELLO)
    assert far.receive(10.0) == HELLO
