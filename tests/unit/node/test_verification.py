"""`minka verify`: every worker's findings side by side; nonsense from one of them spoils nothing."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import MinkaError, Refused
from tests.unit.node.fakes import FakeConnection, FakeLinks, FakeLoop, FakeRequest
from worker.registry.examples import ExampleRow
from worker.registry.registry import Registry
from worker.registry.rows import FileRow
from worker.verification import Verification, page_after

DIGESTS = ["aa" * 32, "bb" * 32]


class FakeAuditor:
    """This worker's own audit, with the answer that the test wants."""

    def __init__(self) -> None:
        self.answer: Any = [[digest, "ok"] for digest in DIGESTS]

    def audit(self, ids: Any, heard: Any) -> None:
        heard(self.answer)


class Bench:
    def __init__(self) -> None:
        self.registry = Registry()
        for number, digest in enumerate(DIGESTS, 1):
            self.registry._table.add(FileRow(number, f"file {number}", 5, digest, 1000))
        self.loop, self.links, self.auditor = FakeLoop(), FakeLinks("w1"), FakeAuditor()
        self.peer: FakeConnection = self.links.connect("w2")
        links = SimpleNamespace(addresses={"w1": 0, "w2": 0, "w3": 0}, bulk=self.links.bulk)
        self.node: Any = SimpleNamespace(
            registry=self.registry,
            links=links,
            loop=self.loop,
            auditor=self.auditor,
            settings=SimpleNamespace(id="w1"),
        )

    def verify(self, answer: Any = None, after: str = "") -> FakeRequest:
        request = FakeRequest("verify")
        asked: Any = request
        Verification(self.node, after, asked).start()
        self.loop.advance(0)
        if answer is not None:
            (call,) = self.peer.open_calls("audit")
            call.answer(answer)
        return request


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_equal_copies_are_equal_and_who_cannot_be_asked_is_left_out(bench: Bench) -> None:
    request = bench.verify({"findings": [[digest, "ok"] for digest in DIGESTS]})
    assert request.header["equal"]
    assert request.header["after"] == ""
    assert [row["holders"] for row in request.header["files"]] == [{"w1": "ok", "w2": "ok"}] * 2


def test_a_corrupt_or_missing_copy_is_shown(bench: Bench) -> None:
    request = bench.verify({"findings": [[DIGESTS[0], "corrupt"], ["", "missing"]]})
    assert not request.header["equal"]
    assert [row["holders"]["w2"] for row in request.header["files"]] == ["corrupt", "missing"]


def test_another_digest_under_the_same_id_is_corrupt(bench: Bench) -> None:
    request = bench.verify({"findings": [["cc" * 32, "ok"], [DIGESTS[1], "ok"]]})
    assert [row["holders"]["w2"] for row in request.header["files"]] == ["corrupt", "ok"]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"findings": None},
        {"findings": 7},
        {"findings": []},
        {"findings": ["ok", "ok"]},
        {"findings": [[], []]},
        {"findings": [[1, "ok"], [2, "ok"]]},
        {"findings": [["aa" * 32, ["ok"]], ["bb" * 32, {}]]},
        {"findings": [["aa" * 32, "splendid"], ["bb" * 32, "ok"]]},
        Refused("No."),
    ],
)
def test_nonsense_from_a_worker_is_as_no_answer(bench: Bench, answer: Any) -> None:
    request = bench.verify(answer)
    assert [row["holders"] for row in request.header["files"]] == [{"w1": "ok"}] * 2


def test_a_leader_that_cannot_read_its_own_disk_does_not_say_equal(bench: Bench) -> None:
    bench.auditor.answer = Refused("The disk failed.")
    request = bench.verify({"findings": [[digest, "ok"] for digest in DIGESTS]})
    with pytest.raises(MinkaError, match="disk failed"):
        assert request.header


def test_a_file_that_is_removed_meanwhile_is_not_shown(bench: Bench) -> None:
    request = bench.verify()
    del bench.registry.files[1]
    (call,) = bench.peer.open_calls("audit")
    call.answer({"findings": [[digest, "ok"] for digest in DIGESTS]})
    assert [row["id"] for row in request.header["files"]] == [2]


@pytest.mark.parametrize("after", ["2", "m9", "²", "9" * 5_000])
def test_any_text_may_be_asked_behind(bench: Bench, after: str) -> None:
    assert page_after(bench.registry, after, 10) == []


def test_examples_are_verified_between_files_by_their_ids(bench: Bench) -> None:
    bench.registry.datasets.add("ants", ExampleRow(3, "red", 5, DIGESTS[0], 1000, 1))
    bench.registry._table.add(FileRow(4, "file 4", 5, DIGESTS[1], 1000))
    assert page_after(bench.registry, "", 9) == ["1", "2", "3", "4"]
    assert page_after(bench.registry, "2", 1) == ["3"]
    bench.auditor.answer = [[digest, "ok"] for digest in DIGESTS * 2]
    request = bench.verify({"findings": [[digest, "ok"] for digest in DIGESTS * 2]})
    assert [(row["id"], row["name"]) for row in request.header["files"]][2:] == [
        (3, "example red"),
        (4, "file 4"),
    ]
    assert request.header["equal"]
