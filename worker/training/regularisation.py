"""Layers that make training steadier or less sure of itself: layer normalisation, and dropout."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros
from worker.training.layers import Shape, Unparametrised

EPSILON = np.float32(1e-5)


class Norm:
    """y = scale (x - mean) / sqrt(variance + epsilon) + shift (Ba et al. 2016), over all that is of one row.

    Scale and shift are per unit of a vector, per channel of an image. Nothing here depends on the other rows, so that it is
    the same in training and prediction, and in any micro-batch.
    """

    def __init__(self, shape: Shape) -> None:
        self.output_shape = shape
        channels = shape[1] if len(shape) == 3 else shape[0]
        self.parameter_shapes: tuple[Shape, ...] = ((channels,), (channels,))

    def initial(self, source: np.random.PCG64) -> tuple[Array, ...]:
        """As if it were not there: scale 1, shift 0."""
        scale, shift = self.parameter_shapes
        return np.ones(scale, np.float32), np.zeros(shift, np.float32)

    def bind(self, rows: int, parameters: Sequence[Array], gradients: Sequence[Array], first: bool) -> None:
        per_channel = (-1, 1, 1) if len(self.output_shape) == 3 else (-1, 1)
        self._scale, self._shift = (array.reshape(per_channel) for array in parameters)
        self._mean_of = zeros((math.prod(self.output_shape),))
        self._mean_of += np.float32(1 / len(self._mean_of))
        self._mean, self._inverse = zeros((rows,)), zeros((rows,))
        self._normal = zeros((*self.output_shape, rows))
        self._output = zeros((*self.output_shape, rows))
        if gradients:
            self._scale_gradient, self._shift_gradient = gradients

    def _mean_over_row(self, x: Array, mean: Array) -> Array:
        """[*shape, rows] -> [rows]."""
        np.matmul(self._mean_of, x.reshape(len(self._mean_of), -1), out=mean)
        return mean

    def forward(self, x: Array) -> Array:
        np.subtract(x, self._mean_over_row(x, self._mean), out=self._normal)
        np.multiply(self._normal, self._normal, out=self._output)
        np.add(self._mean_over_row(self._output, self._inverse), EPSILON, out=self._inverse)
        np.sqrt(self._inverse, out=self._inverse)
        np.divide(np.float32(1), self._inverse, out=self._inverse)
        np.multiply(self._normal, self._inverse, out=self._normal)
        np.multiply(self._normal, self._scale, out=self._output)
        np.add(self._output, self._shift, out=self._output)
        return self._output

    def backward(self, gradient: Array) -> Array:
        """dx = (dn - mean(dn) - n mean(dn n)) / sqrt(variance + epsilon), with n normalised x and dn = scale dy."""
        axes = tuple(axis for axis in range(gradient.ndim) if axis != gradient.ndim - len(self._scale.shape))
        np.multiply(gradient, self._normal, out=self._output)
        np.add.reduce(self._output, axis=axes, out=self._scale_gradient)
        np.add.reduce(gradient, axis=axes, out=self._shift_gradient)
        np.multiply(gradient, self._scale, out=gradient)
        np.multiply(gradient, self._normal, out=self._output)
        np.multiply(self._normal, self._mean_over_row(self._output, self._mean), out=self._normal)
        np.subtract(gradient, self._mean_over_row(gradient, self._mean), out=gradient)
        np.subtract(gradient, self._normal, out=gradient)
        np.multiply(gradient, self._inverse, out=gradient)
        return gradient


class Dropout(Unparametrised):
    """In training, each value is 0 with probability `rate`, else divided by 1 - rate (Srivastava et al. 2014); in place.

    The rate is rounded to 256ths, so that one random byte decides on a value.
    """

    def __init__(self, shape: Shape, rate: float) -> None:
        self.output_shape = shape
        self._threshold = round(rate * 256)
        self._scale = np.float32(256 / (256 - self._threshold))
        self._source: np.random.PCG64 | None = None

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        del first
        self._kept: NDArray[np.bool_] = zeros((*self.output_shape, rows), np.bool_)

    def begin(self, source: np.random.PCG64) -> None:
        """Train, with random numbers from this stream; before, nothing is left out."""
        self._source = source

    def forward(self, x: Array) -> Array:
        if self._source is None:
            return x
        raw = self._source.random_raw(-(-self._kept.size // 8)).astype("<u8", copy=False).view(np.uint8)
        np.greater_equal(raw[: self._kept.size].reshape(self._kept.shape), self._threshold, out=self._kept)
        return self._through(x)

    def backward(self, gradient: Array) -> Array:
        return self._through(gradient)

    def _through(self, x: Array) -> Array:
        np.multiply(x, self._kept, out=x)
        return np.multiply(x, self._scale, out=x)
