"""An exported model is the blob that the digest names, cut into the arrays that it is made of."""

import hashlib
import json
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
    changes = {"spec": SPEC, "digest": digest, "bytes": len(blob), "dataset": {"labels": ["cat", "dog"]}}
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
