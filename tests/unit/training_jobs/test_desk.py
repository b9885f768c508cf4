"""Where a worker takes in shards: the data set first, the state once, and a refusal for what cannot be computed."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import MinkaError, ProtocolViolation, Refused
from worker.registry.commands import Blob
from worker.training import desk
from worker.training.coordinator import STATE_NEEDED
from worker.training.desk import Desk

TASK = {
    "term": 3,
    "model": "m1",
    "spec": {"arch": "mlp"},
    "dataset": "ab" * 32,
    "size_bytes": 100,
    "round": 2,
    "shard": 1,
    "state_digest": "first",
}


class Bench:
    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.path: str | MinkaError = "blobs/dataset"
        self.heard: list[Any] = []
        pool: Any = self
        self.desk = Desk(pool, self._blob_path)

    def submit(self, op: str, fields: dict[str, Any], body: bytes, done: Any) -> None:
        self.submitted.append((op, fields, body))
        done({"loss": 0.5}, b"new state")

    def _blob_path(self, blob: Blob, found: Callable[[str | MinkaError], None]) -> None:
        assert blob == Blob("ab" * 32, 100)
        found(self.path)

    def compute(self, state: bytes, **changed: Any) -> Any:
        self.desk.compute({**TASK, **changed}, state, lambda answer, body: self.heard.append((answer, body)))
        return self.heard[-1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_shard_is_computed_on_the_data_set_of_this_worker(bench: Bench) -> None:
    assert bench.compute(b"state") == ({"loss": 0.5}, b"new state")
    ((op, fields, body),) = bench.submitted
    assert (op, body) == ("shard", b"state")
    assert (fields["dataset"], fields["round"], fields["shard"]) == ("blobs/dataset", 2, 1)


def test_a_state_is_sent_once_for_many_shards(bench: Bench) -> None:
    bench.compute(b"state")
    bench.compute(b"", shard=2)
    assert [body for _, _, body in bench.submitted] == [b"state"] * 2


def test_a_state_that_is_not_here_is_asked_for(bench: Bench) -> None:
    answer, _ = bench.compute(b"")
    assert isinstance(answer, Refused)
    assert answer.reason == STATE_NEEDED


def test_old_states_give_way_to_new_ones(bench: Bench) -> None:
    for number in range(desk.STATES_LIMIT + 1):
        bench.compute(b"state", state_digest=f"state {number}")
    assert isinstance(bench.compute(b"", state_digest="state 0")[0], Refused)
    assert bench.compute(b"", state_digest="state 1")[0] == {"loss": 0.5}


def test_a_data_set_that_cannot_be_had_is_said(bench: Bench) -> None:
    bench.path = Refused("The disk failed.")
    assert bench.compute(b"state") == (bench.path, b"")


@pytest.mark.parametrize("changed", [{"round": "two"}, {"spec": None}, {"dataset": 7}, {"shard": -1}])
def test_a_task_that_makes_no_sense_is_a_violation(bench: Bench, changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        bench.compute(b"state", **changed)
    assert bench.submitted == []
