"""Answers whose bits do not depend on the company in which an input comes.

Kernels of BLAS take some rows of a product in blocks of another width than the rest, and add up in another order there. So
when a model is loaded, widths of micro-batches are looked for at which one image gets the same bits at every place: a
narrow one, for few inputs, and if there is any a wide one, whose first and last rows stay unused. (OpenBLAS on Haswell: of
256 rows, all but the first and last eight have the bits that each of 8 rows has, if all layers are dense.)
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.training import blueprint
from worker.training.buffers import Array
from worker.training.inference import Classifier
from worker.training.state import FLOAT

NARROW_ROWS = (16, 8, 4, 2, 1)
WIDE_ROWS = 256
MARGIN_ROWS = 8
WIDE_BYTES = 16 * 1_048_576
"""A wide classifier that would need more memory is not tried: it would leave the processor's cache."""
PROBES = 8
"""Random images that tell whether a classifier is steady; in 128 sums of a hidden layer, one shows it nearly for sure."""


class SteadyClassifier:
    """A network without gradients, on fixed weights. Raises Refused for weights that do not fit."""

    def __init__(self, spec: Mapping[str, Any], weights: bytes) -> None:
        narrow = [_loaded(spec, weights, rows) for rows in NARROW_ROWS]
        steady = [one for one in narrow if one.rows == 1 or _alike(one)]
        parts, shape = blueprint.parse(spec["layers"]), spec["input_shape"]
        self._narrow, self._wide = steady[0], None
        if blueprint.working_bytes(parts, shape, WIDE_ROWS) <= WIDE_BYTES:
            wide = _loaded(spec, weights, WIDE_ROWS, MARGIN_ROWS)
            same = next((one for one in steady if _alike(one, wide)), None)
            if same is not None:
                self._narrow, self._wide = same, wide
        self._outputs = int(spec["outputs"])

    @property
    def rows(self) -> int:
        """The most inputs that are answered at a time."""
        return (self._wide or self._narrow).rows

    def answers(self, inputs: NDArray[Any]) -> Array:
        """As `Classifier.answers`."""
        result = np.empty((len(inputs), self._outputs), FLOAT)
        wide, done = self._wide, 0
        if wide is not None:  # half a micro-batch costs no more than the narrow ones that it replaces
            while len(inputs) - done > wide.rows // 2:
                piece = inputs[done : done + wide.rows]
                result[done : done + len(piece)] = wide.answers(piece)
                done += len(piece)
        if done < len(inputs):
            result[done:] = self._narrow.answers(inputs[done:])
        return result


def _loaded(spec: Mapping[str, Any], weights: bytes, rows: int, margin: int = 0) -> Classifier:
    classifier = Classifier(spec, rows, margin)
    classifier.load(weights)
    return classifier


def _alike(*classifiers: Classifier) -> bool:
    """Whether an image gets the same bits at every place of all of these."""
    random = np.random.default_rng(0)
    for image in random.integers(0, 256, (PROBES, *classifiers[0].input_shape)):
        bits = np.concatenate([one.everywhere(image).view(np.uint32) for one in classifiers])
        if (bits != bits[0]).any():
            return False
    return True
