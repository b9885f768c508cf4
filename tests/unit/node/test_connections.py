"""Connections of the node thread over real sockets, with the time and the turns in the test's hands."""

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shared.errors import (
    AccessDenied,
    MinkaError,
    ProtocolViolation,
    Refused,
    TaskFailed,
    TimedOut,
    Unreachable,
)
from shared.frames import MAX_BODY_BYTES, Frame, FrameDecoder, FrameEncoder, FrameType
from shared.handshake import ClientHandshake, Introduction, ServerHandshake
from tests.unit.node.fakes import SocketLoop
from worker import connections
from worker.connections import Connection, Owner, Request, State

KEY = bytes(range(32))


class Recorder(Owner):
    """Remembers what a connection told."""

    def __init__(self) -> None:
        self.opened_: list[Connection] = []
        self.frames: list[Frame] = []
        self.requests: list[Request] = []
        self.ended: list[MinkaError] = []

    def opened(self, connection: Connection) -> None:
        self.opened_.append(connection)

    def received(self, connection: Connection, frame: Frame) -> None:
        self.frames.append(frame)
        if frame.type is FrameType.REQUEST:
            self.requests.append(Request(connection, frame))

    def closed(self, connection: Connection, error: MinkaError) -> None:
        self.ended.append(error)


class Other:
    """The other end, by hand: a socket, a codec and a handshake."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        sock.setblocking(False)
        self.encoder, self.decoder = FrameEncoder(), FrameDecoder()
        self.frames: list[Frame] = []

    def send(self, frame: Frame) -> None:
        self.socket.send(self.encoder.encode(frame))

    def request(self, number: int, op: str = "op", body: bytes = b"", **fields: Any) -> None:
        self.send(Frame(FrameType.REQUEST, {"id": number, "op": op, **fields}, body))

    def receive(self) -> list[Frame]:
        """All frames that have come so far."""
        try:
            while data := self.socket.recv(1 << 20):
                self.frames += self.decoder.feed(data)
        except BlockingIOError:
            pass
        return self.frames

    @property
    def closed(self) -> bool:
        try:
            return not self.socket.recv(1)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


class Bench:
    def __init__(self) -> None:
        self.loop = SocketLoop()
        self.owner = Recorder()
        self.sockets: list[socket.socket] = []

    def accepted(self, keys: dict[str, bytes] | None = None) -> tuple[Connection, Other]:
        """A connection that was accepted, and who made it; the handshake has not begun."""
        ours, theirs = socket.socketpair()
        self.sockets += [ours, theirs]
        handshake = ServerHandshake("w1", "", keys or {"client": KEY, "worker": KEY})
        loop: Any = self.loop
        return Connection.accept(loop, ours, handshake, self.owner, "someone"), Other(theirs)

    def opened(self, role: str = "client") -> tuple[Connection, Other]:
        connection, other = self.accepted()
        handshake = ClientHandshake(Introduction(role, "c", role, ""), KEY)
        other.send(handshake.hello())
        self.loop.until(other.receive)
        proof = handshake.receive(other.frames[0])
        assert proof is not None
        other.send(proof)
        self.loop.until(lambda: len(other.receive()) == 2)
        handshake.receive(other.frames[1])
        other.encoder.seal(handshake.keys.send)
        other.decoder.seal(handshake.keys.receive)
        other.frames.clear()
        return connection, other


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(connections, "_set_options", lambda sock: None)  # socket pairs are not TCP everywhere
    bench = Bench()
    yield bench
    for sock in bench.sockets:
        sock.close()
    bench.loop.selector.close()


# --- the handshake


def test_a_connection_is_open_once_both_sides_have_proved_their_key(bench: Bench) -> None:
    connection, _ = bench.opened()
    assert connection.state is State.OPEN
    assert connection.about == Introduction("client", "c", "client", "")
    assert bench.owner.opened_ == [connection]
    bench.loop.advance(connections.HANDSHAKE_S + 1)
    assert connection.state is State.OPEN


def test_who_has_another_key_is_told_so_and_cut_off(bench: Bench) -> None:
    connection, other = bench.accepted({"client": bytes(32)})
    handshake = ClientHandshake(Introduction("client", "c", "client", ""), KEY)
    other.send(handshake.hello())
    bench.loop.until(other.receive)
    proof = handshake.receive(other.frames[0])
    assert proof is not None
    other.send(proof)
    bench.loop.until(lambda: len(other.receive()) == 2)
    with pytest.raises(AccessDenied):
        handshake.receive(other.frames[1])
    assert connection.state is State.CLOSED
    assert len(bench.owner.ended) == 1
    assert other.closed


def test_who_is_slow_with_the_handshake_is_cut_off(bench: Bench) -> None:
    connection, other = bench.accepted()
    bench.loop.advance(connections.HANDSHAKE_S - 0.1)
    assert connection.state is State.HANDSHAKE
    bench.loop.advance(0.1)
    assert [type(error) for error in bench.owner.ended] == [TimedOut]
    assert other.closed


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n" * 3, b"MNKA" + bytes(40), bytes(5000)])
def test_garbage_ends_the_connection_and_nothing_else(bench: Bench, data: bytes) -> None:
    _, other = bench.accepted()
    other.socket.send(data)
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(error) for error in bench.owner.ended] == [ProtocolViolation]


def test_who_leaves_in_the_middle_is_gone(bench: Bench) -> None:
    _, other = bench.accepted()
    other.socket.close()
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(error) for error in bench.owner.ended] == [Unreachable]
    assert bench.loop.waiting == 0


# --- dialling


def test_a_dialled_worker_that_is_another_one_is_not_believed(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        about = Introduction("worker", "w9", "bulk", "")
        loop: Any = bench.loop
        address = door.getsockname()
        connection = Connection.dial(loop, address, about, KEY, bench.owner, "w2")
        sock, _ = door.accept()
        bench.sockets.append(sock)
        serving = Recorder()
        Connection.accept(loop, sock, ServerHandshake("w1", "", {"worker": KEY}), serving, "someone")
        bench.loop.until(lambda: bench.owner.ended)
        assert "is worker 'w1'" in bench.owner.ended[0].reason
        assert connection.state is State.CLOSED
        bench.loop.until(lambda: serving.ended)


def test_a_port_where_nobody_listens_is_unreachable(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = door.getsockname()
    loop: Any = bench.loop
    Connection.dial(loop, address, Introduction("worker", "w1", "raft", ""), KEY, bench.owner, "w2")
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(error) for error in bench.owner.ended] == [Unreachable]


def test_without_a_socket_left_nobody_can_be_dialled(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(connections.socket, "socket", refuse)
    loop: Any = bench.loop
    about = Introduction("worker", "w1", "raft", "")
    with pytest.raises(Unreachable, match="Too many open files"):
        Connection.dial(loop, ("127.0.0.1", 1), about, KEY, bench.owner, "w2")
    assert bench.loop.waiting == 0


def test_a_call_on_a_connection_that_is_not_open_fails_later(bench: Bench) -> None:
    connection, _ = bench.accepted()
    heard: list[Any] = []
    connection.call("op", {}, b"", lambda answer, body: heard.append(answer))
    assert heard == []
    bench.loop.turn()
    assert [type(answer) for answer in heard] == [Unreachable]


# --- calls


def test_each_call_gets_its_own_answer(bench: Bench) -> None:
    connection, other = bench.opened()
    heard: dict[str, Any] = {}
    for name in ("first", "second"):
        connection.call(name, {}, b"", lambda answer, body, name=name: heard.update({name: (answer, body)}))  # type: ignore[misc]
    bench.loop.until(lambda: len(other.receive()) == 2)
    first, second = other.frames
    other.send(Frame(FrameType.FAILURE, {"id": second.header["id"], "code": "refused", "reason": "No."}))
    other.send(Frame(FrameType.REPLY, {"id": first.header["id"], "x": 1}, b"bytes"))
    bench.loop.until(lambda: len(heard) == 2)
    assert heard["first"] == ({"id": first.header["id"], "x": 1}, b"bytes")
    assert isinstance(heard["second"][0], Refused)


def test_an_answer_that_comes_late_or_twice_or_unasked_changes_nothing(bench: Bench) -> None:
    connection, other = bench.opened()
    heard: list[Any] = []
    connection.call("op", {}, b"", lambda answer, body: heard.append(answer), 1.0)
    bench.loop.until(other.receive)
    bench.loop.advance(2)
    number = other.frames[0].header["id"]
    for id in (number, number, 999):
        other.send(Frame(FrameType.REPLY, {"id": id}))
    bench.loop.turn(5)
    assert [type(answer) for answer in heard] == [TimedOut]
    assert connection.state is State.OPEN


@pytest.mark.parametrize("id", [None, "1", [1], {}, True, 1.0])
def test_an_answer_without_a_proper_id_is_a_violation(bench: Bench, id: Any) -> None:
    _, other = bench.opened()
    other.send(Frame(FrameType.REPLY, {"id": id}))
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(error) for error in bench.owner.ended] == [ProtocolViolation]


def test_all_calls_fail_once_when_the_connection_breaks(bench: Bench) -> None:
    connection, other = bench.opened()
    heard: list[Any] = []
    for timeout_s in (None, 5.0):
        connection.call("op", {}, b"", lambda answer, body: heard.append(answer), timeout_s)
    other.socket.close()
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(answer) for answer in heard] == [Unreachable, Unreachable]
    bench.loop.advance(10)
    assert (len(heard), bench.loop.waiting) == (2, 0)


def test_a_call_from_within_the_failure_of_another_is_answered_too(bench: Bench) -> None:
    connection, other = bench.opened()
    heard: list[Any] = []

    def again(answer: Any, _: bytes) -> None:
        heard.append(answer)
        if len(heard) < 3:
            connection.call("op", {}, b"", again)

    connection.call("op", {}, b"", again)
    other.socket.close()
    bench.loop.until(lambda: len(heard) == 3)


def test_a_call_that_fits_no_frame_fails_and_leaves_the_connection_whole(bench: Bench) -> None:
    connection, other = bench.opened()
    heard: list[Any] = []
    connection.call("op", {}, bytes(MAX_BODY_BYTES + 1), lambda answer, body: heard.append(answer), 9.0)
    bench.loop.turn()
    assert [type(answer) for answer in heard] == [Refused]
    connection.call("small", {}, b"", lambda answer, body: None)
    bench.loop.until(other.receive)
    assert other.frames[0].header["op"] == "small"


# --- requests


@pytest.mark.parametrize("header", [{}, {"id": 1}, {"id": "1", "op": "x"}, {"id": 1, "op": 2}])
def test_a_request_without_id_or_op_is_a_violation(bench: Bench, header: dict[str, Any]) -> None:
    _, other = bench.opened()
    other.send(Frame(FrameType.REQUEST, header))
    bench.loop.until(lambda: bench.owner.ended)
    assert [type(error) for error in bench.owner.ended] == [ProtocolViolation]


def test_an_answer_that_fits_no_frame_becomes_a_refusal(bench: Bench) -> None:
    _, other = bench.opened()
    other.request(1)
    bench.loop.until(lambda: bench.owner.requests)
    bench.owner.requests[0].reply({"rows": ["x" * 65_536] * 17})
    bench.loop.until(other.receive)
    assert (other.frames[0].type, other.frames[0].header["code"]) == (FrameType.FAILURE, "refused")


@pytest.mark.parametrize("character", ["\x01", "\x7f", "\ud800", "🎈"])
def test_an_error_always_fits_a_frame(bench: Bench, character: str) -> None:
    _, other = bench.opened()
    other.request(1)
    bench.loop.until(lambda: bench.owner.requests)
    text = repr(character * 1_000_000) + character
    bench.owner.requests[0].fail(TaskFailed(text, text, text))
    bench.loop.until(other.receive)
    assert other.frames[0].header["code"] == "task_failed"


def test_a_request_is_answered_once(bench: Bench) -> None:
    _, other = bench.opened()
    other.request(1)
    bench.loop.until(lambda: bench.owner.requests)
    bench.owner.requests[0].reply({})
    with pytest.raises(AssertionError, match="twice"):
        bench.owner.requests[0].reply({})


def test_an_answer_to_who_has_gone_is_dropped(bench: Bench) -> None:
    _, other = bench.opened()
    other.request(1)
    bench.loop.until(lambda: bench.owner.requests)
    other.socket.close()
    bench.loop.until(lambda: bench.owner.ended)
    assert not bench.owner.requests[0].connected
    bench.owner.requests[0].reply({})


def test_a_client_is_not_read_while_too_many_of_its_requests_are_unanswered(bench: Bench) -> None:
    connection, other = bench.opened()
    for number in range(connections.REQUESTS_LIMIT):
        other.request(number)
        bench.loop.turn()
    bench.loop.until(lambda: len(bench.owner.requests) == connections.REQUESTS_LIMIT)
    other.request(5000)
    bench.loop.turn(5)
    assert len(bench.owner.requests) == connections.REQUESTS_LIMIT
    bench.owner.requests[0].reply({})
    bench.loop.until(lambda: len(bench.owner.requests) == connections.REQUESTS_LIMIT + 1)
    assert connection.state is State.OPEN


def test_a_client_is_not_read_while_too_many_bytes_of_its_requests_are_unanswered(bench: Bench) -> None:
    _, other = bench.opened()
    body = bytes(1 << 20)
    enough = connections.REQUESTS_LIMIT_BYTES // len(body)
    other.socket.setblocking(True)
    for number in range(enough):
        data = memoryview(other.encoder.encode(Frame(FrameType.REQUEST, {"id": number, "op": "x"}, body)))
        while data:
            data = data[other.socket.send(data[:65_536]) :]
            bench.loop.turn()
    bench.loop.until(lambda: len(bench.owner.requests) == enough)
    other.request(enough)
    bench.loop.turn(5)
    assert len(bench.owner.requests) == enough
    for request in bench.owner.requests[:2]:
        request.reply({})
    bench.loop.until(lambda: len(bench.owner.requests) == enough + 1)


def test_a_client_that_takes_no_answers_is_not_read_until_it_does(bench: Bench) -> None:
    _, other = bench.opened()
    for number in range(12):
        other.request(number)
    bench.loop.until(lambda: len(bench.owner.requests) == 12)
    for request in bench.owner.requests[:11]:
        request.reply({}, bytes(1 << 20))
    bench.loop.turn(5)
    other.request(12)
    bench.loop.turn(5)
    assert len(bench.owner.requests) == 12
    bench.loop.until(lambda: len(other.receive()) == 11)
    bench.loop.until(lambda: len(bench.owner.requests) == 13)


def test_a_peer_that_takes_nothing_at_all_is_cut_off(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SEND_LIMIT_BYTES", 1 << 20)
    connection, _ = bench.opened("worker")
    for _ in range(200):
        connection.send(Frame(FrameType.NOTICE, {"about": "row"}, bytes(65_536)))
        bench.loop.turn()
    assert [type(error) for error in bench.owner.ended] == [Unreachable]
    assert "did not take" in bench.owner.ended[0].reason


def test_a_call_that_is_too_much_for_a_connection_ends_after_it_was_made(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "SEND_LIMIT_BYTES", 1 << 20)
    connection, _ = bench.opened("worker")
    heard: list[Any] = []
    for _ in range(3):
        connection.call("op", {}, bytes(1 << 20), lambda answer, body: heard.append(answer))
        assert (heard, bench.owner.ended) == ([], [])
    assert connection.waiting_bytes < 3 << 20, "nothing is queued on a connection that is to be closed"
    bench.loop.turn()
    assert [type(answer) for answer in heard] == [Unreachable] * 3
    assert len(bench.owner.ended) == 1


def test_many_small_frames_arrive_whole_and_in_order(bench: Bench) -> None:
    connection, other = bench.opened("worker")
    for number in range(3000):
        connection.send(Frame(FrameType.NOTICE, {"about": "x", "number": number}, bytes(number % 300)))
    bench.loop.until(lambda: len(other.receive()) == 3000)
    assert [frame.header["number"] for frame in other.frames] == list(range(3000))


def test_an_option_that_cannot_be_set_on_a_gone_socket_harms_nobody(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: socket.socket) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(connections, "_set_options", refuse)
    connection, _ = bench.accepted()
    bench.loop.turn()
    assert connection.state is State.CLOSED
    assert len(bench.owner.ended) == 1
