"""A blob that nobody needs any more is not waited for; what a peer says about it is believed only as far as it goes."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import ProtocolViolation, Refused
from tests.unit.node.fakes import FakeLinks, FakeLoop, FakeRequest
from worker.needs import DISK_RETRY_S, LOOK_S, Needs
from worker.registry.commands import Blob
from worker.storage.disk import DiskFull

LOST = Blob("aa" * 32, 70_000)
HERE = Blob("bb" * 32, 70_000)


class Bench:
    """A node that lacks one blob, named by entry 10."""

    def __init__(self) -> None:
        self.loop, self.links = FakeLoop(), FakeLinks("w1")
        self.lacking = {LOST.digest: 10}
        self.arrived: list[str] = []
        self.wanted: list[str] = []
        self.let_go: list[str] = []
        self.logged: list[str] = []
        here: Any = {HERE.digest}
        self.node: Any = SimpleNamespace(
            loop=self.loop,
            links=self.links,
            log=self.logged.append,
            snapshots=SimpleNamespace(named=lambda digest: None),
            store=SimpleNamespace(use=here.__contains__, has=here.__contains__),
            exchange=SimpleNamespace(
                want=self._want,
                let_go=lambda blob, held: self.let_go.append(blob.digest),
            ),
            driver=SimpleNamespace(
                lacking=lambda: dict(self.lacking),
                arrived=self._arrived,
                leadership=SimpleNamespace(leader="w2"),
            ),
            installation=SimpleNamespace(
                wanted=set, lacking=dict, lost=lambda digests: None, unneeded=lambda digest: None
            ),
            registry=SimpleNamespace(applied_index=30, live_blobs=lambda: iter([HERE])),
        )
        self.held: dict[str, Any] = {}
        self.needs = Needs(self.node)
        self.peer = self.links.connect("w2")

    def _want(self, blob: Blob, held: Any) -> None:
        self.wanted.append(blob.digest)
        self.held[blob.digest] = held

    def _arrived(self, digest: str) -> None:
        self.arrived.append(digest)
        self.lacking.pop(digest, None)

    def asked(self) -> Any:
        """The question that this worker asks once it has lacked the blob for a while."""
        assert self.needs.missing((LOST, HERE)) == {LOST.digest}
        self.loop.advance(2 * LOOK_S)
        (call,) = self.peer.open_calls("needs")
        assert call.fields == {"digests": [LOST.digest]}
        return call


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_is_missing_is_wanted_once(bench: Bench) -> None:
    for _ in range(3):
        assert bench.needs.missing((LOST, HERE)) == {LOST.digest}
    assert bench.wanted == [LOST.digest]


def test_a_disk_without_room_for_blobs_is_said_once_and_tried_again(bench: Bench) -> None:
    full = DiskFull("0 bytes are free.")
    other = Blob("dd" * 32, 80_000)
    bench.needs.missing((LOST, other))
    for _ in range(5):
        for blob in (LOST, other):
            bench.held[blob.digest](full)
        bench.loop.advance(DISK_RETRY_S)
    assert bench.wanted == [LOST.digest, other.digest] * 6
    assert bench.logged == [f"ALARM: the log names blobs that cannot be stored yet: {full}"]
    for blob in (LOST, other):
        bench.held[blob.digest](None)
    assert bench.logged[1:] == ["the blobs that the log names can be stored again"]


@pytest.mark.parametrize(("index", "settled"), [(10, True), (30, True), (9, False)])
def test_a_blob_is_settled_by_a_state_that_includes_its_entry(
    bench: Bench, index: int, settled: bool
) -> None:
    bench.asked().answer({"index": index, "unneeded": [LOST.digest], "lacks": [LOST.digest]})
    assert bench.arrived == bench.let_go == ([LOST.digest] if settled else [])


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"index": "30", "unneeded": [], "lacks": []},
        {"index": 30, "unneeded": None, "lacks": []},
        {"index": 30, "unneeded": [["x"]], "lacks": []},
        {"index": 30, "unneeded": ["cc" * 32], "lacks": []},
        Refused("No."),
    ],
)
def test_what_makes_no_sense_settles_nothing(bench: Bench, answer: Any) -> None:
    bench.asked().answer(answer)
    assert bench.arrived == []


def test_a_digest_that_is_named_twice_is_settled_once(bench: Bench) -> None:
    bench.asked().answer({"index": 30, "unneeded": [LOST.digest] * 2, "lacks": []})
    assert bench.arrived == [LOST.digest]


def test_a_peer_is_told_what_is_neither_here_nor_needed(bench: Bench) -> None:
    request = FakeRequest("needs", {"digests": [LOST.digest, HERE.digest]})
    asked: Any = request
    bench.needs.answer(asked)
    assert request.header == {"index": 30, "unneeded": [LOST.digest], "lacks": [LOST.digest]}


@pytest.mark.parametrize("digests", [None, "aa", {}, ["x"] * 10_000])
def test_a_question_that_makes_no_sense_is_a_violation(bench: Bench, digests: Any) -> None:
    asked: Any = FakeRequest("needs", {"digests": digests})
    with pytest.raises(ProtocolViolation):
        bench.needs.answer(asked)
