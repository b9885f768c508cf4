"""Exported as ONNX, a model says the same in another program as it does here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from backend.onnx_model import write_onnx
from shared.errors import Refused
from worker.training import plan
from worker.training.architectures import layers
from worker.training.inference import Classifier
from worker.training.network import parameter_count

Answers = Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]]


def model(arch: str, shape: list[int], loss: str = "cross-entropy") -> tuple[dict[str, Any], bytes]:
    """A model with random weights: its row and its blob."""
    random = np.random.default_rng(1)
    columns = shape[-1]
    facts = {
        "examples": 500,
        "input_shape": shape,
        "labels": ["a", "b", "ç"],
        "mean": [40.0 + place for place in range(columns)],
        "deviation": [70.0 + place for place in range(columns)],
        "normalise": "plain" if len(shape) == 3 else "table",
        "loss": loss,
        "target_mean": [5.0, -3.0, 0.0],
        "target_deviation": [2.0, 0.5, 10.0],
    }
    spec = plan.fit_to_data(plan.resolve({"arch": arch}, 1), facts)
    weights = random.normal(0.1, 0.3, parameter_count(layers(spec))).astype("<f4")
    row = {"id": "m1", "digest": "d" * 64, "spec": spec, "lineage": {}, "dataset": facts}
    return row, weights.tobytes()


def inputs(shape: list[int]) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(2)
    if len(shape) == 3:
        return random.integers(0, 256, (7, *shape)).astype(np.uint8)
    return random.normal(40, 70, (7, *shape)).astype(np.float32)


EVERY = [
    ("mlp", [9, 8, 1]),
    ("cnn", [28, 28, 1]),
    ("cnn", [32, 33, 3]),
    ("dense 5, norm, dropout 0.5, dense 4, dense", [6]),
    (
        "conv 4 3x5 same, norm, pool 3, conv 6 2x2, pool 2, norm, dropout 0.25, norm, dense 9, norm, dense",
        [25, 22, 3],
    ),
    ("pool 2, norm, conv 3 1x1, dropout 0.5, pool 2, pool 2, dense", [17, 16, 1]),
]


@pytest.mark.parametrize(("arch", "shape"), EVERY)
@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
def test_every_layer_says_the_same_in_another_program(
    arch: str, shape: list[int], loss: str, tmp_path: Path
) -> None:
    row, blob = model(arch, shape, loss)
    names = write_onnx(row, blob, tmp_path / "m.onnx")
    assert len(names) == len(row["spec"]["parameters"])
    onnx.checker.check_model(tmp_path / "m.onnx", full_check=True)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    given = inputs(shape)
    (found,) = session.run(None, {session.get_inputs()[0].name: given})
    here = Classifier(row["spec"], 4)
    here.load(blob)
    expected = here.answers(given)
    assert found.shape == expected.shape == (7, 3)
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)
    assert session.get_outputs()[0].name == ("values" if loss == "squared" else "probabilities")
    assert session.get_modelmeta().custom_metadata_map["labels"] == '["a", "b", "\\u00e7"]'


def test_a_model_whose_parts_are_not_named_is_not_written(tmp_path: Path) -> None:
    row, blob = model("mlp", [6])
    with pytest.raises(Refused, match="does not say"):
        write_onnx(row, blob[:-4], tmp_path / "m.onnx")
    row["spec"]["layers"] = "dense 128, swirl 3, dense"
    with pytest.raises(Refused, match="swirl 3"):
        write_onnx(row, blob, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
