"""Softmax cross-entropy: the loss of a classifier, and its gradient."""

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros


def softmax(logits: Array, scratch: Array) -> Array:
    """[rows, classes] -> probabilities, in place; `scratch` is [rows, 1]. Rows that are not finite give NaN."""
    np.maximum.reduce(logits, axis=1, keepdims=True, out=scratch)
    np.subtract(logits, scratch, out=logits)
    np.exp(logits, out=logits)
    np.add.reduce(logits, axis=1, keepdims=True, out=scratch)
    return np.divide(logits, scratch, out=logits)


class CrossEntropy:
    """loss = mean over the rows of -log softmax(logits)[label]; its gradient by the logits is (p - onehot) / rows."""

    def __init__(self, rows: int, classes: int) -> None:
        self._scratch = zeros((rows, 1))
        self._target = zeros((rows, classes))
        self._onehot = zeros((classes, classes))
        np.fill_diagonal(self._onehot, 1)
        self._row_starts = np.arange(rows, dtype=np.intp) * classes
        self._places = np.zeros(rows, np.intp)
        self._rows = rows

    def gradient(self, logits: Array, labels: NDArray[np.intp], scale: float, likelihood: Array) -> Array:
        """`scale` times the gradient by the logits, [rows, classes], in place of the logits.

        labels: intp[rows]. What the model gave to each right label goes to `likelihood`, [rows].
        """
        softmax(logits, self._scratch)
        np.add(self._row_starts, labels, out=self._places)
        logits.reshape(-1).take(self._places, out=likelihood, mode="clip")
        self._onehot.take(labels, axis=0, out=self._target, mode="clip")
        np.subtract(logits, self._target, out=logits)
        return np.multiply(logits, np.float32(scale / self._rows), out=logits)


def mean_loss(likelihoods: Array) -> float:
    """The mean of -log over the likelihoods of the right labels; NaN if any is NaN, never infinite."""
    return float(-np.log(np.maximum(likelihoods, np.float32(1e-30))).mean(dtype=np.float64))
