"""Serving on a live cluster: every worker answers, with the same bits, whoever dies meanwhile."""

import hashlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from backend import predictions
from backend.client import Answer, ClusterClient
from backend.evaluation import evaluate_files, note
from backend.transfers import upload
from shared.datasets import load_inputs
from shared.errors import MinkaError
from shared.messages import Predict, PredictInput, Promote, Records, RollBack, ShowModel
from tests.live.cluster import LiveCluster, wait_for
from tests.live.conftest import SAMPLES
from tests.live.test_snapshots import children_of
from tests.live.test_training import finished, train

Start = Callable[..., LiveCluster]
SPEC: dict[str, Any] = {"epochs": 2, "seed": 7, "shards": 2, "name": "digits"}


def images(count: int) -> list[bytes]:
    """Pixels of so many images, 28 x 28."""
    return [image.tobytes() for image in load_inputs(SAMPLES / "mnist-test-images.idx.gz", "test")[:count]]


def ask(client: ClusterClient, model: str, pixels: bytes) -> Answer:
    count = len(pixels) // 784
    return client.call_any(Predict(model, (PredictInput("array", len(pixels), (count, 28, 28)),)), pixels)


class Load:
    """Clients that predict one image after the other, each of its own, until they are stopped."""

    def __init__(self, cluster: LiveCluster, model: str, clients: int = 6) -> None:
        self.answers: list[tuple[int, Answer]] = []
        self.failures: list[MinkaError] = []
        self._model = model
        self._stop = threading.Event()
        self._images = images(clients)
        self._cluster = cluster
        self._threads = [threading.Thread(target=self._predict, args=(number,)) for number in range(clients)]

    def _predict(self, number: int) -> None:
        with self._cluster.client(name=f"client-{number}") as client:
            while not self._stop.is_set():
                try:
                    self.answers.append((number, ask(client, self._model, self._images[number])))
                except MinkaError as error:
                    self.failures.append(error)

    def goes_on(self) -> None:
        """Return when some more predictions than now are answered."""
        before = len(self.answers)
        wait_for("predictions go on", lambda: len(self.answers) > before + 60 or self.failures)

    def goes_on_with(self, worker: str) -> None:
        """Return when `worker` answers again: its record is committed, so it takes part."""
        before = len(self.answers)

        def answers() -> bool:
            return any(answer.header["worker"] == worker for _, answer in self.answers[before:])

        wait_for(f"{worker} answers again", lambda: answers() or self.failures)

    @contextmanager
    def running(self) -> Iterator["Load"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()


def test_every_worker_answers_with_the_same_bits_in_any_company(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        row = finished(client, train(client, **SPEC))
        pictures = images(100)
        together = ask(client, row["id"], b"".join(pictures))
        assert together.header["labels"] == [str(digit) for digit in range(10)]
        assert together.header["digest"] == row["digest"]
        assert together.header["index"] >= row["index"]
        alone = [ask(client, row["id"], picture) for picture in pictures]
    assert b"".join(answer.body for answer in alone) == together.body
    assert Counter(answer.header["worker"] for answer in alone).keys() == set(cluster.ids)


def test_a_follower_answers_from_no_older_state_than_what_was_acknowledged(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        row = finished(client, train(client, **SPEC))
        (picture,) = images(1)
        for number in range(20):
            named = upload(client, b"x", f"file {number}", lambda done, total: None)
            answer = ask(client, row["id"], picture)
            assert answer.header["index"] >= named["index"]


def test_killing_workers_under_load_costs_retries_and_no_error(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        model = finished(client, train(client, **SPEC))["id"]
    with Load(cluster, model).running() as load:
        load.goes_on()
        leader = cluster.leader()
        for victim in (next(id for id in cluster.ids if id != leader), leader):
            cluster.kill(victim)
            load.goes_on()
            cluster.start(victim)
            load.goes_on_with(victim)
    assert load.failures == []
    cluster.ready()
    asked = Counter(number for number, _ in load.answers)
    with cluster.client() as client:
        rows = records(client)
        noted = Counter(row["client"] for row in rows if row["kind"] == "predict")
        assert all(noted[f"client-{number}"] >= count for number, count in asked.items())
    for id in cluster.ids:
        wait_until_shown(cluster, id, rows[-1:])
    bodies = {(number, answer.body) for number, answer in load.answers}
    assert len(bodies) == len({number for number, _ in bodies}), "an image was answered in two ways"


def test_a_worker_that_dies_with_a_request_in_its_hands_costs_a_retry(start_cluster: Start) -> None:
    cluster = start_cluster()
    victim = next(id for id in cluster.ids if id != cluster.leader())
    pictures = images(3)
    with cluster.client() as client, ThreadPoolExecutor(len(pictures)) as threads:
        model = finished(client, train(client, **SPEC))["id"]
        asked = [ask(client, model, picture).header["worker"] for picture in pictures]
        assert set(asked) == set(cluster.ids), "they take turns"
        cluster.pause(victim)
        answers = [threads.submit(ask, client, model, picture) for picture in pictures]
        wait_for("the others answer", lambda: sum(answer.done() for answer in answers) >= 2)
        cluster.kill(victim)
        found = [answer.result() for answer in answers]
    assert victim not in {answer.header["worker"] for answer in found}
    assert [predictions.read(answer).recorded for answer in found] == [True] * 3


def test_no_prediction_fails_while_an_alias_moves_under_load(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        first, second = (finished(client, train(client, **SPEC | {"seed": seed}))["id"] for seed in (1, 2))
        client.command(lambda ticket: Promote(ticket, first, "best"))
        (picture,) = images(1)
        with Load(cluster, "digits@best").running() as load:
            load.goes_on()
            for _ in range(5):
                answer = client.command(lambda ticket: Promote(ticket, "digits@2", "best")).header
                assert (answer["model"], answer["before"]) == (second, first)
                assert [ask(client, "digits@best", picture).header["model"] for _ in range(3)] == [second] * 3
                load.goes_on()
                client.command(lambda ticket: RollBack(ticket, "digits@best"))
                assert [ask(client, "digits@best", picture).header["model"] for _ in range(3)] == [first] * 3
                load.goes_on()
    assert load.failures == []
    assert {answer.header["model"] for _, answer in load.answers} == {first, second}


def test_the_death_of_a_predictor_costs_a_retry(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        model = finished(client, train(client, **SPEC))["id"]
    with Load(cluster, model).running() as load:
        load.goes_on()
        (predictor,) = children_of(cluster.processes["w1"].pid, "worker.serving.predictor")
        os.kill(predictor, signal.SIGKILL)
        load.goes_on()
    assert load.failures == []


def records(client: ClusterClient) -> list[dict[str, Any]]:
    """All that there are."""
    rows: list[dict[str, Any]] = []
    while page := client.call(Records(after=len(rows))).header["records"]:
        rows += page
    return rows


def wait_until_shown(cluster: LiveCluster, id: str, rows: list[dict[str, Any]]) -> None:
    """Return when these are the last records that the monitor of worker `id` shows."""
    path = f"/api/records?tail={len(rows)}"
    wait_for(f"the monitor of {id} shows them", lambda: cluster.monitor(id, path)["records"] == rows)


def test_every_prediction_is_a_record_on_every_worker(start_cluster: Start) -> None:
    cluster = start_cluster()
    pictures = images(9)
    with cluster.client(name="ana@lab") as client:
        model = finished(client, train(client, **SPEC))["id"]
        answers = [ask(client, model, picture) for picture in [*pictures, b"".join(pictures)]]
        rows = client.call(Records(tail=10)).header["records"]
    said = []
    for picture, answer in zip([*pictures, b"".join(pictures)], answers, strict=True):
        (found,) = [predictions.read(answer).outputs()] if len(answer.body) == 40 else [[]]
        text = f"9 answers {hashlib.sha256(answer.body).hexdigest()}"
        for output in found:
            text = f"{output['label']} ({output['probabilities'][output['label']]:.1%})"
        inputs, worker = hashlib.sha256(picture).hexdigest(), answer.header["worker"]
        said.append(f"{model}: {text}, inputs {inputs}, on {worker}")
    assert [row["summary"] for row in rows] == said
    assert {(row["client"], row["kind"]) for row in rows} == {("ana@lab", "predict")}
    assert all(row["index"] == answer.header["index"] for row, answer in zip(rows, answers, strict=True))
    for id in cluster.ids:
        wait_until_shown(cluster, id, rows)


def test_an_evaluation_is_kept_with_its_model_on_every_worker(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client(name="ana@lab") as client:
        row = finished(client, train(client, **SPEC))
        files = [SAMPLES / f"mnist-test-{kind}.idx.gz" for kind in ("images", "labels")]
        receipt, found = evaluate_files(client, "digits@1", *files, worst=5)
        index = note(client, receipt["model"], files[0].name, found)
        kept = client.call(ShowModel(row["id"])).header["model"]["evaluation"]
        (record,) = client.call(Records(tail=1)).header["records"]
    assert found.accuracy == pytest.approx(row["test_accuracy"], abs=0.002)
    assert (record["kind"], record["client"], record["index"]) == ("evaluate", "ana@lab", index)
    assert (kept["accuracy"], kept["images"], kept["index"]) == (found.accuracy, 1_000, index)
    assert (kept["confusion"], kept["worst"]) == (found.confusion.tolist(), found.worst)
    for id in cluster.ids:
        wait_for("the monitor shows it", lambda id=id: shown_evaluation(cluster, id) == kept)  # type: ignore[misc]


def shown_evaluation(cluster: LiveCluster, id: str) -> dict[str, Any] | None:
    (model,) = cluster.monitor(id, "/api/models")["models"]
    return model["evaluation"] and dict(model["evaluation"])
