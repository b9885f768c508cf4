"""Training on a live cluster: the same bits, whoever computes and whoever dies."""

import io
import struct
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from backend.client import ClusterClient
from backend.predictions import predict
from backend.transfers import add_example, upload
from shared.datasets import load_inputs, load_outputs
from shared.errors import Refused
from shared.messages import (
    INLINE_BYTES,
    AddMember,
    Audit,
    Cancel,
    FindDataset,
    Predict,
    PredictInput,
    ShowModel,
    Train,
    TrainSpec,
    Verify,
)
from tests.live.cluster import LiveCluster, wait_for
from tests.live.conftest import SAMPLES
from tests.live.forger import Forgers
from tests.live.test_members import enlarge

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


def finished(client: ClusterClient, model: str, deadline_s: float = 120) -> dict[str, Any]:
    """The model's row once its job has ended."""

    def look() -> dict[str, Any] | None:
        row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
        return row if row["status"] not in ("queued", "training") else None

    return wait_for(f"{model} ends", look, deadline_s)


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


EVERYTHING: dict[str, Any] = {
    "arch": "conv 4 5x5, pool 2, conv 8 3x3, norm, pool 2, dropout 0.25, dense 16, dense",
    "optimiser": "adam",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "averaging": 0.3,
    "shift": 1,
    "rotation": 5,
    "epochs": 4,
    "seed": 3,
    "shards": 4,
    "steps_per_round": 5,
}


