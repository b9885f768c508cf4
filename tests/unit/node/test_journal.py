"""Predictions are noted in batches, by the leader, and their answers wait for it."""

from types import SimpleNamespace
from typing import Any

import pytest

from shared.errors import Busy, MinkaError, NoSpace, NotLeader, Unreachable
from tests.unit.node.fakes import FakeLinks, FakeLoop
from worker.loop import Loop
from worker.serving import journal
from worker.serving.journal import Journal, Notes, Place


class Bench:
    """A worker that leads, or follows `leader`."""

    def __init__(self, loop: Any = None) -> None:
        self.loop = loop or FakeLoop()
        self.links = FakeLinks("w1")
        self.proposed: list[tuple[list[str], Any]] = []
        self.full: MinkaError | None = None
        self.heard: list[tuple[str, Place | MinkaError]] = []
        self.reads: list[Any] = []
        driver = SimpleNamespace(leads=True, leadership=SimpleNamespace(leader="w1"), propose=self._propose)
        driver.read = self.reads.append
        self.driver = driver
        node: Any = SimpleNamespace(
            loop=self.loop,
            links=self.links,
            driver=driver,
            registry=SimpleNamespace(applied_index=20),
            space=SimpleNamespace(check=self._check),
            time_ms=lambda: 7,
        )
        self.journal = Journal(node)

    def _check(self, size_bytes: int) -> None:
        assert size_bytes > 0
        if self.full is not None:
            raise self.full

    def _propose(self, command: Any, body: bytes, answered: Any) -> None:
        self.proposed.append((list(command.summaries), answered))

    def follow(self, leader: str | None) -> None:
        self.driver.leads, self.driver.leadership.leader = False, leader

    def note(self, *summaries: str) -> None:
        for summary in summaries:
            self.journal.add(
                Notes(("ana",), (summary,)), lambda error, said=summary: self.heard.append((said, error))
            )
        self.loop.settle()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_what_comes_together_and_what_waits_travels_in_one_command(bench: Bench) -> None:
    bench.note("a", "b")
    bench.note("c")
    bench.note("d")
    ((first, answered),) = bench.proposed
    assert first == ["a", "b"]
    assert bench.heard == []
    answered({"index": 9})
    bench.loop.settle()
    assert bench.heard == [("a", Place(9, True)), ("b", Place(9, True))]
    assert [summaries for summaries, _ in bench.proposed] == [["a", "b"], ["c", "d"]]


def test_a_batch_that_is_late_holds_up_the_next_ones_for_a_while_and_not_for_ever(bench: Bench) -> None:
    names = [f"n{number}" for number in range(journal.BATCHES_AT_ONCE + 1)]
    for name in names:
        bench.note(name)
        bench.loop.advance(journal.GATHER_S)
    assert [summaries for summaries, _ in bench.proposed] == [[name] for name in names[:-1]]
    bench.proposed[2][1]({"index": 9})
    bench.loop.settle()
    assert bench.heard == [("n2", Place(9, True))]
    assert bench.proposed[-1][0] == names[-1:]


def test_a_follower_hands_its_notes_to_the_leader(bench: Bench) -> None:
    bench.follow("w2")
    leader = bench.links.connect("w2")
    bench.note("a")
    (call,) = leader.open_calls("note")
    assert call.fields == {"clients": ["ana"], "summaries": ["a"]}
    assert bench.heard == []
    call.answer({"index": 9})
    assert bench.heard == [("a", Place(9, True))]


@pytest.mark.parametrize("leader", [None, "w2"])
def test_without_a_leader_predictions_fail_and_the_next_ones_are_tried(
    bench: Bench, leader: str | None
) -> None:
    bench.follow(leader)
    bench.note("a")
    bench.loop.advance(0.1)
    bench.driver.leads = True
    bench.note("b")
    bench.proposed[0][1]({"index": 9})
    assert [(said, type(error)) for said, error in bench.heard] == [("a", Unreachable), ("b", Place)]


def test_a_refusal_of_the_log_is_told_to_all_of_the_batch(bench: Bench) -> None:
    bench.note("a", "b")
    bench.proposed[0][1](NotLeader("This worker does not lead."))
    assert [type(error) for _, error in bench.heard] == [NotLeader, NotLeader]


