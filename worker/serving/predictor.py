"""The predictor process: loaded models and their forward pass. `python -m worker.serving.predictor`.

| op | asks | answers |
|---|---|---|
| load | model (any name), spec, labels, path of the weights | dropped: [names of models that were let go for it] |
| predict | model, inputs: [{form, bytes, shape}]; body: their bytes | outputs: [{label, probabilities: {label: p}}] |

An input of form "image" is one image file; one of form "array" is uint8 of `shape` [n, h, w] or [n, h, w, 1 or 3] and
gives n outputs. Both are normalised as the model's training data were. The new model is loaded before an old one goes.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shared.errors import Refused
from shared.images import MAX_SIDE, InputForm, Pixels, decode, stack_to_model, to_model
from worker.child import join_node
from worker.training.inference import Classifier
from worker.training.requests import Answer, Work, answer_requests

LOADED_MODELS = 16
MICRO_BATCH_ROWS = 32
MAX_OUTPUTS = 10_000
PROBABILITY_DIGITS = 7


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """Fixed weights, ready to answer; `form` is what its inputs are made into."""

    classifier: Classifier
    labels: tuple[str, ...]
    form: InputForm

    def outputs(self, images: Pixels) -> list[dict[str, Any]]:
        """uint8 [n, *form.shape] -> the likeliest label and the probability of each, for every image."""
        probabilities = self.classifier.probabilities(images)
        best = probabilities.argmax(axis=1)
        return [
            {
                "label": self.labels[place],
                "probabilities": {
                    label: round(p, PROBABILITY_DIGITS)
                    for label, p in zip(self.labels, row.tolist(), strict=True)
                },
            }
            for place, row in zip(best.tolist(), probabilities, strict=True)
        ]


class Predictor:
    """Makes requests ready (on the receiving thread) and computes them (on the other)."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, LoadedModel] = OrderedDict()

    def prepare(self, op: str, header: Mapping[str, Any], body: bytes) -> Work:
        """The work that this request asks for. Raises Refused for an unknown operation."""
        if op == "load":
            return lambda: self._load(header)
        if op == "predict":
            return lambda: self._predict(header, body)
        raise Refused(f"a predictor has no operation {op!r}.")

    def _load(self, header: Mapping[str, Any]) -> Answer:
        spec, name = header["spec"], str(header["model"])
        classifier = Classifier(spec, MICRO_BATCH_ROWS)
        try:
            classifier.load(Path(header["path"]).read_bytes())
        except OSError as error:
            raise Refused(f"the weights of {name} cannot be read: {error.strerror}.") from error
        height, width, channels = spec["input_shape"]
        form = InputForm((height, width, channels), spec["normalise"])
        self._models[name] = LoadedModel(classifier, tuple(header["labels"]), form)
        self._models.move_to_end(name)
        dropped = []
        while len(self._models) > LOADED_MODELS:
            dropped.append(self._models.popitem(last=False)[0])
        return {"dropped": dropped}, b""

    def _predict(self, header: Mapping[str, Any], body: bytes) -> Answer:
        name = str(header["model"])
        if name not in self._models:
            raise Refused(f"the model {name} is not loaded.")
        self._models.move_to_end(name)
        model = self._models[name]
        images = model_inputs(header["inputs"], body, model.form)
        return {"outputs": model.outputs(images)}, b""


def model_inputs(inputs: Sequence[Mapping[str, Any]], body: bytes, form: InputForm) -> Pixels:
    """The inputs of a prediction, in order, as uint8 [n, *form.shape].

    Raises Refused for inputs that do not fill `body`, are not images, or are more than `MAX_OUTPUTS`.
    """
    sizes = [int(piece["bytes"]) for piece in inputs]
    if not inputs or min(sizes) < 0 or sum(sizes) != len(body):
        raise Refused(f"the inputs' sizes add up to {sum(sizes)} bytes, {len(body)} were sent.")
    if sum(math.prod(piece["shape"][:1]) for piece in inputs) > MAX_OUTPUTS:
        raise Refused(f"a prediction takes at most {MAX_OUTPUTS:,} images.", "Send fewer at a time.")
    found, offset = [], 0
    for piece, size in zip(inputs, sizes, strict=True):
        data = body[offset : offset + size]
        offset += size
        if piece["form"] == "image":
            found.append(to_model(decode(data), form)[np.newaxis])
        elif piece["form"] == "array":
            found.append(stack_to_model(_stack(data, tuple(int(length) for length in piece["shape"])), form))
        else:
            raise Refused(f"there is no form of input {piece['form']!r}.", "Send an image, or an array.")
    return np.concatenate(found)


def _stack(data: bytes, shape: tuple[int, ...]) -> Pixels:
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
