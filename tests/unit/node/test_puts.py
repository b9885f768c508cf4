"""A small file that is put: its bytes are checked, and are written into the log only if no row names them yet."""

import hashlib
from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import BytesMissing, Refused
from shared.fields import encode
from shared.messages import AddExample, BeginUpload, Put, Ticket
from tests.unit.node.fakes import FakeRequest
from worker.registry.commands import AddExample as AddExampleCommand
from worker.registry.commands import PutFile
from worker.registry.registry import Registry
from worker.registry.rows import FileRow
from worker.requests import Requests

DATA = b"the bytes"
DIGEST = hashlib.sha256(DATA).hexdigest()


class Bench:
    """The requests of a leader; `proposed` are the commands and bodies that it hands to its driver."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.proposed: list[tuple[Any, bytes, Any]] = []
        node: Any = SimpleNamespace(
            registry=self.registry,
            driver=SimpleNamespace(leads=True, propose=lambda *it: self.proposed.append(it), read=self.read),
            store=SimpleNamespace(use=lambda digest: False),
            space=SimpleNamespace(check=lambda size_bytes: None),
            time_ms=lambda: 7,
            predictions=None,
        )
        self.requests = Requests(node)
        self.reads = 0

    def read(self, readable: Any) -> None:
        self.reads += 1

    def put(self, body: bytes = DATA, asked: Any = None) -> FakeRequest:
        asked = asked or Put(Ticket(1, 2, 3), "name", DIGEST, len(DATA))
        request = FakeRequest(asked.op, encode(asked), body)
        answered: Any = request
        self.requests.answer(answered)
        return request


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_new_bytes_are_written_into_the_log(bench: Bench) -> None:
    bench.put()
    ((command, body, _),) = bench.proposed
    assert (command, body) == (PutFile(Ticket(1, 2, 3), "name", DIGEST, len(DATA), 7), DATA)


def test_bytes_that_a_row_names_are_not_written_again(bench: Bench) -> None:
    bench.registry._table.add(FileRow(5, "first", len(DATA), DIGEST, 0))
    request = bench.put()
    ((command, body, answered),) = bench.proposed
    assert (command.held, body) == (True, b"")
    answered({"file": {}})
    assert request.header == {"file": {}}
    bench.put(asked=AddExample(Ticket(1, 3, 3), "ants", "red", DIGEST, len(DATA)))
    command, body, _ = bench.proposed[1]
    assert (type(command), command.held, body) == (AddExampleCommand, True, b"")


def test_if_the_row_was_removed_meanwhile_the_same_command_brings_them(bench: Bench) -> None:
    bench.registry._table.add(FileRow(5, "first", len(DATA), DIGEST, 0))
    request = bench.put()
    bench.proposed[0][2](BytesMissing("The last file with these bytes was removed meanwhile."))
    command, body, answered = bench.proposed[1]
    assert (command.held, command.ticket, body) == (False, Ticket(1, 2, 3), DATA)
    answered({"file": {}})
    assert request.header == {"file": {}}


def test_what_a_row_names_must_come_all_the_same(bench: Bench) -> None:
    bench.registry._table.add(FileRow(5, "first", len(DATA), DIGEST, 0))
    request = bench.put(b"other one")
    assert isinstance(request.answer, Refused)
    assert bench.proposed == []


def test_an_empty_file_has_nothing_to_save(bench: Bench) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    bench.registry._table.add(FileRow(5, "first", 0, empty, 0))
    bench.put(b"", Put(Ticket(1, 2, 3), "name", empty, 0))
    assert not bench.proposed[0][0].held


@pytest.mark.parametrize(("size_bytes", "fits"), [(4 * 2**30, True), (4 * 2**30 + 1, False)])
def test_a_file_has_at_most_4_gib(bench: Bench, size_bytes: int, fits: bool) -> None:
    for asked in (Put(Ticket(1, 2, 3), "name", DIGEST, size_bytes), BeginUpload(DIGEST, size_bytes)):
        request = bench.put(b"", asked)
        assert request.answer is None if fits else "at most 4,294,967,296" in str(request.answer)
    assert bench.reads == (2 if fits else 0)
