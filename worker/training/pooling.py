"""Max pooling: the largest of several planes, and to which of them its gradient goes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros
from worker.training.layers import Shape, Unparametrised


class Winners:
    """y = the largest of P planes of one shape, entry by entry; dy goes to the first plane that has it.

    The maximum is taken plane after plane, and every step is kept: on the way back, each plane takes the gradient where it
    was larger than all before it.
    """

    def __init__(self, shape: Shape, planes: int) -> None:
        self._running = [zeros(shape) for _ in range(planes - 1)]
        self._beaten: NDArray[np.bool_] = zeros(shape, np.bool_)

    def largest(self, planes: Sequence[Array]) -> Array:
        """The maximum, in a buffer of its own that may be written over."""
        best = planes[0]
        for plane, running in zip(planes[1:], self._running, strict=True):
            best = np.maximum(best, plane, out=running)
        return best

    def share(self, gradient: Array, planes: Sequence[Array], shares: Sequence[Array]) -> None:
        """Spread `gradient`, which is used up, over `shares`, which lie like the planes and may be those."""
        for number in range(len(planes) - 1, 0, -1):
            before = self._running[number - 2] if number > 1 else planes[0]
            np.greater(planes[number], before, out=self._beaten)
            np.multiply(gradient, self._beaten, out=shares[number])
            np.subtract(gradient, shares[number], out=gradient)
        np.copyto(shares[0], gradient)


class MaxPool(Unparametrised):
    """The largest of each size x size square; what is left over at the lower and right edge is not looked at."""

    def __init__(self, shape: Shape, size: int) -> None:
        height, channels, width = shape
        self._shape, self._size = shape, size
        self.output_shape: Shape = (height // size, channels, width // size)

    def bind(self, rows: int, _parameters: Sequence[Array], _gradients: Sequence[Array], first: bool) -> None:
        self._winners = Winners((*self.output_shape, rows), self._size**2)
        self._input_gradient = None if first else zeros((*self._shape, rows))

    def forward(self, x: Array) -> Array:
        self._planes = self._planes_of(x)
        return self._winners.largest(self._planes)

    def backward(self, gradient: Array) -> Array:
        if self._input_gradient is None:
            return gradient
        self._winners.share(gradient, self._planes, self._planes_of(self._input_gradient))
        return self._input_gradient

    def _planes_of(self, x: Array) -> list[Array]:
        size, (height, _, width) = self._size, self.output_shape
        return [
            x[row : row + height * size : size, :, column : column + width * size : size]
            for row in range(size)
            for column in range(size)
        ]