def test_predictions_go_on_without_records_while_the_log_has_no_room(bench: Bench) -> None:
    bench.full = NoSpace("The disk is full.")
    bench.note("a", "b")
    assert (bench.heard, bench.proposed) == ([], [])
    (readable,) = bench.reads
    readable(None)
    assert bench.heard == [("a", Place(20, False)), ("b", Place(20, False))]
    bench.note("c")
    bench.reads[1](Unreachable("No quorum."))
    assert [type(found) for _, found in bench.heard[2:]] == [Unreachable]
    bench.full = None
    bench.note("d")
    bench.proposed[0][1]({"index": 21})
    assert bench.heard[3] == ("d", Place(21, True))


@pytest.mark.parametrize("leader_goes_without", [True, False])
def test_a_follower_whose_leader_has_no_room_goes_without_a_record_too(
    bench: Bench, leader_goes_without: bool
) -> None:
    bench.follow("w2")
    leader = bench.links.connect("w2")
    bench.note("a")
    (call,) = leader.open_calls("note")
    if leader_goes_without:
        call.answer({"index": 30, "recorded": False})
    else:
        call.answer(NoSpace("The disk is full."))
        bench.reads[0](None)
    assert bench.heard == [("a", Place(30 if leader_goes_without else 20, False))]


def test_where_many_predict_a_batch_is_gathered_for_a_while(bench: Bench) -> None:
    bench.note("a", "b", "c", "d")
    bench.proposed[0][1]({"index": 9})
    bench.note("e")
    bench.loop.advance(journal.GATHER_S / 2)
    bench.note("f")
    assert len(bench.proposed) == 1
    bench.loop.advance(journal.GATHER_S)
    assert [summaries for summaries, _ in bench.proposed] == [["a", "b", "c", "d"], ["e", "f"]]
    bench.proposed[1][1]({"index": 10})
    bench.note("g")
    assert bench.proposed[2][0] == ["g"], "few are not held up"


def test_a_batch_and_what_waits_have_limits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "NOTES_AT_ONCE", 2)
    monkeypatch.setattr(journal, "NOTES_LIMIT", 3)
    bench.note("a", "b", "c", "d")
    assert [(said, type(error)) for said, error in bench.heard] == [("d", Busy)]
    bench.proposed[0][1]({"index": 9})
    bench.loop.settle()
    assert [summaries for summaries, _ in bench.proposed] == [["a", "b"], ["c"]]


def test_a_leader_that_was_followed_by_another_is_not_waited_for(bench: Bench) -> None:
    bench.follow("w2")
    (first, second) = (bench.links.connect(peer) for peer in ("w2", "w3"))
    bench.note("a")
    bench.journal.led()
    assert bench.heard == []
    bench.follow("w3")
    bench.journal.led()
    bench.note("b")
    first.open_calls("note")[0].answer({"index": 9})
    second.open_calls("note")[0].answer({"index": 10})
    assert [(said, found if isinstance(found, Place) else type(found)) for said, found in bench.heard] == [
        ("a", Unreachable),
        ("b", Place(10, True)),
    ]


def test_a_leader_puts_the_notes_of_all_together(bench: Bench) -> None:
    bench.note("a")
    heard: list[Any] = []
    bench.journal.add(Notes(("bo", "cy"), ("b", "c")), heard.append)
    bench.note("d")
    bench.proposed[0][1]({"index": 5})
    bench.loop.settle()
    assert bench.proposed[1][0] == ["b", "c", "d"]
    bench.proposed[1][1]({"index": 6})
    assert (heard, bench.heard) == ([Place(6, True)], [("a", Place(5, True)), ("d", Place(6, True))])


def test_the_driver_looks_at_a_batch_at_once() -> None:
    """What is proposed behind the driver's look would wait for whatever wakes the loop next."""
    loop = Loop()
    bench = Bench(loop)
    late: list[str] = []

    def give_up() -> None:
        late.append("nothing woke the driver")
        loop.stop()

    def turn() -> None:
        if bench.proposed:
            loop.stop()

    loop.post(lambda: bench.journal.add(Notes(("ana",), ("a",)), lambda _: None))
    loop.call_later(5.0, give_up)
    loop.run(turn)
    loop.close()
    assert [summaries for summaries, _ in bench.proposed] == [["a"]]
    assert late == []
