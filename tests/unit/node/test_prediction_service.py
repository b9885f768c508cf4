"""Predictions: loaded once, run again when the process died, and never more than the worker can hold."""

from typing import Any

import pytest

from shared.errors import Busy, MinkaError, Refused, failure_fields
from tests.unit.node.fakes import Call, FakeChildren, FakeConnection, FakeLoop
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow
from worker.serving import service
from worker.serving.service import Inputs, PredictionService


def about(size_bytes: int) -> dict[str, Any]:
    return {"size_bytes": size_bytes, "inputs": "", "digest": "", "best": 0, "probability": 1.0}


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

    def warm(self, model: str = "m1") -> None:
        self.service.warm(self._row(model))

    def _row(self, model: str) -> ModelRow:
        row = ModelRow(model, 1, "n", {"arch": "mlp"}, {}, 0, "done", facts={"labels": ["a"]})
        row.weights = Blob(model, 100)
        return row

    def predict(self, model: str = "m1", body: bytes = b"x", images: int = 1) -> None:
        inputs = Inputs([("array", len(body), (1, 1, len(body)))], images, body)
        self.service.predict(self._row(model), inputs, self.heard.append)

    def answer(self, connection: FakeConnection, op: str, answer: Any = None) -> list[Call]:
        """Answer all open calls of this kind; a prediction is answered with its own inputs' bytes."""
        self.loop.settle()
        calls = connection.open_calls(op)
        for call in calls:
            if answer is None and op == "predict":
                sizes = [sum(size for _, size, _ in pieces) for pieces in call.fields["predictions"]]
                call.answer({"answers": [about(size) for size in sizes]}, call.body)
            else:
                call.answer({} if answer is None else answer)
        return calls

    @property
    def bodies(self) -> list[bytes]:
        return [answer.probabilities for answer in self.heard]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_model_is_loaded_once_for_all_who_wait(bench: Bench) -> None:
    connection = bench.child.join()
    for _ in range(5):
        bench.predict()
    bench.find()
    assert len(bench.answer(connection, "load", {"dropped": []})) == 1
    bench.answer(connection, "predict")
    bench.predict()
    bench.answer(connection, "predict")
    assert len(connection.open_calls()) == 0
    assert bench.bodies == [b"x"] * 6


def test_a_model_that_will_be_asked_for_is_loaded_before(bench: Bench) -> None:
    bench.warm()  # without a process there is nothing to load it into
    connection = bench.child.join()
    bench.warm()
    bench.warm()
    bench.find()
    bench.predict()
    assert len(bench.answer(connection, "load", {})) == 1
    bench.answer(connection, "predict")
    assert [(call.op, call.body) for call in connection.calls] == [("load", b""), ("predict", b"x")]
    assert bench.bodies == [b"x"]


def test_a_load_that_fails_before_anybody_asks_is_no_fault(bench: Bench) -> None:
    bench.child.join()
    bench.warm()
    bench.find(Refused("The disk failed."))
    connection = bench.child.connection
    assert connection is not None
    bench.predict()
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.bodies == [b"x"]


def test_what_comes_in_one_turn_and_what_waits_for_the_process_travels_together(bench: Bench) -> None:
    connection = bench.child.join()
    bench.predict(body=b"first")
    bench.find()
    bench.answer(connection, "load", {})
    for letter in (b"a", b"bb"):
        bench.predict(body=letter)
    assert [call.body for call in bench.answer(connection, "predict")] == [b"firstabb"]
    for number in range(4):
        bench.predict(body=b"%d" % number)
        bench.loop.settle()
    assert [call.body for call in connection.open_calls()] == [b"0"]
    bench.answer(connection, "predict")
    assert [call.body for call in bench.answer(connection, "predict")] == [b"123"]
    assert bench.bodies == [b"first", b"a", b"bb", b"0", b"1", b"2", b"3"]


def test_one_bad_prediction_of_a_batch_fails_alone(bench: Bench) -> None:
    connection = bench.child.join()
    for letter in (b"a", b"b", b"c"):
        bench.predict(body=letter)
    bench.find()
    bench.answer(connection, "load", {})
    failure = failure_fields(Refused("That is no image."))
    bench.answer(connection, "predict", {"answers": [about(0), {"failure": failure}, about(0)]})
    assert [isinstance(answer, Refused) for answer in bench.heard] == [False, True, False]


def test_models_take_turns_and_a_call_has_a_limit(bench: Bench) -> None:
    connection = bench.child.join()
    for model in ("m1", "m2"):
        bench.predict(model)
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    bench.answer(connection, "predict")
    for _ in range(3):
        bench.predict("m1", body=b"many", images=service.BATCH_IMAGES)
    bench.predict("m2", body=b"one")
    bench.loop.settle()
    assert [call.body for call in connection.open_calls()] == [b"many"]  # the turn is that of a small one
    bench.answer(connection, "predict")
    bench.loop.settle()
    assert [call.body for call in connection.open_calls()] == [b"one", b"many"]


def test_predictions_wait_for_the_process(bench: Bench) -> None:
    bench.predict()
    connection = bench.child.join()
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.bodies == [b"x"]


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
    assert bench.bodies == [b"x"]


def test_a_prediction_that_ends_the_process_twice_fails_and_takes_no_other_with_it(bench: Bench) -> None:
    for body in (b"good", b"deadly", b"fine"):
        bench.predict(body=body)
    deaths = 0
    while len(bench.heard) < 3:
        connection = bench.child.connection or bench.child.join()
        bench.find()
        bench.answer(connection, "load", {})
        bench.loop.settle()
        for call in connection.open_calls("predict"):
            if b"deadly" in call.body:
                bench.child.die()
                deaths += 1
            else:
                bench.answer(connection, "predict")
    assert deaths == 2
    failed = [answer for answer in bench.heard if isinstance(answer, MinkaError)]
    answered = [answer.probabilities for answer in bench.heard if not isinstance(answer, MinkaError)]
    assert (len(failed), sorted(answered)) == (1, [b"fine", b"good"])


def test_a_model_that_was_dropped_meanwhile_is_loaded_again(bench: Bench) -> None:
    connection = bench.child.join()
    bench.predict("m1")
    bench.find()
    bench.answer(connection, "load", {})
    bench.predict("m2")
    bench.find()
    bench.answer(connection, "load", {"dropped": ["m1"]})
    bench.loop.settle()
    (call,) = connection.open_calls("predict")
    call.answer(Refused("The model m1 is not loaded."))
    bench.answer(connection, "predict")
    bench.find()
    bench.answer(connection, "load", {})
    bench.answer(connection, "predict")
    assert bench.bodies == [b"x"] * 2


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
