"""The forward pass on fixed weights: for evaluation in a trainer, and for answers in a predictor."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Refused
from worker.training import architectures
from worker.training.buffers import Array, zeros
from worker.training.loss import softmax
from worker.training.network import Network, parameter_count
from worker.training.state import FLOAT

PROBES = 8
"""Random images that tell whether a classifier is steady; in 128 sums of a hidden layer, one shows it nearly for sure."""


class Classifier:
    """A network without gradients, in micro-batches of `rows` rows, of which the last is filled up with black images.

    If it is `steady`, the answer to an image does not depend on those that came with it.
    """

    def __init__(self, spec: Mapping[str, Any], rows: int) -> None:
        layers = architectures.layers(spec)
        self._parameters = zeros((parameter_count(layers),))
        self._network = Network(architectures.entrance(spec), layers, rows, self._parameters, None)
        self._images = zeros((rows, *spec["input_shape"]), architectures.input_type(spec))
        self._scratch = zeros((rows,))
        self._outputs = int(spec["outputs"])
        self._numbers = spec["loss"] == "squared"
        self._target_mean = np.array(spec.get("target_mean", 0.0))
        self._target_deviation = np.array(spec.get("target_deviation", 1.0))

    @property
    def rows(self) -> int:
        """Of a micro-batch."""
        return self._network.rows

    def load(self, weights: bytes) -> None:
        """Take these parameters, little-endian float32. Raises Refused if there are too many or too few."""
        if len(weights) != self._parameters.nbytes:
            raise Refused(
                f"weights of {len(weights)} bytes do not fit the model, which needs {self._parameters.nbytes}."
            )
        self._parameters[:] = np.frombuffer(weights, FLOAT)

    def steady(self) -> bool:
        """Whether an image gets the same bits at every place of a micro-batch.

        Kernels of BLAS take some rows in blocks of other widths than the rest, and add up in another order there.
        """
        random = np.random.default_rng(0)
        for image in random.integers(0, 256, (PROBES, *self._images.shape[1:])):
            self._images[:] = image
            found = self._network.forward(self._images)
            if not _alike(found) or not (self._numbers or _alike(softmax(found, self._scratch))):
                return False
        return True

    def answers(self, inputs: NDArray[Any]) -> Array:
        """[n, *input_shape] -> float32 [n, outputs]: probabilities that add up to 1, or `numbers`."""
        if self._numbers:
            return self.numbers(inputs).astype(np.float32)
        result = np.empty((len(inputs), self._outputs), np.float32)
        done = 0
        for logits in self._logits(inputs):
            found = softmax(logits, self._scratch).T
            result[done : done + len(found)] = found[: len(inputs) - done]
            done += len(found)
        return result

    def numbers(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """[n, *input_shape] -> [n, outputs], in the units of the targets that were learned from."""
        result: NDArray[np.float64] = np.empty((len(inputs), self._outputs))
        done = 0
        for found in self._logits(inputs):
            piece = found.T[: len(inputs) - done]
            result[done : done + len(piece)] = piece
            done += len(piece)
        result *= self._target_deviation
        result += self._target_mean
        return result

    def explained(self, inputs: NDArray[Any], targets: NDArray[Any]) -> float:
        """1 - squared errors / squared distances of the targets [n, outputs] from their means, over all outputs."""
        errors = self.numbers(inputs) - targets
        spread = targets - targets.mean(axis=0, dtype=np.float64)
        return 1 - float(np.square(errors).sum()) / (float(np.square(spread).sum()) or 1.0)

    def correct(self, images: NDArray[Any], labels: Any) -> int:
        """How many of the images get the highest logit at their label; labels: whole numbers [n]."""
        right = done = 0
        for logits in self._logits(images):
            best = logits.argmax(axis=0)
            expected = labels[done : done + len(best)]
            right += int(np.count_nonzero(best[: len(expected)] == expected))
            done += len(best)
        return right

    def _logits(self, images: NDArray[Any]) -> Iterator[Array]:
        """[classes, rows] for each micro-batch in turn, overwritten by the next."""
        rows = self._network.rows
        for start in range(0, len(images), rows):
            piece = images[start : start + rows]
            self._images[: len(piece)] = piece
            self._images[len(piece) :] = 0
            yield self._network.forward(self._images)


def _alike(columns: Array) -> bool:
    """Whether all columns have the same bits."""
    bits = columns.view(np.uint32)
    return bool((bits == bits[:, :1]).all())
