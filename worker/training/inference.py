"""The forward pass on fixed weights: for evaluation in a trainer, and for answers in a predictor."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from shared.errors import Refused
from shared.images import Pixels
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
        self._images = zeros((rows, *spec["input_shape"]), np.uint8)
        self._scratch = zeros((rows,))
        self._classes = int(spec["classes"])

    @property
    def row_bytes(self) -> int:
        """Of the probabilities of one image."""
        return self._classes * FLOAT.itemsize

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
        for image in random.integers(0, 256, (PROBES, *self._images.shape[1:]), np.uint8):
            self._images[:] = image
            logits = self._network.forward(self._images)
            if any(row.tobytes() != logits[0].tobytes() for row in logits):
                return False
        return True

    def probabilities(self, images: Pixels) -> Array:
        """uint8 [n, *input_shape] -> float32 [n, classes], each row adding up to 1."""
        result = np.empty((len(images), self._classes), np.float32)
        done = 0
        for logits in self._logits(images):
            found = softmax(logits, self._scratch).T
            result[done : done + len(found)] = found[: len(images) - done]
            done += len(found)
        return result

    def correct(self, images: Pixels, labels: Any) -> int:
        """How many of the images get the highest logit at their label; labels: whole numbers [n]."""
        right = done = 0
        for logits in self._logits(images):
            best = logits.argmax(axis=0)
            expected = labels[done : done + len(best)]
            right += int(np.count_nonzero(best[: len(expected)] == expected))
            done += len(best)
        return right

    def _logits(self, images: Pixels) -> Iterator[Array]:
        """[classes, rows] for each micro-batch in turn, overwritten by the next."""
        rows = self._network.rows
        for start in range(0, len(images), rows):
            piece = images[start : start + rows]
            self._images[: len(piece)] = piece
            self._images[len(piece) :] = 0
            yield self._network.forward(self._images)
