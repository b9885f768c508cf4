"""The commands keep the contract: the keys of their JSON, their exit codes, one line for an error."""

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.addresses import format_address
from shared.messages import CHUNK_BYTES
from tests.unit.backend.conftest import Ran
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


def failed(ran: Ran, code: int, *words: str) -> None:
    """An error is one line on stderr, and with nothing else on stdout unless it is a document."""
    assert ran.code == code, ran
    assert ran.err.startswith("minka: ")
    assert ran.err.count("\n") == 1, ran.err
    for word in words:
        assert word in ran.err


# --- files


def test_put_answers_with_the_files(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    (tmp_path / "b.bin").write_bytes(bytes(2 * CHUNK_BYTES))
    ran = minka("put", tmp_path / "a.txt", tmp_path / "b.bin", "--json")
    assert ran.code == 0
    assert [set(row) for row in ran.document["files"]] == [{"id", "name", "bytes", "digest", "index"}] * 2
    assert [row["name"] for row in ran.document["files"]] == ["a.txt", "b.bin"]
    assert ran.document["files"][0]["digest"] == hashlib.sha256(b"one").hexdigest()
    assert "uploading 2 files" in ran.err


def test_put_of_a_missing_path_uploads_nothing(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    failed(minka("put", tmp_path / "a.txt", tmp_path / "none"), 1, "none cannot be read")
    failed(minka("put", tmp_path), 1, "is a directory")
    assert cluster.files == []


def test_ls_shows_all_pages(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    for name in "abcde":
        (tmp_path / name).write_bytes(name.encode())
    minka("put", *(tmp_path / name for name in "abcde"))
    ran = minka("ls", "--json")
    assert sorted(row["name"] for row in ran.document["files"]) == list("abcde")
    keys = {"id", "name", "bytes", "digest", "index", "created", "holders"}
    assert all(set(row) == keys for row in ran.document["files"])
    shown = minka("ls").out.splitlines()
    assert shown[0].split()[:3] == ["ID", "NAME", "SIZE"]
    assert len(shown) == 6


def test_names_of_any_kind_are_shown_harmlessly(minka: Minka, tmp_path: Path) -> None:
    name = "🦙 ñ \x1b[2J\x07.png"
    (tmp_path / name).write_bytes(b"x")
    assert minka("put", tmp_path / name, "--json").document["files"][0]["name"] == name
    shown = minka("ls").out
    assert "🦙 ñ" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert minka("get", name, "-o", tmp_path / "copy").code == 0


def test_get_writes_the_file(minka: Minka, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    row = minka("put", tmp_path / "a.txt", "--json").document["files"][0]
    ran = minka("get", row["id"], "-o", tmp_path / "copy", "--json")
    assert ran.document == {"path": str(tmp_path / "copy"), "bytes": 3, "digest": row["digest"]}
    assert (tmp_path / "copy").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("name", "local"),
    [
        ("../../a.txt", "a.txt"),
        ("dir\\b.txt", "b.txt"),
        ("..", "file-{id}"),
        ("CON.txt", "file-{id}"),
        ("x" * 300, "file-{id}"),
        ("a:b?.txt", "ab.txt"),
    ],
)
def test_get_into_a_directory_stays_inside(
    minka: Minka, tmp_path: Path, cluster: FakeCluster, name: str, local: str
) -> None:
    (tmp_path / "a").write_bytes(b"one")
    row = minka("put", tmp_path / "a", "--json").document["files"][0]
    cluster.files[0]["name"] = name
    (tmp_path / "in").mkdir()
    ran = minka("get", row["id"], "-o", tmp_path / "in", "--json")
    assert ran.document["path"] == str(tmp_path / "in" / local.format(id=row["id"]))
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_get_of_an_unknown_file_says_what_to_do(minka: Minka, tmp_path: Path) -> None:
    failed(minka("get", "nothing", "-o", tmp_path / "copy"), 1, "No file 'nothing'", "minka ls")
    ran = minka("get", "nothing", "-o", tmp_path / "copy", "--json")
    failed(ran, 1)
    assert ran.document["error"]["code"] == "refused"


def test_rm_answers_with_what_it_removed(minka: Minka, tmp_path: Path, cluster: FakeCluster) -> None:
    (tmp_path / "a.txt").write_bytes(b"one")
    row = minka("put", tmp_path / "a.txt", "--json").document["files"][0]
    assert minka("rm", "a.txt", "--json").document == {"removed": [{"id": row["id"], "name": "a.txt"}]}
    failed(minka("rm", "a.txt"), 1, "No file")


def test_verify_is_bad_news_when_copies_differ(minka: Minka, cluster: FakeCluster) -> None:
    assert minka("verify", "--json").document == {"equal": True, "files": []}
    row = {
        "id": 4,
        "name": "a",
        "digest": "d" * 64,
        "holders": {"w1": "ok", "w2": "corrupt", "w3": "missing"},
    }
    cluster.on("verify", lambda asked: ({"equal": False, "files": [row]}, b""), times=2)
    ran = minka("verify", "--json")
    assert ran.code == 1
    assert ran.document["files"] == [{key: row[key] for key in ("id", "digest", "holders")}]
    shown = minka("verify").out.splitlines()
    assert shown[1].split()[-3:] == ["ok", "corrupt", "missing"]


# --- the cluster


def test_status_has_the_contract_s_keys(minka: Minka, cluster: FakeCluster) -> None:
    document = minka("status", "--json").document
    assert set(document) == {"leader", "term", "commit_index", "workers"}
    assert document["leader"] == "w1"
    shown = minka("status").out
    assert all(format_address(address) in shown for address in cluster.addresses)


def test_records_are_shown_oldest_first(minka: Minka, cluster: FakeCluster) -> None:
    rows = [
        {
            "record": n,
            "index": n,
            "time": 1.7e9 + n,
            "client": "ana@lab",
            "kind": "put",
            "summary": f"file {n}",
        }
        for n in (1, 2)
    ]
    cluster.on("records", lambda asked: ({"records": rows, "last": 2}, b""), times=2)
    assert minka("records", "--json").document == {"records": rows}
    assert minka("records", "--tail", 5).out.splitlines()[2].endswith("file 2")
    assert cluster.requests("records")[1].tail == 5


def test_nobody_there_is_exit_code_3(minka: Minka, cluster: FakeCluster) -> None:
    cluster.close()
    failed(minka("status", "--timeout", "0.3"), 3, "No worker can be reached", "minka cluster up")
    ran = minka("ls", "--timeout", "0.3", "--json")
    assert ran.code == 3
    assert ran.document["error"]["code"] == "unreachable"


def test_no_leader_is_exit_code_3(minka: Minka, cluster: FakeCluster) -> None:
    cluster.leader = None
    failed(minka("status", "--timeout", "0.3"), 3, "No leader was found within 0.3 s")


def test_no_known_cluster_is_exit_code_3(minka: Minka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MINKA_CLUSTER")
    monkeypatch.delenv("MINKA_KEYS")
    failed(minka("status"), 3, "No cluster is known", "minka cluster up")


def test_the_options_go_before_the_environment(
    minka: Minka, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MINKA_CLUSTER", "127.0.0.1:1")
    monkeypatch.setenv("MINKA_KEYS", str(tmp_path / "none"))
    address = format_address(cluster.addresses[1])
    assert minka("status", "--cluster", address, "--keys", tmp_path / "client.keys").code == 0


def test_a_wrong_key_is_said(minka: Minka, tmp_path: Path) -> None:
    (tmp_path / "client.keys").write_text(json.dumps({"client": "00" * 32}))
    failed(minka("status"), 1, "key")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"client": "zz"}', '{"client": 7}', '{"client": "00"}'])
def test_a_keys_file_that_is_none_is_said(minka: Minka, tmp_path: Path, content: str) -> None:
    (tmp_path / "client.keys").write_text(content)
    failed(minka("status"), 1, "is not a keys file")


def test_keys_are_made_once_and_for_their_owner_alone(minka: Minka, tmp_path: Path) -> None:
    ran = minka("keys", "new", tmp_path / "keys", "--json")
    assert set(ran.document) == {"cluster", "client"}
    for path, roles in zip(ran.document.values(), (["cluster", "client"], ["client"]), strict=True):
        keys = json.loads(Path(path).read_text())
        assert list(keys) == roles
        assert all(len(bytes.fromhex(key)) == 32 for key in keys.values())
        assert Path(path).stat().st_mode & 0o077 == 0
    failed(minka("keys", "new", tmp_path / "keys"), 1, "exists already")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("get", "x"),
        ("train", "--inputs", "x"),
        ("status", "--timeout", "0"),
        ("status", "--timeout", "nan"),
        ("train", "--inputs", "a", "--outputs", "b", "--epochs", "0"),
        ("records", "--tail", "-1"),
        ("cluster", "up"),
    ],
)
def test_wrong_usage_is_exit_code_2(minka: Minka, arguments: tuple[str, ...]) -> None:
    ran = minka(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "usage: minka" in ran.err


def test_every_command_takes_help(minka: Minka) -> None:
    commands = [
        "put",
        "ls",
        "rm",
        "get",
        "verify",
        "train",
        "models",
        "show",
        "cancel",
        "predict",
        "records",
        "status",
    ]
    for command in [*commands, "keys new", "cluster up", "cluster down"]:
        ran = minka(*command.split(), "--help")
        assert ran.code == 0
        assert "--json" in ran.out


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
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backend.cli.train.watch", interrupt)
    ran = minka("train", *data_set, "--json")
    assert ran.code == 0
    assert "minka show" in ran.err
    assert ran.document["model"] in cluster.models
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
    assert set(row) == {"id", "name", "status", "arch", "digest", "test_accuracy", "progress"}
    assert row["id"] == model
    assert {"lineage", "spec", "history", *row} <= set(minka("show", model, "--json").document)
    assert "97.50 %" in minka("show", model).out
    assert minka("cancel", model, "--json").document == {"model": model, "status": "cancelled"}
    failed(minka("show", "m0"), 1, "No model m0", "minka models")


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
    shapes = [request.inputs[0].shape for request in cluster.requests("predict")]
    assert [shape[0] for shape in shapes] == [500, 500, 100]
    sent = b"".join(asked.body for asked in cluster.asked if type(asked.request).op == "predict")
    assert sent == images.read_bytes()[16 : 16 + 1_100 * 16]


def test_a_prediction_needs_inputs_of_one_kind(minka: Minka, tmp_path: Path) -> None:
    failed(minka("predict", "m1"), 1, "not clear")
    failed(minka("predict", "m1", tmp_path / "none.png"), 1, "none.png cannot be read")
