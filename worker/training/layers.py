"""Layers: an operation and its gradient side by side, over buffers that are allocated once.

A layer is made from shapes alone and says which parameters it has. `bind` gives it the number of rows of a
micro-batch, which never changes afterwards (BLAS may sum in another order for another number of rows), and views of
the network's flat parameters and gradients. Then `forward` and `backward` write into their own buffers; what they return is
overwritten by the next call.

Every array is float32 with the rows of the micro-batch as its *last* axis: vectors are [units, rows], images are
[height, channels, width, rows]. So every operation runs over long stretches of memory, and unfolding an image for a
convolution copies whole stretches too.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

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

        `gradients` is empty in a network that only predicts, and for a layer without parameters.
        """
        ...

    def forward(self, x: Array) -> Array:
        """[*input_shape, rows] -> [*output_shape, rows]."""
        ...

    def backward(self, gradient: Array) -> Array:
        """Gradient of the loss by the output -> by the input; those by the parameters go to their views.

        `gradient` may be overwritten. The layer bound as `first` leaves the input's gradient out and returns `gradient`.
        """
        ...


class Entrance(Protocol):
    """What makes the network's first float32 of a micro-batch as the data set holds it, rows first."""

    def bind(self, rows: int) -> None: ...

    def forward(self, inputs: NDArray[Any]) -> Array: ...


class Standardise:
    """uint8 [rows, height, width, channels] -> float32 [height, channels, width, rows], (x - mean) / deviation.

    Mean and deviation are per channel. `rows_last` says how the result lies in memory, not what it is: in the order of its
    axes, or row by row as the images came, which a dense layer takes as well and which saves the transposition.
    """

    def __init__(
        self, shape: Shape, mean: Sequence[float], deviation: Sequence[float], rows_last: bool
    ) -> None:
        # A plain number is several times faster than one that must be spread over an axis.
        per_channel = () if len(mean) == 1 else (-1, 1, 1)
        self._scale = np.array([1 / value for value in deviation], np.float32).reshape(per_channel)
        shift = [m / d for m, d in zip(mean, deviation, strict=True)]
        self._shift = np.array(shift, np.float32).reshape(per_channel)
        self._shape = shape
        self._rows_last = rows_last

    def bind(self, rows: int) -> None:
        height, width, channels = self._shape
        if self._rows_last:
            self._output = zeros((height, channels, width, rows))
        else:
            self._output = zeros((rows, height, channels, width)).transpose(1, 2, 3, 0)

    def forward(self, images: NDArray[Any]) -> Array:
        np.copyto(self._output, images.transpose(1, 3, 2, 0))
        np.multiply(self._output, self._scale, out=self._output)
        np.subtract(self._output, self._shift, out=self._output)
        return self._output


class StandardiseVectors:
    """float32 [rows, columns] -> [columns, rows], (x - mean) / deviation of each column; the same order in memory."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        self._mean, self._deviation = np.array(mean, np.float32), np.array(deviation, np.float32)

    def bind(self, rows: int) -> None:
        self._output = zeros((rows, len(self._mean)))

    def forward(self, inputs: NDArray[Any]) -> Array:
        np.subtract(inputs, self._mean, out=self._output)
        np.divide(self._output, self._deviation, out=self._output)
        return self._output.T


class Dense:
    """y = W^T x + b, with W [inputs, units] and b [units].

    dW = x dy^T; db = sum of dy over the rows; dx = W dy.
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
        self._weight, self._bias = parameters[0], parameters[1].reshape(-1, 1)
        self._output = zeros((*self.output_shape, rows))
        if gradients:
            self._weight_gradient, self._bias_gradient = gradients
            self._ones = zeros((rows,))
            self._ones += 1
            self._input_gradient = None if first else zeros((self.inputs, rows))

    def forward(self, x: Array) -> Array:
        self._input = x
        np.matmul(self._weight.T, x, out=self._output)
        np.add(self._output, self._bias, out=self._output)
        return self._output

    def backward(self, gradient: Array) -> Array:
        np.matmul(self._input, gradient.T, out=self._weight_gradient)
        np.matmul(gradient, self._ones, out=self._bias_gradient)
        if self._input_gradient is None:
            return gradient
        np.matmul(self._weight, gradient, out=self._input_gradient)
        return self._input_gradient


class Unparametrised:
    """A layer without parameters."""

    parameter_shapes: tuple[Shape, ...] = ()

    def initial(self, _source: np.random.PCG64) -> tuple[Array, ...]:
        return ()


class Relu(Unparametrised):
    """y = max(x, 0), in place of x; dx = dy where y > 0, else 0."""

    def __init__(self, shape: Shape) -> None:
        self.output_shape = shape

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        del first
        # NumPy compares with an array three times as fast as with a number.
        self._zeros = zeros((*self.output_shape[-1:], rows))
        self._positive: NDArray[np.bool_] = zeros((*self.output_shape, rows), np.bool_)

    def forward(self, x: Array) -> Array:
        self._output = np.maximum(x, self._zeros, out=x)
        return x

    def backward(self, gradient: Array) -> Array:
        np.greater(self._output, self._zeros, out=self._positive)
        np.multiply(gradient, self._positive, out=gradient)
        return gradient


class Flatten(Unparametrised):
    """[height, channels, width, rows] -> [height x channels x width, rows], the same memory."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.output_shape: Shape = (math.prod(shape),)

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        del rows, first

    def forward(self, x: Array) -> Array:
        return x.reshape(*self.output_shape, x.shape[-1])

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(*self._shape, gradient.shape[-1])
