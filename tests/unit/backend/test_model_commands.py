"""`minka train`, `models`, `show`, `cancel`, `predict`: from files to a model, and from a model to answers."""

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.cli.progress import ProgressLine
from backend.cli.train import suggested_steps
from shared.errors import Refused
from tests.unit.backend.conftest import Ran, failed
from tests.unit.backend.fake_cluster import Asked, FakeCluster, HangUp, Reply

Minka = Callable[..., Ran]


def idx_images(count: int, side: int = 4) -> bytes:
    return struct.pack(">4I", 0x803, count, side, side) + bytes(range(256)) * (count * side * side // 256 + 1)


def write_images(path: Path, count: int) -> Path:
    path.write_bytes(idx_images(count)[: 16 + count * 16])
    return path


def write_labels(path: Path, count: int) -> Path:
    path.write_bytes(struct.pack(">2I", 0x801, count) + bytes(position % 10 for position in range(count)))
    return path


# --- training and models


@pytest.fixture
def data_set(tmp_path: Path) -> list[str]:
    images, labels = write_images(tmp_path / "images.idx", 20), write_labels(tmp_path / "labels.idx", 20)
    return ["--inputs", str(images), "--outputs", str(labels)]


def test_train_uploads_starts_and_waits(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    ran = minka("train", *data_set, "--epochs", 3, "--lr", 0.5, "--seed", 7, "--name", "first", "--json")
    assert ran.code == 0, ran.err
    document = ran.document
    keys = {
        "model",
        "status",
        "digest",
        "test_accuracy",
        "epochs",
        "rounds",
        "seconds",
        "images_per_second",
        "history",
    }
    assert set(document) == keys
    assert document["status"] == "done"
    assert [set(row) for row in document["history"]] == [{"round", "loss", "test_accuracy"}] * 2
    (request,) = cluster.requests("train")
    spec = request.spec
    assert [spec.inputs, spec.outputs] == [row["id"] for row in cluster.files]
    assert (spec.epochs, spec.lr, spec.seed, spec.name, spec.arch) == (3, 0.5, 7, "first", "mlp")
    assert (spec.batch, spec.shards, spec.steps_per_round, spec.test_inputs) == (None, None, None, None)


def test_every_method_goes_into_the_spec(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    methods = {
        "arch": "conv 8 3x3, dense",
        "optimiser": "adam",
        "momentum": 0.8,
        "weight_decay": 0.01,
        "label_smoothing": 0.1,
        "schedule": "constant",
        "averaging": 0.25,
        "shift": 2,
        "rotation": 7.5,
        "loss": "cross-entropy",
    }
    options = [
        text for name, value in methods.items() for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    assert minka("train", *data_set, *options).code == 0
    (request,) = cluster.requests("train")
    assert {name: getattr(request.spec, name) for name in methods} == methods


def test_a_folder_of_images_by_class_is_sent_as_one_archive(
    minka: Minka, cluster: FakeCluster, tmp_path: Path
) -> None:
    folder = tmp_path / "pets"
    for kind, colour in (("cat", 10), ("dog", 200)):
        (folder / kind).mkdir(parents=True)
        Image.new("L", (4, 4), colour).save(folder / kind / "1.png")
    (folder / "notes.txt").write_text("not an image")
    for _ in range(2):
        ran = minka("train", "--inputs", folder, "--outputs", folder)
        assert ran.code == 0, ran.err
    assert [row["name"] for row in cluster.files] == ["pets.zip"]
    first, second = cluster.requests("train")
    assert first.spec == second.spec
    assert first.spec.inputs == first.spec.outputs
    (tmp_path / "empty").mkdir()
    failed(minka("train", "--inputs", tmp_path / "empty", "--outputs", tmp_path / "empty"), 1, "0 images")


def test_tables_and_texts_are_checked_before_anything_is_uploaded(
    minka: Minka, cluster: FakeCluster, tmp_path: Path
) -> None:
    table, texts, short = tmp_path / "table.csv", tmp_path / "texts.csv", tmp_path / "short.csv"
    table.write_text("a,b,label\n0,0,0.5\n0,1,1\n")
    texts.write_text("text,label\ngood,+\nbad,-\n")
    short.write_text("label\n1\n")
    for path in (table, texts):
        failed(minka("train", "--inputs", path, "--outputs", short), 1, "2 inputs but 1 outputs")
    table.write_text("a,b,label\n0,0,0.5\n0,,1\n")
    failed(minka("train", "--inputs", table, "--outputs", table), 1, "line 3")
    assert not cluster.files


def test_rows_and_texts_travel_in_the_form_that_they_have(
    minka: Minka, cluster: FakeCluster, tmp_path: Path
) -> None:
    table, texts = tmp_path / "table.csv", tmp_path / "texts.csv"
    table.write_text("a,b\n0,1\n2,3.5\n")
    texts.write_text("good\nbad thing\n")
    minka("predict", "m1", "--inputs", table)
    minka("predict", "m1", "--inputs", texts, "--limit", 1)
    rows, words = cluster.requests("predict")
    assert [(one.form, one.size_bytes, one.shape) for one in rows.inputs] == [("numbers", 16, (2, 2))]
    assert [(one.form, one.size_bytes) for one in words.inputs] == [("text", 4)]


def test_train_twice_uploads_once(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    minka("train", *data_set)
    minka("train", *data_set)
    assert len(cluster.files) == 2
    first, second = cluster.requests("train")
    assert first.spec == second.spec


def test_train_takes_files_of_the_cluster(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    minka("train", *data_set)
    id = cluster.files[0]["id"]
    assert minka("train", "--inputs", id, "--outputs", "labels.idx", "--detach").code == 0
    assert cluster.requests("train")[1].spec.inputs == id
    failed(minka("train", "--inputs", "no-such", "--outputs", id), 1, "No file 'no-such'")


def test_train_shows_how_far_it_is(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    def news(round: int) -> Callable[[Asked], Reply | None]:
        def answer(asked: Asked) -> Reply | None:
            row = cluster.models[asked.request.model]
            history = [{"round": n + 1, "loss": 1 / (n + 1), "test_accuracy": None} for n in range(round)]
            partial = {
                "status": "training",
                "rounds": 4,
                "round": round,
                "history": history,
                "version": round,
            }
            return {"model": {**row, **partial}}, b""

        return answer

    for round in range(3):
        cluster.on("model", news(round))
    ran = minka("train", *data_set)
    assert ran.code == 0
    assert [request.seen for request in cluster.requests("model")] == [None, 0, 1, 2]
    assert "round 0 of 4" in ran.err


def test_train_survives_the_leader_while_it_waits(
    minka: Minka, data_set: list[str], cluster: FakeCluster
) -> None:
    def training(asked: Asked) -> Reply | None:
        return {"model": {**cluster.models[asked.request.model], "status": "training", "version": 0}}, b""

    def die(asked: Asked) -> Reply | None:
        cluster.leader = 1
        asked.worker.kill()
        raise HangUp

    cluster.on("model", training)
    cluster.on("model", die)
    assert minka("train", *data_set, "--json").document["status"] == "done"


def test_ctrl_c_leaves_the_training_to_the_cluster(
    minka: Minka, data_set: list[str], cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(asked: Asked) -> Reply | None:
        version = 1 if asked.request.seen is None else asked.request.seen + 1
        news = {"status": "training", "rounds": 9, "round": version, "version": version}
        return {"model": {**cluster.models[asked.request.model], **news}}, b""

    def interrupt(line: ProgressLine, text: str) -> None:
        if text.startswith("round 3"):
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressLine, "update", interrupt)
    cluster.on("model", training, times=10)
    ran = minka("train", *data_set, "--json")
    assert ran.code == 0
    assert "minka show" in ran.err
    assert ran.document["model"] in cluster.models
    assert ran.document["status"] == "training"
    assert "cancel" not in cluster.operations()


def test_a_training_that_failed_says_why(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    def fail(asked: Asked) -> Reply | None:
        changes = {"status": "failed", "error": "labels.idx has a label too many.", "digest": None}
        return {"model": {**cluster.models[asked.request.model], **changes}}, b""

    cluster.on("model", fail)
    ran = minka("train", *data_set, "--json")
    assert ran.code == 1
    assert ran.document["status"] == "failed"
    assert "labels.idx has a label too many" in ran.err


def test_what_is_wrong_with_data_is_said_before_the_upload(
    minka: Minka, tmp_path: Path, cluster: FakeCluster
) -> None:
    images, labels = write_images(tmp_path / "images.idx", 20), write_labels(tmp_path / "labels.idx", 19)
    failed(minka("train", "--inputs", images, "--outputs", labels), 1, "20 inputs but 19 outputs")
    corrupt = tmp_path / "corrupt.idx"
    corrupt.write_bytes(images.read_bytes()[:-5])
    failed(minka("train", "--inputs", corrupt, "--outputs", labels), 1, "corrupt.idx")
    failed(
        minka("train", "--inputs", tmp_path / "none.idx", "--outputs", labels), 1, "none.idx does not exist"
    )
    failed(
        minka("train", "--inputs", images, "--outputs", labels, "--test-inputs", images), 1, "belong together"
    )
    assert cluster.operations() == []


def test_models_and_show_and_cancel(minka: Minka, data_set: list[str], cluster: FakeCluster) -> None:
    model = minka("train", *data_set, "--json").document["model"]
    (row,) = minka("models", "--json").document["models"]
    assert set(row) == {"id", "name", "status", "arch", "digest", "test_accuracy", "progress", "aliases"}
    assert row["id"] == model
    assert {"lineage", "spec", "history", *row} <= set(minka("show", model, "--json").document)
    shown = minka("show", model).out
    assert "97.50 %" in shown
    assert "97.50 % of 1,000 (test.npz, " in shown
    assert minka("cancel", model, "--json").document == {"model": model, "status": "cancelled"}
    failed(minka("show", "m0"), 1, "No model m0", "minka models")


@pytest.mark.parametrize(
    ("computing_s", "travelling_s", "steps"),
    [(0.9, 0.05, None), (0.9, 0.1, None), (0.9, 0.2, 201), (0.09, 0.9, 9_001), (0.0, 0.01, 9_001)],
)
def test_longer_rounds_are_suggested_where_the_way_of_the_states_takes_long(
    computing_s: float, travelling_s: float, steps: int | None
) -> None:
    row: dict[str, Any] = {"round": 9, "spec": {"steps_per_round": 100}}
    row |= {"computing_s": computing_s, "travelling_s": travelling_s}
    found = suggested_steps(row)
    assert (found is None) == (steps is None)
    assert suggested_steps(row | {"round": 2}) is None
    if found is not None and steps is not None:
        assert steps - 1 <= found <= steps
        longer_s = max(computing_s, 1e-3) * found / 100
        assert travelling_s / (longer_s + travelling_s) == pytest.approx(0.1, rel=0.01)


def test_who_waits_for_a_training_over_slow_links_is_told_what_would_help(
    minka: Minka, data_set: list[str], cluster: FakeCluster
) -> None:
    def slow(asked: Asked) -> Reply:
        row = cluster.models[asked.request.model]
        spec = {**row["spec"], "steps_per_round": 100}
        live = {"status": "training", "round": 9, "computing_s": 0.1, "travelling_s": 0.3}
        return {"model": {**row, **live, "spec": spec}}, b""

    cluster.on("model", slow)
    told = minka("train", *data_set)
    assert told.code == 0
    assert "75 % of each round" in told.err
    assert "--steps-per-round 2700" in told.err
    assert "steps-per-round" not in minka("train", *data_set).err


def test_an_audit_says_what_was_computed_again_and_whether_the_bits_are_the_same(
    minka: Minka, data_set: list[str], cluster: FakeCluster
) -> None:
    model = minka("train", *data_set, "--json").document["model"]
    assert "audit" not in minka("show", model, "--json").document
    done = minka("show", model, "--audit", "--json")
    assert done.code == 0
    assert done.document["audit"].items() >= {"equal": True, "from_round": 4, "to_round": 9}.items()
    text = minka("show", model, "--audit").out
    assert "confirmed: the same bits" in text
    assert "rounds 5 to 9, computed again on" in text

    cluster.audit |= {"equal": False, "found": {"digest": "e" * 64, "chain": "c" * 64}}
    done = minka("show", model, "--audit", "--json")
    assert done.code == 1
    assert done.document["audit"]["equal"] is False
    assert "other bits" in done.err
    assert "forged" in done.err
    cluster.audit |= {"unlike": ["blas_kernel"]}
    done = minka("show", model, "--audit")
    assert done.code == 1
    assert "NOT confirmed" in done.out
    assert f"{'e' * 64} instead of {'d' * 64}" in done.out
    assert "unlike where it was trained: blas_kernel" in done.err


# --- predictions


def test_images_are_predicted_as_they_are(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(name.encode())
    ran = minka("predict", "m1", tmp_path / "a.png", tmp_path / "b.png", "--json")
    assert set(ran.document) == {"model", "digest", "term", "index", "worker", "outputs"}
    assert len(ran.document["outputs"]) == 2
    (asked,) = [asked for asked in cluster.asked if type(asked.request).op == "predict"]
    assert asked.body == b"a.pngb.png"
    assert [(piece.form, piece.size_bytes) for piece in asked.request.inputs] == [("image", 5), ("image", 5)]
    assert "90.00 %" in minka("predict", "m1", tmp_path / "a.png").out


def test_a_file_of_many_images_is_predicted_in_parts(
    minka: Minka, tmp_path: Path, cluster: FakeCluster
) -> None:
    images = write_images(tmp_path / "images.idx", 1_200)
    ran = minka("predict", "m1", "--inputs", images, "--limit", 1_100, "--json")
    assert len(ran.document["outputs"]) == 1_100
    sent = {asked.body for asked in cluster.asked if type(asked.request).op == "predict"}
    pixels = images.read_bytes()[16:]
    part = 184 * 16  # of six, so that every worker gets some
    assert sent == {pixels[start : min(start + part, 1_100 * 16)] for start in range(0, 1_100 * 16, part)}


def test_a_prediction_needs_inputs_of_one_kind(minka: Minka, tmp_path: Path) -> None:
    failed(minka("predict", "m1"), 1, "not clear")
    failed(minka("predict", "m1", tmp_path / "none.png"), 1, "none.png cannot be read")


def test_an_image_that_cannot_be_read_is_named(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    def refuse(asked: Asked) -> Reply | None:
        raise Refused("This is not an image.")

    Image.new("L", (4, 4)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"text")
    cluster.on("predict", refuse, times=2)
    failed(minka("predict", "m1", tmp_path / "good.png", tmp_path / "bad.png"), 1, "bad.png: ")
    failed(minka("predict", "m1", tmp_path / "good.png"), 1, "This is not an image.")


# --- data sets that grow


@pytest.mark.parametrize("side", [8, 300])
def test_an_example_is_an_image_with_a_label(
    minka: Minka, tmp_path: Path, cluster: FakeCluster, side: int
) -> None:
    path = tmp_path / "ant.png"
    Image.frombytes("L", (side, side), random.Random(1).randbytes(side * side)).save(path)
    ran = minka("example", "add", "--dataset", "ants", "--image", path, "--label", "red", "--json")
    assert ran.code == 0, ran.err
    assert set(ran.document) == {"record", "index"}
    assert cluster.examples == {"ants": ["red"]}
    (request,) = cluster.requests("example")
    assert bytes(cluster.blobs[request.digest]) == path.read_bytes()


def test_what_is_no_image_is_no_example(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "ant.png").write_bytes(b"not at all")
    for path in (tmp_path / "ant.png", tmp_path / "none.png", tmp_path):
        ran = minka("example", "add", "--dataset", "ants", "--image", path, "--label", "red")
        assert ran.code == 1
        assert str(path) in ran.err
    assert "example" not in cluster.operations()


def test_a_data_set_that_grows_is_trained_on_by_its_name(minka: Minka, cluster: FakeCluster) -> None:
    cluster.examples["ants"] = ["red", "black"]
    assert minka("train", "--inputs", "ants", "--outputs", "ants").code == 0
    (request,) = cluster.requests("train")
    assert (request.spec.inputs, request.spec.outputs) == (77, 77)
    ran = minka("train", "--inputs", "bees", "--outputs", "bees")
    assert ran.code == 1
    assert "No file 'bees'" in ran.err
