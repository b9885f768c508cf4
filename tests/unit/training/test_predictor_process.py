"""The predictor process: what it was trained on it knows again, however it is sent."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shared.errors import Refused, from_failure
from tests.unit.training.child_process import ChildProcess
from tests.unit.training.conftest import Start
from worker.serving import predictor, steady
from worker.serving.steady import SteadyClassifier
from worker.training import plan, state
from worker.training.dataset import Dataset
from worker.training.inference import Classifier
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
    return {"model": "m1", "spec": spec, "labels": 4, "path": str(tmp_path / "weights")}


def png(image: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def array(images: np.ndarray[Any, Any]) -> list[Any]:
    return ["array", images.nbytes, list(images.shape)]


def ask(child: ChildProcess, *predictions: tuple[list[Any], bytes]) -> list[Any]:
    """The answer to each of these, all in one call: float32 [n, classes], or its failure."""
    fields = {"model": "m1", "predictions": [pieces for pieces, _ in predictions]}
    answer, body = child.call("predict", fields, b"".join(data for _, data in predictions))
    found: list[Any] = []
    offset = 0
    for one in answer["answers"]:
        if "failure" in one:
            found.append(from_failure(one["failure"]))
            continue
        part = body[offset : offset + one["size_bytes"]]
        found.append(np.frombuffer(part, "<f4").reshape(-1, 4))
        assert one["digest"] == hashlib.sha256(part).hexdigest()
        assert (one["best"], one["probability"]) == (found[-1][0].argmax(), found[-1][0].max())
        offset += one["size_bytes"]
    assert offset == len(body)
    told = [one["inputs"] for one in answer["answers"] if "failure" not in one]
    sent = [data for (_, data), one in zip(predictions, found, strict=True) if isinstance(one, np.ndarray)]
    assert told == [hashlib.sha256(data).hexdigest() for data in sent]
    return found


def test_arrays_and_image_files_give_the_same_answer(
    start_child: Start, model: dict[str, Any], dataset: Dataset
) -> None:
    child = start_child(MODULE)
    assert child.call("load", model)[0]["dropped"] == []
    images = np.asarray(dataset.test.inputs[:50])
    (found,) = ask(child, ([array(images)], images.tobytes()))
    assert np.mean(found.argmax(axis=1) == np.asarray(dataset.test.labels[:50])) >= 0.9
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)

    files = [png(image[..., 0]) for image in images[:7]]
    (same,) = ask(child, ([["image", len(file), []] for file in files], b"".join(files)))
    assert same.tobytes() == found[:7].tobytes()


def test_an_answer_does_not_depend_on_its_company(
    start_child: Start, model: dict[str, Any], dataset: Dataset
) -> None:
    child = start_child(MODULE)
    child.call("load", model)
    images = np.asarray(dataset.test.inputs[: 2 * steady.WIDE_ROWS + 3])
    (together,) = ask(child, ([array(images)], images.tobytes()))
    alone = [([array(image[np.newaxis])], image.tobytes()) for image in images]
    for start in range(0, len(images), 5):
        gathered = ask(child, *alone[start : start + 5])
        assert b"".join(row.tobytes() for row in gathered) == together[start : start + 5].tobytes()


@pytest.mark.parametrize(("arch", "rows"), [("mlp", 200), ("conv 8 3x3, pool 2, dense", 8)])
def test_several_images_are_answered_at_a_time(arch: str, rows: int, fitted: Fitted) -> None:
    """By kernels of today; one image at a time would be right too, and several times slower."""
    spec = fitted(arch=arch)
    classifier = SteadyClassifier(spec, state.weights(spec, state.initial(spec)))
    assert classifier.rows >= rows


def test_a_classifier_is_not_steady_if_a_place_has_other_bits(
    fitted: Fitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = fitted()
    weights = state.weights(spec, state.initial(spec))
    honest = Classifier.everywhere

    def odd(self: Classifier, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found = honest(self, image)
        if self.rows > 4:
            found[-1, 0] = np.nextafter(found[-1, 0], np.float32(2))
        return found

    monkeypatch.setattr(Classifier, "everywhere", odd)
    assert SteadyClassifier(spec, weights).rows == 4


def test_old_models_are_let_go_and_named(start_child: Start, model: dict[str, Any]) -> None:
    child = start_child(MODULE)
    for number in range(predictor.LOADED_MODELS):
        assert child.call("load", model | {"model": f"m{number}"})[0]["dropped"] == []
    assert child.call("load", model | {"model": "new"})[0]["dropped"] == ["m0"]
    with pytest.raises(Refused, match="m0 is not loaded"):
        child.call("predict", {"model": "m0", "predictions": []})


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
    good = ([["array", 144, [1, 12, 12]]], bytes(range(144)))
    (expected,) = ask(child, good)
    bad: list[tuple[list[Any], bytes]] = [
        ([["image", 3, []]], b"abc"),
        ([["array", 3, [1, 2, 2]]], b"abc"),
        ([["array", 4, [1, 2, 2, 1]], ["image", 3, []]], b"abcdefg"),
        ([["array", 3, [3]]], b"abc"),
        ([["array", 4, [1, 2, 2, 1, 1]]], b"abcd"),
        ([["array", 0, [0, 2, 2]]], b""),
    ]
    before, *refused, after = ask(child, good, *bad, good)
    assert [type(failure) for failure in refused] == [Refused] * len(bad)
    assert before.tobytes() == after.tobytes() == expected.tobytes()
    assert type(ask(child, bad[0])[0]) is Refused
    with pytest.raises(Refused, match="no operation"):
        child.call("train", {})
    with pytest.raises(Refused, match="4 outputs and 3 labels"):
        child.call("load", model | {"labels": 3})
