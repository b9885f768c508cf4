"""Training on a live cluster: the same bits, whoever computes and whoever dies."""

from collections.abc import Callable
from typing import Any

import pytest

from backend.client import ClusterClient
from backend.transfers import upload
from shared.errors import Refused
from shared.messages import Cancel, Predict, PredictInput, ShowModel, Train, TrainSpec, Verify
from tests.live.cluster import LiveCluster, wait_for
from tests.live.conftest import SAMPLES

Start = Callable[..., LiveCluster]

SPEC: dict[str, Any] = {"epochs": 12, "seed": 7, "shards": 3, "steps_per_round": 10}


def train(client: ClusterClient, **spec: Any) -> str:
    """Upload the sample and start a job on it; the model's id."""
    files = {}
    for role, name in (
        ("inputs", "train-images"),
        ("outputs", "train-labels"),
        ("test_inputs", "test-images"),
        ("test_outputs", "test-labels"),
    ):
        path = SAMPLES / f"mnist-{name}.idx.gz"
        files[role] = upload(client, path, path.name, lambda done, total: None)["id"]
    wanted = TrainSpec(**files, **spec)
    return str(client.command(lambda ticket: Train(ticket, wanted)).header["model"])


def finished(client: ClusterClient, model: str) -> dict[str, Any]:
    """The model's row once its job has ended."""

    def look() -> dict[str, Any] | None:
        row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
        return row if row["status"] not in ("queued", "training") else None

    return wait_for(f"{model} ends", look, 120)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same job on one worker that nobody disturbs."""
    with LiveCluster(tmp_path_factory.mktemp("alone"), 1, cores=2) as cluster, cluster.client() as client:
        return finished(client, train(client, **SPEC))


def test_three_workers_make_the_same_bits_as_one(start_cluster: Start, undisturbed: dict[str, Any]) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        row = finished(client, train(client, **SPEC))
        assert row["status"] == "done", row["error"]
        assert row["digest"] == undisturbed["digest"]
        assert [one["loss"] for one in row["history"]] == [one["loss"] for one in undisturbed["history"]]
        assert row["test_accuracy"] == undisturbed["test_accuracy"] > 0.85


def test_killing_the_leader_changes_no_bit_of_the_model(
    start_cluster: Start, undisturbed: dict[str, Any]
) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        model = train(client, **SPEC)

        def under_way() -> bool:
            row = client.call(ShowModel(model)).header["model"]
            assert row["status"] in ("queued", "training"), "it ended before the leader could be killed"
            return bool(row["status"] == "training" and row["round"] >= 20)

        wait_for("some rounds", under_way)
        killed = cluster.leader()
        cluster.kill(killed)
        row = finished(client, model)
        assert row["status"] == "done", row["error"]
        assert row["digest"] == undisturbed["digest"]
        assert row["rounds"] == len(row["history"]) == undisturbed["rounds"]

        cluster.start(killed)
        cluster.ready()
        verified = client.call(Verify()).header
        assert verified["equal"]
        holders = {row["id"]: row["holders"] for row in verified["files"]}
        assert holders[model] == dict.fromkeys(cluster.ids, "ok")


def test_a_leader_that_is_stopped_while_it_trains_ends_cleanly_and_another_goes_on(
    start_cluster: Start, undisturbed: dict[str, Any]
) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        model = train(client, **SPEC)
        wait_for("some rounds", lambda: client.call(ShowModel(model)).header["model"]["round"] >= 5)
        assert cluster.terminate(cluster.leader()) == 0
        row = finished(client, model)
        assert (row["status"], row["digest"]) == ("done", undisturbed["digest"])


def test_more_shards_than_one_frame_can_hold_the_states_of(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        row = finished(client, train(client, epochs=1, batch=8, shards=40))
        assert (row["status"], row["error"]) == ("done", None)


def test_a_job_can_be_cancelled_and_a_bad_one_says_why(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        model = train(client, epochs=5_000)
        wait_for("it trains", lambda: client.call(ShowModel(model)).header["model"]["round"] > 0)
        client.command(lambda ticket: Cancel(ticket, model))
        assert finished(client, model)["status"] == "cancelled"

        with pytest.raises(Refused, match="no weights"):
            client.call(Predict(model, (PredictInput("array", 1, (1, 1, 1)),)), b"\0")
        with pytest.raises(Refused, match="no model"):
            client.call(ShowModel("m999999"))
        with pytest.raises(Refused, match="batch"):
            train(client, batch=0)

        garbage = upload(client, b"not an IDX file", "images.idx", lambda done, total: None)["id"]
        bad = client.command(lambda ticket: Train(ticket, TrainSpec(garbage, garbage))).header["model"]
        row = finished(client, bad)
        assert row["status"] == "failed"
        assert "images.idx" in row["error"]
