"""Layers: an operation and its gradient side by side, over buffers that are allocated once.

A layer is made from shapes alone and says which parameters it has. `bind` gives it the number of rows of a
micro-batch, which never changes afterwards (BLAS may sum in another order for another number of rows), and views of
the network's flat parameters and gradients. Then `forward` and `backward` write into their own buffers; what they return is
overwritten by the next call. Every array is float32 and C-ordered, rows first, images as [rows, height, width,
channels].
"""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros
from worker.training.randomness import uniform

Shape = tuple[int, ...]


class Layer(Protocol):
    """What a network needs of a layer; shapes are those of one row."""

    @property
    def output_shape(self) -> Shape: ...

    @property
    def parameter_shapes(self) -> tuple[Shape, ...]: ...

    def initial(self, source: np.random.PCG64) -> tuple[Array, ...]:
        """Fresh parameters, one array for each of `parameter_shapes`."""
        ...

    def bind(self, rows: int, parameters: Sequence[Array], gradients: Sequence[Array], first: bool) -> None:
        """Allocate for micro-batches of `rows` rows; `first`: nothing before it needs a gradient.

        `gradients` is empty for a network that only predicts.
        """
        ...

    def forward(self, x: Array) -> Array:
        """[rows, *input_shape] -> [rows, *output_shape]."""
        ...

    def backward(self, gradient: Array) -> Array:
        """Gradient of the loss by the output -> by the input; those by the parameters go to their views.

        `gradient` may be overwritten. The layer bound as `first` leaves the input's gradient out and returns `gradient`.
        """
        ...


class Standardise:
    """uint8 [rows, *shape] -> float32, (x - mean) / deviation; mean and deviation are per channel, the last axis."""

    def __init__(self, shape: Shape, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self._scale = np.array([1 / value for value in deviation], np.float32)
        self._shift = np.array([m / d for m, d in zip(mean, deviation, strict=True)], np.float32)
        if len(mean) == 1:  # a plain number is several times faster than one that must be spread over an axis
            self._scale, self._shift = self._scale.reshape(()), self._shift.reshape(())
        self._shape = shape

    def bind(self, rows: int) -> None:
        self._output = zeros((rows, *self._shape))

    def forward(self, images: NDArray[np.uint8]) -> Array:
        np.copyto(self._output, images)
        np.multiply(self._output, self._scale, out=self._output)
        np.subtract(self._output, self._shift, out=self._output)
        return self._output


class Dense:
    """y = x W + b, with W [inputs, units] and b [units].

    dW = x^T dy; db = sum of dy over the rows; dx = dy W^T.
    """

    def __init__(self, inputs: int, units: int) -> None:
        self.inputs = inputs
        self.output_shape: Shape = (units,)
        self.parameter_shapes: tuple[Shape, ...] = ((inputs, units), (units,))

    def initial(self, source: np.random.PCG64) -> tuple[Array, ...]:
        """He et al. 2015, equation 10: variance 2 / inputs keeps the scale of activations through ReLUs."""
        weight, bias = self.parameter_shapes
        return uniform(source, weight, math.sqrt(6 / self.inputs)), np.zeros(bias, np.float32)

    def bind(self, rows: int, parameters: Sequence[Array], gradients: Sequence[Array], first: bool) -> None:
        self._weight, self._bias = parameters
        self._output = zeros((rows, *self.output_shape))
        if gradients:
            self._weight_gradient, self._bias_gradient = gradients
            self._ones = zeros((rows,))
            self._ones += 1
            self._input_gradient = None if first else zeros((rows, self.inputs))

    def forward(self, x: Array) -> Array:
        self._input = x
        np.matmul(x, self._weight, out=self._output)
        np.add(self._output, self._bias, out=self._output)
        return self._output

    def backward(self, gradient: Array) -> Array:
        np.matmul(self._input.T, gradient, out=self._weight_gradient)
        np.matmul(self._ones, gradient, out=self._bias_gradient)
        if self._input_gradient is None:
            return gradient
        np.matmul(gradient, self._weight.T, out=self._input_gradient)
        return self._input_gradient


class Unparametrised:
    """A layer without parameters."""

    parameter_shapes: tuple[Shape, ...] = ()

    def initial(self, _source: np.random.PCG64) -> tuple[Array, ...]:
        return ()


class Relu(Unparametrised):
    """y = max(x, 0); dx = dy where y > 0, else 0."""

    def __init__(self, shape: Shape) -> None:
        self.output_shape = shape

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        del first
        self._output = zeros((rows, *self.output_shape))
        self._positive: NDArray[np.bool_] = zeros((rows, *self.output_shape), np.bool_)

    def forward(self, x: Array) -> Array:
        np.maximum(x, 0, out=self._output)
        return self._output

    def backward(self, gradient: Array) -> Array:
        np.greater(self._output, 0, out=self._positive)
        np.multiply(gradient, self._positive, out=gradient)
        return gradient


class Flatten(Unparametrised):
    """[rows, height, width, channels] -> [rows, height x width x channels], the same memory."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.output_shape: Shape = (math.prod(shape),)

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        del rows, first

    def forward(self, x: Array) -> Array:
        return x.reshape(len(x), *self.output_shape)

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(len(gradient), *self._shape)
