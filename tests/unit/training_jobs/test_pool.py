"""Tasks and trainer processes: each task is answered once, whatever dies meanwhile."""

import sys
from typing import Any

import pytest

from shared.errors import Busy, Refused, TaskFailed
from tests.unit.node.fakes import FakeChild, FakeChildren, FakeLoop
from worker.training import pool
from worker.training.pool import ATTEMPTS, TrainerPool
from worker.training.shared_memory import SIZE_FIELD, SharedMemory


class Bench:
    def __init__(self, cores: int = 2) -> None:
        self.loop, self.children = FakeLoop(), FakeChildren()
        loop: Any = self.loop
        children: Any = self.children
        self.pool = TrainerPool(loop, children, cores, {})
        self.heard: list[Any] = []

    @property
    def trainers(self) -> list[FakeChild]:
        return list(self.children.named.values())

    def submit(self, op: str, *, first: bool = False, model: str = "m1") -> None:
        self.pool.submit(
            op, {"model": model}, b"", lambda answer, body: self.heard.append((op, answer, body)), first=first
        )

    def at_work(self) -> list[str]:
        """The operations that trainers have now."""
        found = [child.connection.open_calls() for child in self.trainers if child.connection]
        return sorted(call.op for calls in found for call in calls)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    for child in bench.trainers:
        child.join()
    return bench


def test_there_is_a_process_for_each_core() -> None:
    assert [child.started for child in Bench(3).trainers] == [True] * 3


def test_tasks_wait_until_a_process_has_joined() -> None:
    bench = Bench(1)
    bench.submit("a")
    assert bench.at_work() == []
    bench.trainers[0].join()
    assert bench.at_work() == ["a"]


def test_each_process_has_one_task_at_a_time_and_urgent_ones_go_first(bench: Bench) -> None:
    for op in "abcd":
        bench.submit(op)
    bench.submit("urgent", first=True)
    assert bench.at_work() == ["a", "b"]
    for child in bench.trainers:
        assert child.connection is not None
        child.connection.open_calls()[0].answer({})
    assert bench.at_work() == ["c", "urgent"]
    assert [op for op, _, _ in bench.heard] == ["b", "a"] or [op for op, _, _ in bench.heard] == ["a", "b"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has memory without a name")
def test_large_bodies_come_and_go_in_shared_memory() -> None:
    bench = Bench(1)
    connection = bench.trainers[0].join()
    path = bench.trainers[0].settings["memory"]
    process = SharedMemory.open(path)
    body = bytes(range(256)) * 1024
    bench.pool.submit("a", {}, body, lambda answer, back: bench.heard.append((answer, back)))
    (call,) = connection.open_calls()
    assert call.body == b""
    assert process.take(call.fields[SIZE_FIELD]) == body
    process.give(body[::-1])
    call.answer({"loss": 1.0, SIZE_FIELD: len(body)})
    assert bench.heard == [({"loss": 1.0}, body[::-1])]


def test_urgent_tasks_keep_their_own_order() -> None:
    bench = Bench(1)
    bench.submit("shard")
    for op in ("first", "second", "third"):
        bench.submit(op, first=True)
    child = bench.trainers[0].join()
    done: list[str] = []
    while calls := child.open_calls():
        done.append(calls[0].op)
        calls[0].answer({})
    assert done == ["first", "second", "third", "shard"]


def test_a_task_whose_process_died_is_given_to_another(bench: Bench) -> None:
    bench.submit("a")
    (victim,) = [child for child in bench.trainers if child.connection and child.connection.calls]
    victim.die()
    assert bench.heard == []
    (other,) = [child for child in bench.trainers if child.connection]
    assert other.connection is not None
    other.connection.open_calls()[0].answer({"x": 1}, b"bytes")
    assert bench.heard == [("a", {"x": 1}, b"bytes")]


def test_a_task_that_ends_every_process_is_to_blame(bench: Bench) -> None:
    bench.submit("deadly")
    for _ in range(ATTEMPTS):
        assert bench.heard == []
        (victim,) = [child for child in bench.trainers if child.connection and child.connection.open_calls()]
        victim.die()
        victim.join()
    assert isinstance(bench.heard[0][1], TaskFailed)
    bench.submit("harmless")
    assert bench.at_work() == ["harmless"]


def test_an_idle_process_that_dies_is_given_nothing(bench: Bench) -> None:
    bench.trainers[0].die()
    bench.submit("a")
    bench.submit("b")
    assert bench.at_work() == ["a"]
    bench.trainers[0].join()
    assert bench.at_work() == ["a", "b"]


def test_more_than_the_queue_takes_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "QUEUE_LIMIT", 2)
    bench = Bench(1)
    for op in "abc":
        bench.submit(op)
    assert bench.heard == []
    bench.loop.advance(0)
    assert [(op, type(answer)) for op, answer, _ in bench.heard] == [("c", Busy)]


def test_what_an_answer_causes_may_be_another_task(bench: Bench) -> None:
    rounds: list[str] = []

    def again(answer: Any, body: bytes) -> None:
        rounds.append("done")
        if len(rounds) < 5:
            bench.pool.submit("next", {}, b"", again)

    bench.pool.submit("next", {}, b"", again)
    for _ in range(5):
        for child in bench.trainers:
            assert child.connection is not None
            for call in child.connection.open_calls():
                call.answer({})
    assert len(rounds) == 5


def test_what_a_model_that_has_ended_waits_for_is_given_up_and_its_processes_are_free(bench: Bench) -> None:
    bench.submit("a", model="m1")
    bench.submit("b", model="m2")
    for op in "cd":
        bench.submit(op, model="m1")
    bench.submit("e", model="m2")
    bench.pool.give_up("m1")
    assert sorted(op for op, answer, _ in bench.heard if isinstance(answer, Refused)) == ["a", "c", "d"]
    assert sorted(child.restarts for child in bench.trainers) == [0, 1]
    assert bench.at_work() == ["b"]
    for child in bench.trainers:
        if child.connection is None:
            child.join()
    assert bench.at_work() == ["b", "e"]
    bench.pool.give_up("m1")
    assert sum(child.restarts for child in bench.trainers) == 1
