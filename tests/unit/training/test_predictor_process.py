"""The predictor process: what it was trained on it knows again, however it is sent."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.errors import Refused
from tests.unit.training.conftest import Start
from worker.serving import predictor
from worker.training import plan, state
from worker.training.dataset import Dataset
from worker.training.task import Permutations, Workbench, lay_out

MODULE = "worker.serving.predictor"
Fitted = Callable[..., dict[str, Any]]


@pytest.fixture
def model(fitted: Fitted, dataset: Dataset, tmp_path: Path) -> dict[str, Any]:
    """A trained model, as `load` takes it."""
    spec = fitted(shards=1, steps_per_round=1_000, epochs=6)
    bench = Workbench(spec)
    trained = bench.train_shard(
        dataset, lay_out(spec, dataset, 0, 0, Permutations()), state.initial(spec)
    ).state
    assert plan.round_count(spec, 1_000) == 1
    (tmp_path / "weights").write_bytes(state.weights(spec, trained))
    labels = ["row", "column", "down", "up"]
    return {"model": "m1", "spec": spec, "labels": labels, "path": str(tmp_path / "weights")}


def png(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_arrays_and_image_files_give_the_same_answer(
    start_child: Start, model: dict[str, Any], dataset: Dataset
) -> None:
    child = start_child(MODULE)
    assert child.call("load", model)[0]["dropped"] == []
    images = np.asarray(dataset.test.inputs[:50])
    array = {"form": "array", "bytes": images.nbytes, "shape": [50, 12, 12]}
    answer, _ = child.call("predict", {"model": "m1", "inputs": [array]}, images.tobytes())
    outputs = answer["outputs"]
    right = [
        model["labels"][place] == output["label"]
        for place, output in zip(dataset.test.labels, outputs, strict=False)
    ]
    assert np.mean(right) >= 0.9
    for output in outputs:
        assert sum(output["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert output["label"] == max(output["probabilities"], key=output["probabilities"].get)

    files = [png(image[..., 0]) for image in images[:7]]
    inputs = [{"form": "image", "bytes": len(file), "shape": []} for file in files]
    answer, _ = child.call("predict", {"model": "m1", "inputs": inputs}, b"".join(files))
    assert answer["outputs"] == outputs[:7]


def test_an_answer_does_not_depend_on_its_company(
    start_child: Start, model: dict[str, Any], dataset: Dataset
) -> None:
    child = start_child(MODULE)
    child.call("load", model)
    images = np.asarray(dataset.test.inputs[: 2 * predictor.MICRO_BATCH_ROWS + 3])

    def ask(chosen: np.ndarray[Any, Any]) -> list[Any]:
        array = {"form": "array", "bytes": chosen.nbytes, "shape": list(chosen.shape)}
        answer, _ = child.call("predict", {"model": "m1", "inputs": [array]}, chosen.tobytes())
        return list(answer["outputs"])

    together = ask(images)
    assert [ask(images[place : place + 1])[0] for place in (0, 1, 40, 66)] == [
        together[place] for place in (0, 1, 40, 66)
    ]


def test_old_models_are_let_go_and_named(start_child: Start, model: dict[str, Any]) -> None:
    child = start_child(MODULE)
    for number in range(predictor.LOADED_MODELS):
        assert child.call("load", model | {"model": f"m{number}"})[0]["dropped"] == []
    assert child.call("load", model | {"model": "new"})[0]["dropped"] == ["m0"]
    with pytest.raises(Refused, match="m0 is not loaded"):
        child.call("predict", {"model": "m0", "inputs": []})


def test_bad_requests_are_refused_and_end_nothing(
    start_child: Start, model: dict[str, Any], tmp_path: Path
) -> None:
    child = start_child(MODULE)
    child.call("load", model)
    (tmp_path / "short").write_bytes(b"1234")
    with pytest.raises(Refused, match="do not fit"):
        child.call("load", model | {"path": str(tmp_path / "short")})
    with pytest.raises(Refused, match="cannot be read"):
        child.call("load", model | {"path": str(tmp_path / "absent")})
    bad: list[tuple[list[dict[str, Any]], bytes]] = [
        ([], b""),
        ([{"form": "image", "bytes": 3, "shape": []}], b"abc"),
        ([{"form": "image", "bytes": 4, "shape": []}], b"abc"),
        ([{"form": "song", "bytes": 3, "shape": []}], b"abc"),
        ([{"form": "array", "bytes": 3, "shape": [1, 2, 2]}], b"abc"),
        ([{"form": "array", "bytes": 3, "shape": [3]}], b"abc"),
        ([{"form": "array", "bytes": 4, "shape": [1, 2, 2, 1, 1]}], b"abcd"),
        ([{"form": "array", "bytes": 0, "shape": [0, 2, 2]}], b""),
    ]
    for inputs, body in bad:
        with pytest.raises(Refused):
            child.call("predict", {"model": "m1", "inputs": inputs}, body)
    with pytest.raises(Refused, match="no operation"):
        child.call("train", {})
    child.call("load", model | {"model": "wordy", "labels": [letter * 200 for letter in "abcd"]})
    many = {"form": "array", "bytes": 144 * 1_500, "shape": [1_500, 12, 12]}
    with pytest.raises(Refused, match="Ask for less"):
        child.call("predict", {"model": "wordy", "inputs": [many]}, bytes(144 * 1_500))
    tiny = {"form": "array", "bytes": predictor.MAX_OUTPUTS + 1, "shape": [predictor.MAX_OUTPUTS + 1, 1, 1]}
    with pytest.raises(Refused, match="at most"):
        child.call("predict", {"model": "m1", "inputs": [tiny]}, bytes(predictor.MAX_OUTPUTS + 1))
    one = {"form": "array", "bytes": 144, "shape": [1, 12, 12]}
    assert len(child.call("predict", {"model": "m1", "inputs": [one]}, bytes(144))[0]["outputs"]) == 1
