"""A worker's web server as its clients meet it: curl, people who are slow on purpose, and bytes that mean nothing."""

import gzip
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tests.browser.fake_node import FakeNode, Story
from tests.browser.waiting import until

PASSWORD = "quipu"
GET = b"GET /api/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def begun(node: FakeNode) -> None:
    """The monitor has been told of a cluster, and knows who leads it."""
    Story(node).begin()

    def leads() -> bool:
        with connect(node) as sock:
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return sock.recv(12) == b"HTTP/1.1 200"

    until(leads, 60)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeNode]:
    with FakeNode(tmp_path_factory.mktemp("node") / "records") as started:
        begun(started)
        yield started


@pytest.fixture(scope="module")
def curl(node: FakeNode) -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """Asks the monitor; status, headers and body of the last answer."""
    program = shutil.which("curl")
    assert program, "these tests need curl"

    def ask(path: str, *options: str, address: str = node.address) -> tuple[int, dict[str, str], bytes]:
        command = [
            program,
            "--silent",
            "--show-error",
            "--include",
            "--max-time",
            "30",
            *options,
            address + path,
        ]
        said = subprocess.run(command, capture_output=True, check=True).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split()[1]), fields, body

    return ask


Curl = Callable[..., tuple[int, dict[str, str], bytes]]


def test_a_page_has_tag_kind_and_policy(curl: Curl) -> None:
    status, headers, body = curl("/")
    assert status == 200
    assert body.startswith(b"<!doctype html>")
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in headers["content-security-policy"]
    assert "script-src 'self'" in headers["content-security-policy"]
    tag = headers["etag"]
    status, headers, body = curl("/", "-H", f"If-None-Match: {tag}")
    assert (status, body, headers["etag"]) == (304, b"", tag)


def test_head_tells_the_length_and_sends_nothing(curl: Curl) -> None:
    _, whole, body = curl("/common/theme.css")
    status, headers, nothing = curl("/common/theme.css", "--head")
    assert (status, nothing) == (200, b"")
    assert int(headers["content-length"]) == int(whole["content-length"]) == len(body)


def test_a_part_of_a_page(curl: Curl) -> None:
    _, _, body = curl("/common/theme.css")
    status, headers, part = curl("/common/theme.css", "--range", "10-29")
    assert (status, part) == (206, body[10:30])
    assert headers["content-range"] == f"bytes 10-29/{len(body)}"
    assert curl("/common/theme.css", "--range", "9999999-")[0] == 416


def test_what_is_large_is_compressed_for_who_takes_it(curl: Curl) -> None:
    _, _, body = curl("/common/theme.css")
    status, headers, packed = curl("/common/theme.css", "-H", "Accept-Encoding: gzip")
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(packed) == body
    assert len(packed) < len(body) / 2


def test_nothing_can_be_changed_and_no_other_name_is_answered(curl: Curl) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert curl("/api/files", "--request", method, "--data", "x")[0] == 405
    assert curl("/", "-H", "Host: evil.example")[0] == 421
    assert curl("/..%2f..%2fcluster.keys", "--path-as-is")[0] == 404
    assert curl("/common/../../__init__.py", "--path-as-is")[0] == 404


def test_one_connection_carries_many_requests(node: FakeNode) -> None:
    program = shutil.which("curl")
    assert program
    said = subprocess.run(
        [program, "--silent", "--verbose", *[f"{node.address}/api/status"] * 5],
        capture_output=True,
        check=True,
    )
    assert said.stderr.count(b"HTTP/1.1 200") == 5
    assert len(re.findall(rb"re-?using existing", said.stderr.lower())) == 4


def test_metrics_are_read_by_prometheus_s_own_parser(curl: Curl) -> None:
    status, headers, body = curl("/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert families["minka_role"].type == "gauge"
    assert {sample.labels["peer"] for sample in families["minka_peer_reachable"].samples} == {"w2", "w3"}


def test_a_password_is_asked_for(curl: Curl, tmp_path: Path) -> None:
    with FakeNode(tmp_path / "records", password=PASSWORD) as guarded:
        begun(guarded)
        status, headers, _ = curl("/api/status", address=guarded.address)
        assert (status, headers["www-authenticate"]) == (401, 'Basic realm="Minka", charset="UTF-8"')
        assert curl("/api/status", "--user", "ana:wrong", address=guarded.address)[0] == 401
        assert curl("/api/status", "--user", f"ana:{PASSWORD}", address=guarded.address)[0] == 200
        assert curl("/healthz", address=guarded.address)[0] == 200


def connect(node: FakeNode) -> socket.socket:
    host, port = node.address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), 30)


def test_slow_clients_keep_nobody_waiting_and_are_let_go(node: FakeNode, curl: Curl) -> None:
    """A hundred that send a header byte by byte (as slowhttptest does), and a few that read nothing of a long answer."""
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(node)) for _ in range(100)]
        for sock in slow:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        for sock in slow[:10]:
            sock.sendall(b"b\r\n\r\n" + b"GET /common/pieces.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 400)
        assert curl("/api/status")[0] == 200
        begun = time.monotonic()
        waiting = slow[10:]
        while waiting:
            assert time.monotonic() - begun < 60, f"{len(waiting)} slow clients still hold a place"
            assert curl("/healthz")[0] == 200
            left = []
            for sock in waiting:
                sock.settimeout(0.01)
                try:
                    sock.sendall(b"a")
                    if b"408" not in sock.recv(65536):
                        left.append(sock)
                except TimeoutError:
                    left.append(sock)
                except OSError:
                    pass  # it was let go before
            waiting = left


def test_more_connections_than_one_address_may_have_are_turned_away(node: FakeNode, curl: Curl) -> None:
    with ExitStack() as stack:
        answers = []
        for _ in range(140):
            sock = stack.enter_context(connect(node))
            sock.sendall(GET)
            answers.append(sock)
        statuses = [sock.recv(15).split()[1] for sock in answers]
        assert statuses.count(b"503") >= 12
        assert statuses.count(b"200") >= 100
    assert json.loads(curl("/api/status")[2])["id"] == "w1"


PIECES = st.sampled_from(
    [
        b"GET ", b"POST ", b"HEAD ", b"/", b"/api/files?search=a&skip=0", b"/api/rounds?model=", b" HTTP/1.1\r\n",
        b"\r\n", b"\n",
        b"Host: 127.0.0.1\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Range: bytes=0-1\r\n",
        b"Accept-Encoding: gzip\r\n", b"Authorization: Basic !!\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"abc",
        b"%00", b"\xff", b"If-None-Match: *\r\n", GET,
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=400), st.lists(PIECES, max_size=25).map(b"".join)))
def test_whatever_comes_the_answers_are_http_and_the_server_lives(node: FakeNode, data: bytes) -> None:
    with connect(node) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while piece := sock.recv(65536):
                said += piece
        except ConnectionResetError:
            pass
    assert not said or said.startswith(
        (b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4", b"HTTP/1.1 501", b"HTTP/1.1 505")
    )
    with connect(node) as sock:
        sock.sendall(GET)
        assert sock.recv(12) == b"HTTP/1.1 200"
