"""Predictions go to every worker, and past the dead ones."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from backend import predictions
from backend.client import Answer, ClusterClient
from shared.errors import NotLeader, ProtocolViolation, Refused
from shared.messages import Predict, PredictInput
from tests.unit.backend.fake_cluster import Asked, FakeCluster, HangUp, Reply

Connect = Callable[..., ClusterClient]
ONE = Predict("m1", (PredictInput("array", 4, (1, 2, 2)),))


def workers_of(cluster: FakeCluster) -> Counter[str]:
    return Counter(asked.worker.id for asked in cluster.asked if type(asked.request) is Predict)


def ask(client: ClusterClient, times: int = 1) -> list[str]:
    """Who answered."""
    return [client.call_any(ONE, bytes(4)).header["worker"] for _ in range(times)]


def test_predictions_are_spread_over_all_workers(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0)
    ask(client, 31)  # after the first one the client knows all three
    assert workers_of(cluster) == {"w1": 11, "w2": 10, "w3": 10}


def test_a_dead_worker_is_passed_over_and_then_left_alone(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0, 1, 2)
    ask(client, 3)
    cluster.workers[1].kill()
    assert set(ask(client, 20)) == {"w1", "w3"}


def test_a_worker_that_dies_with_the_request_costs_a_retry(cluster: FakeCluster, connect: Connect) -> None:
    def die(asked: Asked) -> Reply | None:
        asked.worker.kill()
        raise HangUp

    client = connect(0, 1, 2)
    client.status()
    cluster.on("predict", die)
    with ThreadPoolExecutor(8) as threads:
        assert len(list(threads.map(lambda _: ask(client), range(64)))) == 64


def test_a_worker_that_is_cut_off_from_the_others_is_passed_over(
    cluster: FakeCluster, connect: Connect
) -> None:
    def cut_off(asked: Asked) -> Reply | None:
        if asked.worker.id == "w2":
            raise NotLeader("This worker does not lead.")
        return None

    client = connect(0, 1, 2)
    cluster.on("predict", cut_off, times=1_000)
    ask(client, 12)
    assert workers_of(cluster)["w2"] == 1


def test_a_frozen_worker_is_given_up(cluster: FakeCluster, connect: Connect) -> None:
    client = connect(0, 1, 2)
    ask(client, 3)
    cluster.workers[2].freeze()
    assert set(ask(client, 6)) == {"w1", "w2"}


def test_a_refusal_is_no_reason_to_ask_another(cluster: FakeCluster, connect: Connect) -> None:
    def refuse(asked: Asked) -> Reply | None:
        raise Refused("This is not an image.")

    cluster.on("predict", refuse)
    with pytest.raises(Refused, match="not an image"):
        ask(connect(0, 1, 2))
    assert workers_of(cluster).total() == 1


def test_the_batches_of_one_prediction_are_of_one_model_and_in_order(
    cluster: FakeCluster, connect: Connect
) -> None:
    hold = threading.Event()

    def answer(asked: Asked) -> Reply | None:
        if asked.body == b"1":
            assert hold.wait(10)  # the later ones are faster
        elif asked.body == b"4":
            hold.set()
        receipt = {"model": "m7", "digest": "d" * 64, "term": 3, "index": 9, "worker": asked.worker.id}
        return {**receipt, "labels": [asked.body.decode()]}, bytes(4)

    cluster.on("predict", answer, times=100)
    batches = [([PredictInput("image", 1)], b"%d" % number) for number in range(10)]
    found = list(predictions.predict(connect(0, 1, 2), "digits@best", iter(batches)))
    assert [one.labels for one in found] == [[str(number)] for number in range(10)]
    assert [request.model for request in cluster.requests("predict")] == ["digits@best"] + ["m7"] * 9


def test_an_answer_becomes_labels_and_probabilities() -> None:
    header = {"model": "m1", "digest": "d", "term": 1, "index": 2, "worker": "w", "labels": ["a", "b"]}
    body = bytes.fromhex("0000403f 0000803e 0000003e 0000603f")  # 0.75 0.25 0.125 0.875
    found = predictions.read(Answer(header, body, ("h", 1)))
    assert found.outputs() == [
        {"label": "a", "probabilities": {"a": 0.75, "b": 0.25}},
        {"label": "b", "probabilities": {"a": 0.125, "b": 0.875}},
    ]
    assert found.receipt == {name: header[name] for name in ("model", "digest", "term", "index", "worker")}
    for wrong, short in (({"labels": []}, b""), ({}, bytes(4)), ({"labels": None}, b"")):
        with pytest.raises(ProtocolViolation):
            predictions.read(Answer({**header, **wrong}, short, ("h", 1)))
