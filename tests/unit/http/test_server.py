"""The HTTP server on a real loopback socket, turned by hand with a clock that the test moves."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from shared.http1 import Limits, Request
from shared.http_connection import Answer, ServerLimits
from shared.http_deferred import Deferred
from shared.http_errors import HttpError, MethodNotAllowed, NotFound
from shared.http_events import EventStream, encode_event
from shared.http_responses import Response, json_response, text_response
from shared.http_server import HttpServer, literal_host

LIMITS = ServerLimits(
    request=Limits(body_bytes=1000),
    connections=4,
    connections_per_address=3,
    header_s=10,
    body_s=20,
    idle_s=30,
    write_s=15,
    answer_s=40,
    heartbeat_s=5,
    queue_bytes=100_000,
)
GET = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class World:
    """A server whose loop and clock the test drives, and the clients that talk to it."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.stream = EventStream(lambda request: [encode_event("opening", request.path)])
        self.deferred: list[Deferred] = []
        self.clients: list[socket.socket] = []
        self.server = HttpServer(("127.0.0.1", 0), self.handle, limits=LIMITS, clock=lambda: self.time)

    def handle(self, request: Request) -> Answer:
        match request.path:
            case "/echo":
                return json_response({"body": request.body.decode(), "method": request.method})
            case "/events":
                return self.stream
            case "/later":
                self.deferred.append(Deferred())
                return self.deferred[-1]
            case "/large":
                return Response(body=b"x" * 20_000_000)
            case "/post":
                raise MethodNotAllowed(("POST",))
            case "/bug":
                raise ZeroDivisionError
            case _:
                raise NotFound("There is no such page.")

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.server.address)
        client.settimeout(5)
        client.sendall(data)
        self.clients.append(client)
        self.turn()
        return client

    def turn(self, seconds: float = 0.0) -> None:
        """Serves what has arrived, then lets `seconds` pass and serves the deadlines."""
        for _ in range(8):
            self.server.turn(0.01)
        if seconds:
            self.time += seconds
            self.server.turn(0)

    def read(self, client: socket.socket, until: Callable[[bytes], bool]) -> bytes:
        """Turns the loop until what the client received satisfies `until`."""
        received = b""
        client.setblocking(False)
        for _ in range(2000):
            with contextlib.suppress(BlockingIOError):
                data = client.recv(1 << 20)
                if not data:
                    break
                received += data
            if until(received):
                return received
            self.server.turn(0.005)
        assert until(received), received[:500]
        return received

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the first answer to `data` on a connection of its own."""
        client = self.connect(data)
        return parse(self.read(client, whole))

    def ended(self, client: socket.socket) -> bool:
        """True when the server has closed its side and everything it sent was read."""
        client.setblocking(True)
        client.settimeout(5)
        with contextlib.suppress(ConnectionError):
            while client.recv(65536):
                continue
        return True


def whole(data: bytes) -> bool:
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return not lengths or len(body) >= int(lengths[0].split(b":")[1])


def parse(data: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {line.split(": ", 1)[0].lower(): line.split(": ", 1)[1] for line in lines[1:]}
    return int(lines[0].split(" ")[1]), headers, body


@pytest.fixture
def world() -> Iterator[World]:
    built = World()
    yield built
    for client in built.clients:
        client.close()
    built.server.close()


def test_answers_carry_the_security_headers_and_a_date(world: World) -> None:
    status, headers, body = world.ask(GET % b"/echo")
    assert status == 200
    assert json.loads(body) == {"body": "", "method": "GET"}
    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["date"].endswith("GMT")
    assert "access-control-allow-origin" not in headers


def test_pipelined_requests_are_answered_in_order_on_one_connection(world: World) -> None:
    post = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc"
    client = world.connect(GET % b"/nothing" + post + GET % b"/echo")
    received = world.read(client, lambda data: data.count(b"HTTP/1.1") == 3 and data.endswith(b"}"))
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"404", b"200", b"200"]
    assert received.index(b'"POST"') < received.index(b'"GET"')
    assert world.server.connections == 1


def test_a_deferred_answer_is_completed_by_another_thread_and_keeps_the_order(world: World) -> None:
    client = world.connect(GET % b"/later" + GET % b"/echo")
    thread = threading.Thread(target=lambda: world.deferred[0].complete(text_response("slow")))
    thread.start()
    thread.join()
    received = world.read(client, lambda data: data.endswith(b"}"))
    assert received.index(b"slow") < received.index(b'"GET"')
    with pytest.raises(RuntimeError, match="once"):
        world.deferred[0].complete(text_response("again"))


def test_a_deferred_answer_that_never_comes_is_given_up(world: World) -> None:
    client = world.connect(GET % b"/later")
    world.turn(LIMITS.answer_s)
    assert parse(world.read(client, whole))[0] == 504
    world.deferred[0].complete(text_response("too late"))
    world.turn()


def test_head_gets_the_headers_of_get(world: World) -> None:
    client = world.connect(b"HEAD /echo HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + GET % b"/nothing")
    received = world.read(client, lambda data: b"no such page" in data)
    assert received.count(b"\r\n\r\n") == 2
    assert b"Content-Length: %d\r\n\r\nHTTP/1.1 404" % len(b'{"body":"","method":"HEAD"}') in received


def test_a_handler_that_fails_is_answered_with_500_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, body = world.ask(GET % b"/bug")
    assert status == 500
    assert b"ZeroDivision" not in body
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"])
def test_a_host_that_is_not_ours_is_refused(world: World, host: str) -> None:
    status, headers, _ = world.ask(f"GET /echo HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert status == 421
    assert headers["connection"] == "close"


def test_literal_hosts() -> None:
    assert all(literal_host(host) for host in ("localhost", "127.0.0.1", "192.168.1.7", "[::1]"))
    assert not any(literal_host(host) for host in ("example.org", "0x7f000001", "127.1", ""))


def test_the_client_is_told_to_continue_only_while_it_waits(world: World) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    client = world.connect(head)
    assert world.read(client, lambda data: data.endswith(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"ab")
    assert b"100" not in world.read(client, whole)[:12]
    assert b"100 Continue" not in world.read(world.connect(head + b"ab"), whole)


def test_a_refused_request_closes_the_connection_after_its_answer_is_read(world: World) -> None:
    client = world.connect(
        b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n" + b"x" * 3000
    )
    status, headers, _ = parse(world.read(client, whole))
    assert (status, headers["connection"]) == (413, "close")
    client.close()
    world.turn()
    assert world.server.connections == 0


def test_a_client_that_ends_its_side_still_gets_a_long_answer(world: World) -> None:
    client = world.connect(GET % b"/large")
    client.shutdown(socket.SHUT_WR)
    received = world.read(client, whole)
    assert len(received) > 20_000_000


def test_headers_that_drip_in_are_cut_off_at_one_deadline(world: World) -> None:
    client = world.connect(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    for _ in range(9):
        client.sendall(b"X: y\r\n")
        world.turn(1.0)
    assert world.server.connections == 1
    world.turn(1.5)
    assert parse(world.read(client, whole))[0] == 408


def test_a_body_that_does_not_come_is_cut_off(world: World) -> None:
    client = world.connect(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\nabc")
    world.turn(LIMITS.body_s - 1)
    assert world.server.connections == 1
    world.turn(1.5)
    assert parse(world.read(client, whole))[0] == 408


def test_an_idle_connection_is_closed_without_a_word(world: World) -> None:
    client = world.connect(GET % b"/echo")
    world.read(client, whole)
    world.turn(LIMITS.idle_s - 1)
    assert world.server.connections == 1
    world.turn(1.5)
    assert world.server.connections == 0
    assert world.ended(client)


def test_a_connection_that_never_asks_is_closed(world: World) -> None:
    world.connect()
    world.turn(LIMITS.header_s)
    assert world.server.connections == 0


def test_a_client_that_does_not_read_its_answer_is_dropped(world: World) -> None:
    world.connect(GET % b"/large")
    world.turn(LIMITS.write_s + 1)
    assert world.server.connections == 0


def test_connections_are_capped_for_each_address(world: World) -> None:
    for _ in range(LIMITS.connections_per_address):
        world.connect()
    late = world.connect(GET % b"/echo")
    assert parse(world.read(late, whole))[0] == 503
    assert world.server.connections == LIMITS.connections_per_address


def test_events_reach_every_listener_and_heartbeats_keep_them(world: World) -> None:
    clients = [world.connect(GET % b"/events") for _ in range(2)]
    world.stream.publish("records", {"n": 1}, "5")
    for client in clients:
        received = world.read(client, lambda data: data.endswith(b'{"n":1}\n\n'))
        assert b"Content-Type: text/event-stream" in received
        assert b"Content-Length" not in received
        assert received.endswith(
            b'event: opening\ndata: "/events"\n\nid: 5\nevent: records\ndata: {"n":1}\n\n'
        )
    world.turn(LIMITS.heartbeat_s)
    assert world.read(clients[0], lambda data: data == b":\n\n")
    clients[0].close()
    world.turn()
    world.stream.publish("records", {"n": 2})
    assert len(world.stream) == 1


def test_a_listener_that_reads_too_slowly_is_dropped_and_the_others_stay(world: World) -> None:
    slow, quick = world.connect(GET % b"/events"), world.connect(GET % b"/events")
    world.read(quick, lambda data: b"opening" in data)
    for _ in range(1000):
        world.stream.publish("bulk", "x" * 50_000)
        world.read(quick, lambda data: data.endswith(b"\n\n"))
        if len(world.stream) == 1:
            break
    assert len(world.stream) == 1
    assert world.ended(slow)


def test_a_garbage_request_is_answered_and_closed(world: World) -> None:
    client = world.connect(b"\x16\x03\x01\x02\x00\n")
    assert parse(world.read(client, whole))[0] == 400
    world.turn(LIMITS.linger_s + 1)
    assert world.server.connections == 0


def test_readers_and_calls_share_the_loop_and_stop_ends_it(world: World) -> None:
    ours, theirs = socket.socketpair()
    heard: list[bytes] = []

    def hear() -> None:
        heard.append(ours.recv(100))
        world.server.remove_reader(ours)
        world.server.call_soon(world.server.stop)

    world.server.add_reader(ours, hear)
    thread = threading.Thread(target=world.server.serve_forever)
    thread.start()
    theirs.send(b"hello")
    thread.join(5)
    assert not thread.is_alive()
    assert heard == [b"hello"]
    ours.close()
    theirs.close()
    with pytest.raises(ConnectionError), socket.create_connection(world.server.address, timeout=1):
        pass


def test_a_call_later_runs_when_its_time_has_come(world: World) -> None:
    ran: list[str] = []
    world.server.call_later(2.0, lambda: ran.append("second"))
    world.server.call_later(1.0, lambda: ran.append("first"))
    world.turn()
    assert ran == []
    world.turn(3.0)
    assert ran == ["first", "second"]


def test_every_error_class_has_a_status_that_http_knows() -> None:
    statuses = [error.status for error in HttpError.__subclasses__()]
    assert len(set(statuses)) == len(statuses)
    assert {400, 404, 405, 408, 411, 413, 414, 421, 431, 501, 505} <= set(statuses)
