"""The predictor process: loaded models and their forward pass. `python -m worker.serving.predictor`.

| op | asks | answers |
|---|---|---|
| load | model (any name), spec, labels: how many, path of the weights | dropped: [names of models let go for it] |
| predict | model, predictions: of each its pieces' [form, bytes, shape]; body: the bytes | answers: of each, below |

Each of the answers says of its part of the body, float32 [inputs, labels], the size_bytes and digest (SHA-256), and that of
its inputs; the number of the best label of the first input, and its probability; or else its failure.
An input of form "image" is one image file; one of form "array" is uint8 of `shape` [n, h, w] or [n, h, w, 1 or 3] and
gives n rows. Both are normalised as the model's training data were. A model of tables takes form "numbers" instead, float32
of `shape` [n, columns], and one of texts form "text". The new model is loaded before an old one goes. What is wrong with one
prediction fails no other.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Refused, failure_fields
from shared.images import MAX_SIDE, InputForm, Pixels, decode, stack_to_model
from shared.tables import VectorForm, text_vectors
from worker.child import join_node
from worker.serving.steady import SteadyClassifier
from worker.training.requests import Answer, Work, answer_requests
from worker.training.state import FLOAT

LOADED_MODELS = 16

Piece = tuple[str, int, Sequence[int]]
"""Form, size in bytes, and the shape of an array."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Fixed weights, ready to answer; `form` is what its inputs are made into."""

    classifier: SteadyClassifier
    form: InputForm | VectorForm


