"""An exported model is the blob that the digest names, cut into the arrays that it is made of."""

import ast
import copy
import hashlib
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.weights import FLAT, split_weights
from shared.messages import TrainSpec
from tests.unit.backend.conftest import Ran
from tests.unit.backend.fake_cluster import FakeCluster, model_row

SPEC = {
    "arch": "mlp",
    "input_shape": [2, 3, 1],
    "layers": "dense 4, dense 2",
    "parameters": [
        ["dense1.weight", [6, 4]],
        ["dense1.bias", [4]],
        ["dense2.weight", [4, 2]],
        ["dense2.bias", [2]],
    ],
    "outputs": 2,
    "mean": [33.5],
    "deviation": [79.0],
}
WEIGHTS = np.arange(6 * 4 + 4 + 4 * 2 + 2, dtype="<f4")


@pytest.fixture
def model(cluster: FakeCluster) -> dict[str, Any]:
    blob = WEIGHTS.tobytes()
    digest = hashlib.sha256(blob).hexdigest()
    cluster.blobs[digest] = bytearray(blob)
    changes = {
        "spec": copy.deepcopy(SPEC),
        "digest": digest,
        "bytes": len(blob),
        "dataset": {"labels": ["cat", "dog"]},
    }
    cluster.models["m1"] = {**model_row("m1", TrainSpec(1, 2)), **changes}
    return cluster.models["m1"]


def test_export_writes_every_layer(minka: Callable[..., Ran], model: dict[str, Any], tmp_path: Path) -> None:
    ran = minka("export", "m1", "-o", tmp_path / "m1.npz", "--json")
    assert ran.code == 0, ran.err
    assert ran.document["digest"] == model["digest"]
    with np.load(tmp_path / "m1.npz") as arrays:
        names = ["dense1.weight", "dense1.bias", "dense2.weight", "dense2.bias"]
        assert [arrays[name].shape for name in names] == [(6, 4), (4,), (4, 2), (2,)]
        assert np.array_equal(np.concatenate([arrays[name].reshape(-1) for name in names]), WEIGHTS)
        assert list(arrays["labels"]) == ["cat", "dog"]
        assert arrays["mean"] == np.float32(33.5)
        assert json.loads(str(arrays["about"]))["digest"] == model["digest"]
    assert [path.name for path in tmp_path.glob("*m1*")] == ["m1.npz"]


def test_the_file_is_read_as_its_document_says(
    minka: Callable[..., Ran], model: dict[str, Any], tmp_path: Path
) -> None:
    """With the standard library alone: docs/exports.md."""
    assert minka("export", "m1", "-o", tmp_path / "m1.npz").code == 0
    arrays: dict[str, tuple[str, tuple[int, ...], bytes]] = {}
    with zipfile.ZipFile(tmp_path / "m1.npz") as archive:
        for member in archive.infolist():
            assert member.compress_type == zipfile.ZIP_STORED
            data = archive.read(member)
            assert data[:8] == b"\x93NUMPY\x01\x00"
            (length,) = struct.unpack_from("<H", data, 8)
            header = ast.literal_eval(data[10 : 10 + length].decode("ascii"))
            assert not header["fortran_order"]
            name = member.filename.removesuffix(".npy")
            arrays[name] = header["descr"], header["shape"], data[10 + length :]
    parameters = b""
    for name, shape in SPEC["parameters"]:  # type: ignore[misc]  # a plain dictionary of different values
        kind, found, data = arrays.pop(name)
        assert (kind, found) == ("<f4", tuple(shape))
        parameters += data
    assert parameters == WEIGHTS.tobytes()
    assert hashlib.sha256(parameters).hexdigest() == model["digest"]
    (kind, shape, data) = arrays.pop("labels")
    assert (kind, shape, data.decode("utf-32-le")) == ("<U3", (2,), "catdog")
    assert arrays.pop("mean") == ("<f4", (1,), struct.pack("<f", 33.5))
    assert arrays.pop("deviation") == ("<f4", (1,), struct.pack("<f", 79))
    (kind, shape, data) = arrays.pop("about")
    assert shape == ()
    about = json.loads(data.decode("utf-32-le"))
    assert about == {"model": "m1", "digest": model["digest"], "spec": SPEC, "lineage": model["lineage"]}
    assert not arrays


def test_onnx_is_written_where_it_is_wanted(
    minka: Callable[..., Ran], model: dict[str, Any], tmp_path: Path
) -> None:
    model["spec"] |= {"layers": "dense 4, dense", "loss": "cross-entropy"}
    model["spec"]["parameters"] = [
        [f"{name[5]}.dense.{name[7:]}", shape] for name, shape in model["spec"]["parameters"]
    ]
    ran = minka("export", "m1", "-o", tmp_path / "m1.onnx", "--format", "onnx", "--json")
    assert ran.code == 0, ran.err
    assert (ran.document["format"], len(ran.document["arrays"])) == ("onnx", 4)
    assert b"probabilities" in (tmp_path / "m1.onnx").read_bytes()


def test_a_model_whose_parts_are_not_named_is_one_flat_array(model: dict[str, Any]) -> None:
    arrays = split_weights({**model, "spec": {"arch": "cnn"}}, WEIGHTS.tobytes())
    assert list(arrays) == [FLAT]
    assert np.array_equal(arrays[FLAT], WEIGHTS)


def test_a_model_without_weights_is_not_exported(
    minka: Callable[..., Ran], model: dict[str, Any], tmp_path: Path
) -> None:
    model |= {"status": "training", "digest": None}
    ran = minka("export", "m1", "-o", tmp_path / "m1.npz")
    assert ran.code == 1
    assert "m1 is training" in ran.err


def test_a_damaged_blob_is_not_exported(
    minka: Callable[..., Ran], model: dict[str, Any], cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.blobs[model["digest"]][5] ^= 1
    assert minka("export", "m1", "-o", tmp_path / "m1.npz").code == 1
    assert not (tmp_path / "m1.npz").exists()
