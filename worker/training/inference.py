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


class Classifier:
    """A network without gradients, in micro-batches of `rows` rows, of which the last is filled up with black images.

    With a `margin` so many rows more at each end of a micro-batch are black.
    """

    def __init__(self, spec: Mapping[str, Any], rows: int, margin: int = 0) -> None:
        layers = architectures.layers(spec)
        self._parameters = zeros((parameter_count(layers),))
        self._network = Network(architectures.entrance(spec), layers, rows, self._parameters, None)
        self._images = zeros((rows, *spec["input_shape"]), architectures.input_type(spec))
        self._scratch = zeros((rows,))
        self._margin = margin
        self._outputs = int(spec["outputs"])
        self._numbers = spec["loss"] == "squared"
        self._target_mean = np.array(spec.get("target_mean", 0.0))
        self._target_deviation = np.array(spec.get("target_deviation", 1.0))

    @property
    def rows(self) -> int:
        """Of a micro-batch, without its margins."""
        return self._network.rows - 2 * self._margin

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one image or vector."""
        return self._images.shape[1:]

    def load(self, weights: bytes) -> None:
        """Take these parameters, little-endian float32. Raises Refused if there are too many or too few."""
        if len(weights) != self._parameters.nbytes:
            raise Refused(
                f"weights of {len(weights)} bytes do not fit the model, which needs {self._parameters.nbytes}."
            )
        self._parameters[:] = np.frombuffer(weights, FLOAT)

    def everywhere(self, image: NDArray[Any]) -> Array:
        """The answer to one input at each place of a micro-batch, [rows, outputs]; numbers before their units."""
        self._images[:] = image
        found = self._network.forward(self._images)
        if not self._numbers:
            softmax(found, self._scratch)
        return np.ascontiguousarray(found.T[self._margin : self._margin + self.rows])

    def answers(self, inputs: NDArray[Any]) -> Array:
        """[n, *input_shape] -> float32 [n, outputs]: probabilities that add up to 1, or `numbers`."""
        if self._numbers:
            return self.numbers(inputs).astype(np.float32)
        result = np.empty((len(inputs), self._outputs), np.float32)
        done = 0
        for logits in self._logits(inputs):
            found = self._used(softmax(logits, self._scratch)).T
            result[done : done + len(found)] = found[: len(inputs) - done]
            done += len(found)
        return result

    def numbers(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """[n, *input_shape] -> [n, outputs], in the units of the targets that were learned from."""
        result: NDArray[np.float64] = np.empty((len(inputs), self._outputs))
        done = 0
        for found in self._logits(inputs):
            piece = self._used(found).T[: len(inputs) - done]
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
            best = self._used(logits).argmax(axis=0)
            expected = labels[done : done + len(best)]
            right += int(np.count_nonzero(best[: len(expected)] == expected))
            done += len(best)
        return right

    def _logits(self, images: NDArray[Any]) -> Iterator[Array]:
        """[outputs, rows with the margins] for each micro-batch in turn, overwritten by the next."""
        first = self._margin
        for start in range(0, len(images), self.rows):
            piece = images[start : start + self.rows]
            self._images[first : first + len(piece)] = piece
            self._images[first + len(piece) :] = 0
            yield self._network.forward(self._images)

    def _used(self, found: Array) -> Array:
        """The columns between the margins."""
        return found[:, self._margin : self._margin + self.rows]