class Predictor:
    """Makes requests ready (on the receiving thread) and computes them (on the other)."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()

    def prepare(self, op: str, header: Mapping[str, Any], body: bytes) -> Work:
        """The work that this request asks for. Raises Refused for an unknown operation."""
        if op == "load":
            return lambda: self._load(header)
        if op == "predict":
            return lambda: self._predict(header, memoryview(body))
        raise Refused(f"a predictor has no operation {op!r}.")

    def _load(self, header: Mapping[str, Any]) -> Answer:
        spec, name = header["spec"], str(header["model"])
        if header["labels"] != spec["outputs"]:
            raise Refused(f"{name} has {spec['outputs']} outputs and {header['labels']} labels.")
        try:
            weights = Path(header["path"]).read_bytes()
        except OSError as error:
            raise Refused(f"the weights of {name} cannot be read: {error.strerror}.") from error
        classifier = SteadyClassifier(spec, weights)
        self._models[name] = LoadedModel(classifier, _form_of(spec))
        self._models.move_to_end(name)
        dropped = []
        while len(self._models) > LOADED_MODELS:
            dropped.append(self._models.popitem(last=False)[0])
        return {"dropped": dropped}, b""

    def _predict(self, header: Mapping[str, Any], body: memoryview) -> Answer:
        name = str(header["model"])
        if name not in self._models:
            raise Refused(f"the model {name} is not loaded.")
        self._models.move_to_end(name)
        model = self._models[name]
        found: list[tuple[memoryview, list[NDArray[Any]]] | Refused] = []
        offset = 0
        for pieces in header["predictions"]:
            end = offset + sum(int(size) for _, size, _ in pieces)
            data = body[offset:end]
            offset = end
            try:
                found.append((data, raw_inputs(pieces, data, model.form)))
            except Refused as refusal:
                found.append(refusal)
        stacks = [stack for one in found if not isinstance(one, Refused) for stack in one[1]]
        probabilities = np.zeros((0, 1), FLOAT)
        if stacks:
            inputs = model_inputs(stacks, model.form)
            probabilities = model.classifier.answers(inputs)
        answers, start = [], 0
        for one in found:
            if isinstance(one, Refused):
                answers.append({"failure": failure_fields(one)})
            else:
                data, own = one
                end = start + sum(map(len, own))
                answers.append(_about(data, probabilities[start:end]))
                start = end
        return {"answers": answers}, probabilities.tobytes()


def _about(data: memoryview, probabilities: NDArray[np.float32]) -> dict[str, Any]:
    best = int(probabilities[0].argmax())
    probability = float(probabilities[0, best])
    return {
        "size_bytes": probabilities.nbytes,
        "inputs": hashlib.sha256(data).hexdigest(),
        "digest": hashlib.sha256(probabilities.data).hexdigest(),
        "best": best,
        "probability": 0.0 if math.isnan(probability) else probability,
    }


def _form_of(spec: Mapping[str, Any]) -> InputForm | VectorForm:
    shape = tuple(spec["input_shape"])
    return InputForm(shape, spec["normalise"]) if len(shape) == 3 else VectorForm(shape[0], spec["normalise"])


def raw_inputs(pieces: Sequence[Piece], body: memoryview, form: InputForm | VectorForm) -> list[NDArray[Any]]:
    """The inputs of one prediction, in order: images as they were sent, uint8 [n, h, w, 1 or 3], or float32 [n, columns].

    Raises Refused for inputs that do not fill `body`, or are not what the model takes.
    """
    found: list[NDArray[Any]] = []
    offset = 0
    for kind, size, shape in pieces:
        data = body[offset : offset + size]
        offset += size
        if isinstance(form, VectorForm):
            found.append(_vectors(kind, data, tuple(shape), form))
        elif kind in ("numbers", "text"):
            raise Refused(f"this model takes images, not an input of form {kind!r}.", "Send images.")
        else:
            found.append(decode(bytes(data))[np.newaxis] if kind == "image" else _stack(data, tuple(shape)))
    return found


def model_inputs(stacks: Sequence[NDArray[Any]], form: InputForm | VectorForm) -> NDArray[Any]:
    """All of these as the model takes them: uint8 [n, *form.shape], or float32 [n, form.columns].

    Images of one size are normalised in one go, which is much quicker.
    """
    if isinstance(form, VectorForm):
        return _joined(stacks)
    if len({stack.shape[1:] for stack in stacks}) == 1:
        return stack_to_model(_joined(stacks), form)
    return _joined([stack_to_model(stack, form) for stack in stacks])


def _vectors(kind: str, data: memoryview, shape: tuple[int, ...], form: VectorForm) -> NDArray[np.float32]:
    """[n, form.columns]."""
    wanted = "text" if form.normalise == "text" else "numbers"
    if kind != wanted:
        raise Refused(
            f"this model takes {wanted}, not an input of form {kind!r}.",
            "Give --inputs with a file like the one it learned from.",
        )
    if wanted == "text":
        try:
            return text_vectors([bytes(data).decode()])
        except UnicodeDecodeError as error:
            raise Refused("the text is not UTF-8.", "Save it as UTF-8.") from error
    if len(shape) != 2 or shape[1] != form.columns or math.prod(shape) * FLOAT.itemsize != len(data):
        raise Refused(
            f"numbers of shape {list(shape)} in {len(data)} bytes do not fit the model.",
            f"Give rows of {form.columns} numbers.",
        )
    numbers = np.frombuffer(data, FLOAT).reshape(shape)
    if not np.isfinite(numbers).all():
        raise Refused("a number is not finite.", "Fill in what is missing.")
    return numbers


def _joined(stacks: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return stacks[0] if len(stacks) == 1 else np.concatenate(stacks)


def _stack(data: memoryview, shape: tuple[int, ...]) -> Pixels:
    if len(shape) == 3:
        shape = (*shape, 1)
    if len(shape) != 4 or shape[3] not in (1, 3) or not min(shape[:3]) >= 1 or max(shape[1:3]) > MAX_SIDE:
        raise Refused(
            f"an array of shape {list(shape)} does not hold images.",
            "Send [n, height, width] or [n, h, w, 3].",
        )
    if math.prod(shape) != len(data):
        raise Refused(
            f"an array of shape {list(shape)} needs {math.prod(shape)} bytes, {len(data)} were sent."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def main() -> None:
    """Join the node and answer it until it is gone."""
    stream, _ = join_node()
    with stream:
        answer_requests(stream, Predictor().prepare)


if __name__ == "__main__":
    main()
