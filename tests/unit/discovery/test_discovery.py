"""Workers are found by those on their network: what is asked, what is answered, and what is not believed."""

import json
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.discovery import look_around
from shared import discovery
from shared.discovery import DATAGRAM_BYTES, Sighting, answer, key_mark, question, read_answer, read_question
from tests.unit.node.fakes import SocketLoop
from worker import beacon
from worker.beacon import Beacon
from worker.settings import Keys, Settings

NONCE = bytes(range(16))
KEY = b"k" * 32
SEEN = Sighting("ab" * 16, key_mark(KEY), "w1", "192.168.1.20:7400")


def test_a_question_and_its_answer_are_read_as_they_were_written() -> None:
    assert len(question(NONCE)) == DATAGRAM_BYTES
    assert read_question(question(NONCE)) == NONCE
    told = answer(NONCE, SEEN)
    assert read_answer(told, NONCE) == SEEN
    assert len(told) <= len(question(NONCE)), "an answer that is longer could flood somebody else"


def test_what_is_no_answer_to_this_question_is_none() -> None:
    told = answer(NONCE, SEEN)
    assert read_answer(told, bytes(16)) is None
    assert read_answer(question(NONCE), NONCE) is None
    assert read_question(told.ljust(DATAGRAM_BYTES, b"\0")) is None
    assert read_question(question(NONCE)[:-1]) is None
    start = told[:22]
    for rest in (b"", b"{", b"[]", json.dumps({"cluster": 1}).encode(), b"[" * 400):
        assert read_answer(start + rest, NONCE) is None


@given(st.binary(max_size=600))
def test_no_bytes_do_any_harm(data: bytes) -> None:
    assert read_question(data) is None
    assert read_answer(data, NONCE) is None
    assert read_answer(answer(NONCE, SEEN)[:22] + data, NONCE) is None


def test_a_name_that_does_not_fit_is_an_error_at_the_worker() -> None:
    with pytest.raises(ValueError, match="bytes"):
        answer(NONCE, Sighting("c", "k", "w" * 600, "h:1"))


def test_the_mark_of_a_key_does_not_tell_the_key() -> None:
    assert key_mark(KEY) != key_mark(b"l" * 32)
    assert KEY.hex()[:8] not in key_mark(KEY)


def settings(advertise: tuple[str, int]) -> Settings:
    address = ("127.0.0.1", 7400)
    return Settings("w1", Path("data"), address, advertise, address, {"w1": address}, Keys(b"c" * 32, KEY), 1)


class Worker:
    """A beacon of its own UDP port, whose loop turns in a thread."""

    def __init__(self, advertise: tuple[str, int]) -> None:
        self.loop: Any = SocketLoop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", 0))
            self.port = int(probe.getsockname()[1])
        self.logged: list[str] = []
        self.beacon = Beacon(self.loop, settings(advertise), SEEN.cluster, self.logged.append, self.port)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        heard = self.beacon._socket
        assert heard is not None
        with selectors.DefaultSelector() as selector:
            selector.register(heard, selectors.EVENT_READ)
            while not self._stopping.is_set():
                if selector.select(0.05):
                    self.beacon._hear(selectors.EVENT_READ)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.beacon.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    started = Worker(("127.0.0.1", 7400))
    yield started
    started.close()


def test_a_worker_on_this_computer_is_found(worker: Worker) -> None:
    found = look_around(10.0, lambda seen: seen.worker == "w1", worker.port)
    assert found == [Sighting(SEEN.cluster, SEEN.key, "w1", "127.0.0.1:7400")]
    assert not worker.logged


def test_a_worker_without_an_address_of_its_own_is_where_it_was_heard() -> None:
    anywhere = Worker(("0.0.0.0", 7400))
    try:
        (seen,) = look_around(10.0, lambda _: True, anywhere.port)
    finally:
        anywhere.close()
    host, port = seen.address.rsplit(":", 1)
    assert (host in ("0.0.0.0", "::"), port) == (False, "7400")


def test_nobody_there_is_no_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        assert look_around(0.05, port=probe.getsockname()[1]) == []


def test_who_cannot_reach_this_worker_is_not_told_of_it(worker: Worker) -> None:
    assert worker.beacon._may_answer("127.0.0.1")
    assert not worker.beacon._may_answer("192.168.1.9")


def test_a_worker_answers_so_often_and_no_more(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beacon, "ANSWERS_LIMIT", 3)
    worker.loop.now = 5.0
    assert [worker.beacon._may_answer("127.0.0.1") for _ in range(5)] == [True, True, True, False, False]
    worker.loop.now = 6.0
    assert worker.beacon._may_answer("127.0.0.1")


def test_a_worker_that_cannot_hear_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_port: int) -> socket.socket:
        raise OSError("no such thing here")

    monkeypatch.setattr(beacon, "listening", refuse)
    logged: list[str] = []
    loop: Any = SocketLoop()
    Beacon(loop, settings(("127.0.0.1", 7400)), "c", logged.append).close()
    assert logged == ["clients will not find this worker by themselves: no such thing here"]


def test_the_document_shows_the_datagram_to_the_byte() -> None:
    document = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text(encoding="utf-8")
    for fact in (str(discovery.PORT), discovery.GROUP, str(DATAGRAM_BYTES), question(NONCE)[:22].hex(" ")):
        assert fact in document
