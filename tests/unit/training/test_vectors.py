"""Tables, numbers and texts are learned as images are, by the same rounds, and answered by the same predictor."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import Refused, from_failure
from tests.unit.training.conftest import Start
from tests.unit.training.test_task import run
from worker.training import plan, state
from worker.training.dataset import SourceFile, open_dataset, prepare
from worker.training.task import Workbench

XOR = b"a,b,label\n0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n"


def _learned(
    folder: Path, files: dict[str, bytes | np.ndarray], **asked: Any
) -> tuple[dict[str, Any], Any, bytes, float]:
    """The spec, the data set, the last state and the accuracy, after training on these files."""
    sources = []
    for name in ("inputs", "outputs", "test_inputs", "test_outputs"):
        content = files.get(name, files[name.removeprefix("test_")])
        path = folder / f"{name}.bin"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            with path.open("wb") as file:
                np.save(file, content)
        sources.append(SourceFile(path, name))
    spec = plan.resolve(asked, cores=1)
    facts = prepare(*sources, folder / "set", spec["normalise"], spec["loss"])
    spec = plan.fit_to_data(spec, facts)
    dataset = open_dataset(folder / "set")
    last = run(spec, dataset)[-1]
    accuracy = Workbench(spec).accuracy(dataset, last)
    assert accuracy is not None
    return spec, dataset, last, accuracy


def _predict(
    start_child: Start, folder: Path, spec: dict[str, Any], last: bytes, piece: list[Any], body: bytes
) -> NDArray[np.float32]:
    (folder / "weights").write_bytes(state.weights(spec, last))
    child = start_child("worker.serving.predictor")
    path, outputs = str(folder / "weights"), spec["outputs"]
    child.call("load", {"model": "m", "spec": spec, "labels": outputs, "path": path})
    answer, found = child.call("predict", {"model": "m", "predictions": [[piece]]}, body)
    if "failure" in answer["answers"][0]:
        raise from_failure(answer["answers"][0]["failure"])
    return np.frombuffer(found, "<f4").reshape(-1, outputs)


def test_xor(tmp_path: Path, start_child: Start) -> None:
    spec, dataset, last, accuracy = _learned(tmp_path, {"inputs": XOR, "outputs": XOR}, epochs=300)
    assert accuracy == 1.0
    assert spec["input_shape"] == [2]
    rows = np.array([[0, 1], [1, 1]], "<f4")
    found = _predict(start_child, tmp_path, spec, last, ["numbers", rows.nbytes, [2, 2]], rows.tobytes())
    assert [dataset.header["labels"][place] for place in found.argmax(axis=1)] == ["yes", "no"]


def test_numbers_come_near_their_targets(tmp_path: Path, start_child: Start) -> None:
    inputs = np.random.default_rng(1).uniform(-2, 2, (500, 3))
    outputs = np.stack([300 + 40 * inputs[:, 0] - 10 * inputs[:, 1] ** 2, 0.001 * inputs[:, 2]], axis=1)
    files = {"inputs": inputs, "outputs": outputs}
    spec, _, last, explained = _learned(tmp_path, files, epochs=60, optimiser="adam")
    assert spec["loss"] == "squared"
    assert 0.99 < explained <= 1.0
    rows = inputs[:2].astype("<f4")
    found = _predict(start_child, tmp_path, spec, last, ["numbers", rows.nbytes, [2, 3]], rows.tobytes())
    np.testing.assert_allclose(found[:, 0], outputs[:2, 0], atol=8)
    np.testing.assert_allclose(found[:, 1], outputs[:2, 1], atol=4e-4)


def test_texts_are_told_apart_by_their_words(tmp_path: Path, start_child: Start) -> None:
    random = np.random.default_rng(2)
    kinds = {"fruit": ["apple", "pear", "plum", "cherry"], "metal": ["iron", "copper", "zinc", "lead"]}

    def lines(count: int) -> bytes:
        found = ["text,label"]
        for number in range(count):
            kind = ("fruit", "metal")[number % 2]
            words = [
                str(random.choice(kinds[kind])),
                *map(str, random.choice(["some", "the", "more", "old"], 4)),
            ]
            found.append(f'"{" ".join(random.permutation(words))}!",{kind}')
        return "\n".join(found).encode()

    training, test = lines(200), lines(60)
    files = {"inputs": training, "outputs": training, "test_inputs": test, "test_outputs": test}
    spec, dataset, last, accuracy = _learned(tmp_path, files, epochs=10)
    assert accuracy > 0.95
    text = b"The old COPPER"
    found = _predict(start_child, tmp_path, spec, last, ["text", len(text), []], text)
    assert dataset.header["labels"][found[0].argmax()] == "metal"


def test_the_same_bits_from_a_table_whatever_ran_before(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    files = {"inputs": random.normal(size=(200, 5)), "outputs": random.normal(size=(200, 2))}
    spec, dataset, last, _ = _learned(tmp_path, files, shards=3, batch=8, epochs=2, steps_per_round=3)
    assert run(spec, dataset, mixed=True)[-1] == last


@pytest.mark.parametrize(
    ("files", "asked", "match"),
    [
        ({"inputs": XOR, "outputs": XOR}, {"arch": "cnn"}, "there are no images"),
        ({"inputs": XOR, "outputs": XOR}, {"shift": 1}, "only images can be moved"),
        (
            {"inputs": XOR, "outputs": XOR, "test_inputs": b"1,2,3\n"},
            {},
            "other inputs than those to learn from",
        ),
        ({"inputs": XOR, "outputs": XOR}, {"loss": "squared"}, "not numbers"),
        (
            {
                "inputs": np.ones((4, 2)),
                "outputs": np.full((4, 2), 0.5),
                "test_outputs": np.full((4, 3), 0.5),
            },
            {},
            "3 outputs, the training data 2",
        ),
        ({"inputs": XOR, "outputs": b"1\n2\n3\n"}, {}, "4 inputs but 3 outputs"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    files: dict[str, bytes | np.ndarray], asked: dict[str, Any], match: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=match) as refusal:
        _learned(tmp_path, files, **asked)
    assert refusal.value.advice


@pytest.mark.parametrize(
    ("piece", "match"),
    [
        (["image", 8, []], "takes numbers"),
        (["text", 8, []], "takes numbers"),
        (["numbers", 8, [1, 3]], "do not fit"),
        (["numbers", 8, [2]], "do not fit"),
        (["numbers", 8, [1, 2]], "not finite"),
    ],
)
def test_a_model_of_tables_takes_only_its_rows(
    piece: list[Any], match: str, tmp_path: Path, start_child: Start
) -> None:
    spec, _, last, _ = _learned(tmp_path, {"inputs": XOR, "outputs": XOR}, epochs=1)
    with pytest.raises(Refused, match=match):
        _predict(start_child, tmp_path, spec, last, piece, np.array([1, np.nan], "<f4").tobytes())