@pytest.fixture(scope="module")
def everything_undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A job that uses all there is, on one worker of one core that nobody disturbs."""
    with LiveCluster(tmp_path_factory.mktemp("alone"), 1, cores=1) as cluster, cluster.client() as client:
        row = finished(client, train(client, **EVERYTHING))
        assert row["status"] == "done", row["error"]
        return row


@pytest.mark.parametrize(("size", "cores"), [(2, 2), (5, 1)])
def test_any_number_of_workers_and_cores_makes_the_same_bits(
    size: int, cores: int, start_cluster: Start, everything_undisturbed: dict[str, Any]
) -> None:
    cluster = start_cluster(size=size, cores=cores)
    with cluster.client() as client:
        row = finished(client, train(client, **EVERYTHING))
        assert (row["status"], row["digest"]) == ("done", everything_undisturbed["digest"])
        assert row["test_accuracy"] == everything_undisturbed["test_accuracy"]


@pytest.mark.parametrize("seed", range(3))
def test_workers_killed_and_stopped_at_any_moment_change_no_bit(
    seed: int, start_cluster: Start, everything_undisturbed: dict[str, Any]
) -> None:
    """One after the other, the leader or another, so that a majority is always there; a stopped one is let go again."""
    random = Random(seed)
    cluster = start_cluster()
    with cluster.client() as client:
        model = train(client, **EVERYTHING)
        rounds = everything_undisturbed["rounds"]
        disturbed = 0
        for reached in sorted(random.sample(range(1, rounds * 3 // 4), 3)):

            def under_way(reached: int = reached) -> bool:
                row = client.call(ShowModel(model)).header["model"]
                return bool(row["round"] >= reached or row["status"] == "done")

            wait_for(f"round {reached}", under_way)
            disturbed += client.call(ShowModel(model)).header["model"]["status"] == "training"
            leader = cluster.leader()
            others = [worker for worker in cluster.ids if worker != leader]
            victim = leader if random.random() < 0.5 else random.choice(others)
            if random.random() < 0.5:
                cluster.kill(victim)
                wait_for("a leader", lambda: client.call(ShowModel(model)).header["model"]["id"] == model)
                cluster.start(victim)
            else:
                cluster.pause(victim)
                wait_for("a leader", lambda: client.call(ShowModel(model)).header["model"]["id"] == model)
                cluster.resume(victim)
            cluster.ready()
        row = finished(client, model)
        assert (row["status"], row["error"]) == ("done", None)
        assert row["digest"] == everything_undisturbed["digest"]
        assert row["rounds"] == rounds
        assert disturbed >= 1


def test_any_worker_confirms_every_stretch_of_a_model_by_computing_it_again(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        row = finished(client, train(client, epochs=60, shards=3, seed=5, steps_per_round=10))
        rounds = [0, *(each["round"] for each in row["checkpoints"])]
        assert len(rounds) > 1
        for start, end, worker in zip(rounds, [*rounds[1:], row["rounds"]], cycle(cluster.ids), strict=False):
            address = ("127.0.0.1", cluster.ports[worker])
            asked = Audit(row["id"], start)
            audit = client.call_worker(address, asked, answer_s=120).header["audit"]
            assert (audit["worker"], audit["from_round"], audit["to_round"]) == (worker, start, end)
            assert audit["found"] == audit["expected"]
            assert audit["equal"] is True
            assert audit["unlike"] == []
        assert audit["found"] == {"digest": row["digest"], "chain": row["lineage"]["chain"]}


def test_an_audit_finds_that_a_leader_has_forged_a_round(start_cluster: Start) -> None:
    cluster = start_cluster(kind=Forgers)
    with cluster.client() as client:
        row = finished(client, train(client, **SPEC))
        assert row["status"] == "done", row["error"]
        audit = client.call_any(Audit(row["id"], 0), answer_s=120).header["audit"]
        assert audit["equal"] is False
        assert audit["unlike"] == []
        end = [*row["checkpoints"], {"digest": row["digest"], "chain": row["lineage"]["chain"]}][0]
        for what in ("digest", "chain"):
            assert audit["expected"][what] == end[what] != audit["found"][what]


@pytest.mark.parametrize("seed", range(2))
def test_workers_that_are_added_and_slowed_while_it_trains_change_no_bit(
    seed: int, start_cluster: Start, everything_undisturbed: dict[str, Any]
) -> None:
    """A worker joins; another, the leader or not, is stopped again and again for longer than it is let run."""
    random = Random(seed)
    cluster = start_cluster()
    slow = random.choice(cluster.ids)
    with cluster.client() as client:
        model = train(client, **EVERYTHING)

        def reached(round_: int) -> bool:
            row = client.call(ShowModel(model)).header["model"]
            return bool(row["round"] >= round_ or row["status"] == "done")

        wait_for("some rounds", lambda: reached(random.randint(2, 20)))
        enlarge(cluster, "w4")
        client.call(AddMember("w4", f"127.0.0.1:{cluster.ports['w4']}"), answer_s=60)
        row = client.call(ShowModel(model)).header["model"]
        assert row["status"] == "training"
        ended = threading.Event()

        def stutter() -> None:
            while not ended.wait(0.05):
                cluster.pause(slow)
                ended.wait(0.15)
                cluster.resume(slow)

        with ThreadPoolExecutor(1) as side:
            stuttering = side.submit(stutter)
            try:
                row = finished(client, model)
            finally:
                ended.set()
            stuttering.result()
        assert (row["status"], row["error"]) == ("done", None)
        assert row["digest"] == everything_undisturbed["digest"]


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


def test_a_table_is_learned_and_its_rows_are_answered(start_cluster: Start) -> None:
    cluster = start_cluster()
    with cluster.client() as client:
        table = b"a,b,label\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n"
        file = int(upload(client, table, "xor.csv", lambda done, total: None)["id"])
        wanted = TrainSpec(file, file, epochs=300)
        row = finished(client, client.command(lambda ticket: Train(ticket, wanted)).header["model"])
        assert row["status"] == "done", row["error"]
        rows = struct.pack("<8f", 0, 0, 0, 1, 1, 0, 1, 1)
        (found,) = predict(client, row["id"], [([PredictInput("numbers", len(rows), (4, 2))], rows)])
        assert [one["label"] for one in found.outputs()] == ["no", "yes", "yes", "no"]


def test_a_cancelled_job_leaves_the_cores_at_once_whatever_its_rounds_take(start_cluster: Start) -> None:
    cluster = start_cluster(size=2)
    with cluster.client() as client:
        endless = train(client, arch="cnn", epochs=10_000, shards=2, steps_per_round=1_000_000)
        wait_for("it trains", lambda: client.call(ShowModel(endless)).header["model"]["status"] == "training")
        client.command(lambda ticket: Cancel(ticket, endless))
        row = finished(client, train(client, epochs=1))
        assert (row["status"], row["error"]) == ("done", None)


def test_a_training_that_diverges_ends_with_its_reason_and_traceback(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        row = finished(client, train(client, arch="dense 64, dense 64, dense 64, dense", lr=100.0, shards=2))
        assert row["status"] == "failed"
        assert "diverged" in row["error"]
        assert "--lr" in row["error"]
        assert "train_shard" in row["traceback"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"arch": "conv 8 29x29, dense"}, "too large: the images are 28 x 28"),
        ({"arch": "dense 8192, dense"}, "parameters, the most is"),
        ({"arch": "dense 11"}, "10 different outputs"),
    ],
)
def test_a_spec_that_does_not_fit_the_data_ends_with_the_reason(
    spec: dict[str, Any], reason: str, start_cluster: Start
) -> None:
    cluster = start_cluster(size=1)
    with cluster.client() as client:
        row = finished(client, train(client, **spec))
        assert row["status"] == "failed"
        assert reason in row["error"]


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


def test_a_data_set_that_grew_one_by_one_trains_as_the_same_images_in_an_archive(
    start_cluster: Start, tmp_path: Path
) -> None:
    cluster = start_cluster(options=("--compact-entries", "40"))
    images = load_inputs(SAMPLES / "mnist-train-images.idx.gz", "images")[:120]
    labels = load_outputs(SAMPLES / "mnist-train-labels.idx.gz", "labels")[:120]
    noise = np.random.default_rng(1).integers(0, 256, (300, 300), np.uint8)
    pictures = [(picture(image[..., 0]), label) for image, label in zip(images, labels, strict=True)]
    pictures.append((picture(noise), "7"))
    assert len(pictures[-1][0]) > INLINE_BYTES
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for number, (data, label) in enumerate(pictures):
            archive.writestr(f"{label}/{number:05d}.png", data)
    with cluster.client() as client:
        for data, label in pictures:
            added = add_example(client, data, "digits", label)
        assert added["record"] == len(pictures)
        dataset = client.call(FindDataset("digits")).header["dataset"]
        assert dataset["examples"] == len(pictures)
        archive_id = upload(client, tmp_path / "all.zip", "all.zip")["id"]
        rows = []
        for source in (dataset["id"], archive_id):
            spec = TrainSpec(source, source, **SPEC)
            model = client.command(lambda ticket, spec=spec: Train(ticket, spec)).header["model"]  # type: ignore[misc]
            rows.append(finished(client, model))
        assert [row["status"] for row in rows] == ["done", "done"], [row["error"] for row in rows]
        assert rows[0]["digest"] == rows[1]["digest"]
        assert rows[0]["dataset"]["examples"] == len(pictures)
    told = [cluster.monitor(id, "/api/records?tail=1000")["records"] for id in cluster.ids]
    assert all(sum(row["kind"] == "example" for row in rows) == len(pictures) for rows in told)


def picture(pixels: NDArray[np.uint8]) -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()
