"""Predictions: loaded once, run again when the process died, and never more than the worker can hold."""

from typing import Any

import pytest

from shared.errors import Busy, MinkaError, Refused
from tests.unit.node.fakes import Call, FakeChildren, FakeConnection, FakeLoop
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow
from worker.serving import service
from worker.serving.service import PredictionService


class Bench:
    def __init__(self) -> None:
        self.loop, self.children = FakeLoop(), FakeChildren()
        self.paths: list[Any] = []
        self.heard: list[Any] = []
        loop: Any = self.loop
        children: Any = self.children
        self.service = PredictionService(loop, children, {}, self._blob_path)
        self.child = self.children.named["predictor"]

    def _blob_path(self, blob: Blob, found: Any) -> None:
        self.paths.append((blob.digest, found))

    def find(self, answer: str | MinkaError = "weights") -> None:
        """Every blob that is asked for is found."""
        paths, self.paths = self.paths, []
        for _, found in paths:
            found(answer)

    def predict(self, model: str = "m1", body: bytes = b"x") -> None:
        row = ModelRow(model, 1, "n", {"arch": "mlp"}, {}, 0, "done", facts={"labels": ["a"]})
        row.weights = Blob(model, 100)
        self.service.predict(row, {"inputs": []}, body, lambda answer, _: self.heard.append(answer))

    def answer(self, connection: FakeConnection, op: str, answer: Any = None) -> list[Call]:
        calls = connection.open_calls(op)
        for call in calls:
            call.answer({"outputs": []} if answer is None else answer)
        return calls


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_model_is_loaded_once_for_all_who_wait(bench: Bench) -> None:
    connection = bench.child.join()
    for _ in range(5):
        bench.predict()
    bench.find()
    assert len(bench.answer(connection, "load", {"dropped": []})) == 1
    assert len(bench.answer(connection, "predict")) == 5
    bench.predict()
    assert len(bench.answer(connection, "predict")) == 1
    assert bench.heard == [{"outputs": []}] * 6


def test_predictions_wait_for_the_process(bench: Bench) -> None:
    bench.predict()
    connection = bench.child.join()
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.heard == [{"outputs": []}]


@pytest.mark.parametrize("moment", ["load", "predict"])
def test_a_prediction_survives_one_death_of_the_process(bench: Bench, moment: str) -> None:
    connection = bench.child.join()
    bench.predict()
    bench.find()
    if moment == "predict":
        bench.answer(connection, "load", {})
    bench.child.die()
    connection = bench.child.join()
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.heard == [{"outputs": []}]


def test_a_prediction_that_ends_the_process_twice_fails(bench: Bench) -> None:
    bench.predict()
    for _ in range(2):
        connection = bench.child.join()
        bench.find()
        bench.answer(connection, "load", {})
        bench.child.die()
    assert [isinstance(answer, MinkaError) for answer in bench.heard] == [True]


def test_a_model_that_was_dropped_meanwhile_is_loaded_again(bench: Bench) -> None:
    connection = bench.child.join()
    bench.predict("m1")
    bench.find()
    bench.answer(connection, "load", {})
    bench.predict("m2")
    bench.find()
    bench.answer(connection, "load", {"dropped": ["m1"]})
    first, second = connection.open_calls("predict")
    first.answer(Refused("The model m1 is not loaded."))
    second.answer({"outputs": []})
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.heard == [{"outputs": []}] * 2


def test_a_refusal_is_told_as_it_is(bench: Bench) -> None:
    connection = bench.child.join()
    bench.predict()
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict", Refused("That is no image."))
    assert [error.reason for error in bench.heard] == ["That is no image."]


def test_weights_that_cannot_be_had_fail_all_who_wait(bench: Bench) -> None:
    bench.child.join()
    for _ in range(3):
        bench.predict()
    bench.find(Refused("The disk failed."))
    bench.find(Refused("The disk failed."))
    assert [type(answer) for answer in bench.heard] == [Refused] * 3


def test_more_than_the_worker_can_hold_is_busy_and_room_comes_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "QUEUE_BYTES", 100)
    connection = bench.child.join()
    bench.predict(body=bytes(60))
    bench.predict(body=bytes(60))
    assert [type(answer) for answer in bench.heard] == [Busy]
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    bench.predict(body=bytes(60))
    assert len(bench.heard) == 2
