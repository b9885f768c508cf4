"""Softmax cross-entropy: the loss of a classifier, and its gradient."""

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros


def softmax(logits: Array, scratch: Array) -> Array:
    """[classes, rows] -> probabilities, in place; `scratch` is [rows]. Rows that are not finite give NaN."""
    np.maximum.reduce(logits, axis=0, out=scratch)
    np.subtract(logits, scratch, out=logits)
    np.exp(logits, out=logits)
    np.add.reduce(logits, axis=0, out=scratch)
    return np.divide(logits, scratch, out=logits)


class CrossEntropy:
    """loss = mean over the rows of -log softmax(logits)[label]; its gradient by the logits is (p - target) / rows.

    The target is 1 at the label and 0 elsewhere; with `smoothing` s (Szegedy et al. 2016), that times 1 - s, plus
    s / classes everywhere. What is told of the loss is without it.
    """

    def __init__(self, classes: int, rows: int, smoothing: float) -> None:
        self._scratch = zeros((rows,))
        self._target = zeros((classes, rows))
        self._targets = zeros((classes, classes))
        self._targets += np.float32(smoothing / classes)
        np.fill_diagonal(self._targets, np.float32(1 - smoothing + smoothing / classes))
        self._row_numbers = np.arange(rows, dtype=np.intp)
        self._places = np.zeros(rows, np.intp)
        self._rows = rows

    def gradient(self, logits: Array, labels: NDArray[np.intp], scale: float, likelihood: Array) -> Array:
        """`scale` times the gradient by the logits, [classes, rows], in place of the logits.

        labels: intp[rows]. What the model gave to each right label goes to `likelihood`, [rows].
        """
        softmax(logits, self._scratch)
        np.multiply(labels, self._rows, out=self._places)
        np.add(self._places, self._row_numbers, out=self._places)
        logits.reshape(-1).take(self._places, out=likelihood, mode="clip")
        self._targets.take(labels, axis=1, out=self._target, mode="clip")
        np.subtract(logits, self._target, out=logits)
        return np.multiply(logits, np.float32(scale / self._rows), out=logits)

    def mean(self, likelihoods: Array) -> float:
        """As `mean_loss`."""
        return mean_loss(likelihoods)


class SquaredError:
    """loss = mean over the rows and outputs of (y - target)^2 / 2; its gradient by y is (y - target) / (rows x outputs)."""

    def __init__(self, outputs: int, rows: int) -> None:
        self._scratch = zeros((outputs, rows))
        self._scale = 1 / (outputs * rows)

    def gradient(self, y: Array, targets: Array, scale: float, losses: Array) -> Array:
        """`scale` times the gradient by y, [outputs, rows], in place of y; targets: float32 [rows, outputs].

        The loss of each row goes to `losses`, [rows].
        """
        np.subtract(y, targets.T, out=y)
        np.multiply(y, y, out=self._scratch)
        np.add.reduce(self._scratch, axis=0, out=losses)
        np.multiply(losses, np.float32(0.5 / len(y)), out=losses)
        return np.multiply(y, np.float32(scale * self._scale), out=y)

    def mean(self, losses: Array) -> float:
        """The mean of what `gradient` told; NaN if any is NaN."""
        return float(losses.mean(dtype=np.float64))


def mean_loss(likelihoods: Array) -> float:
    """The mean of -log over the likelihoods of the right labels; NaN if any is NaN, never infinite."""
    return float(-np.log(np.maximum(likelihoods, np.float32(1e-30))).mean(dtype=np.float64))
