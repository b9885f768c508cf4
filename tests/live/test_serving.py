"""Serving on a live cluster: every worker answers, with the same bits, whoever dies meanwhile."""

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from backend.client import Answer, ClusterClient
from backend.transfers import upload
from shared.datasets import load_inputs
from shared.errors import MinkaError
from shared.messages import Predict, PredictInput
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
            cluster.ready()
            load.goes_on()
    assert load.failures == []
    bodies = {(number, answer.body) for number, answer in load.answers}
    assert len(bodies) == len({number for number, _ in bodies}), "an image was answered in two ways"


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
