"""Optimisers: what a gradient does to the parameters, and the arrays that must travel with them."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from worker.training.buffers import Array, zeros


class Optimiser(Protocol):
    """Bound to arrays of one size; `slots` are written in place, and travel in the state."""

    def gradient_scale(self, rate: float) -> float:
        """By what the loss multiplies the gradient of the logits, and with it every gradient."""
        ...

    def apply(self, rate: float, step: int) -> None:
        """One step with learning rate `rate`; `step` is its number from 0 in the whole job."""
        ...


class Momentum:
    """Stochastic gradient descent with momentum (Polyak): u <- m u + lr g; w <- w - u.

    Nesterov's (Sutskever et al. 2013, as it is commonly written): w <- w - (m u + lr g), with the new u. The learning rate
    is inside the velocity u, so that it multiplies the small gradient of the logits instead of every parameter: one pass
    over memory less.
    """

    def __init__(
        self, parameters: Array, slots: Sequence[Array], gradient: Array, momentum: float, nesterov: bool
    ) -> None:
        self._parameters, (self._velocity,), self._gradient = parameters, slots, gradient
        self._momentum, self._nesterov = np.float32(momentum), nesterov

    def gradient_scale(self, rate: float) -> float:
        return rate

    def apply(self, rate: float, step: int) -> None:
        del rate, step
        np.multiply(self._velocity, self._momentum, out=self._velocity)
        np.add(self._velocity, self._gradient, out=self._velocity)
        if self._nesterov:
            np.subtract(self._parameters, self._gradient, out=self._parameters)
            np.multiply(self._velocity, self._momentum, out=self._gradient)
            np.subtract(self._parameters, self._gradient, out=self._parameters)
        else:
            np.subtract(self._parameters, self._velocity, out=self._parameters)


class Adam:
    """Kingma and Ba 2015, algorithm 1: w <- w - lr m' / (sqrt(v') + epsilon), m' and v' corrected for their start at 0."""

    SQUARE_DECAY = 0.999
    EPSILON = np.float32(1e-8)

    def __init__(self, parameters: Array, slots: Sequence[Array], gradient: Array, momentum: float) -> None:
        self._parameters, (self._mean, self._square), self._gradient = parameters, slots, gradient
        self._momentum = momentum
        self._scratch = zeros(parameters.shape)

    def gradient_scale(self, rate: float) -> float:
        del rate
        return 1.0

    def apply(self, rate: float, step: int) -> None:
        gradient, scratch = self._gradient, self._scratch
        np.multiply(gradient, gradient, out=scratch)
        np.multiply(scratch, np.float32(1 - self.SQUARE_DECAY), out=scratch)
        np.multiply(self._square, np.float32(self.SQUARE_DECAY), out=self._square)
        np.add(self._square, scratch, out=self._square)
        np.multiply(gradient, np.float32(1 - self._momentum), out=gradient)
        np.multiply(self._mean, np.float32(self._momentum), out=self._mean)
        np.add(self._mean, gradient, out=self._mean)
        np.multiply(self._square, np.float32(1 / (1 - _power(self.SQUARE_DECAY, step + 1))), out=scratch)
        np.sqrt(scratch, out=scratch)
        np.add(scratch, self.EPSILON, out=scratch)
        np.divide(self._mean, scratch, out=scratch)
        np.multiply(scratch, np.float32(rate / (1 - _power(self._momentum, step + 1))), out=scratch)
        np.subtract(self._parameters, scratch, out=self._parameters)


def optimiser(
    spec: Mapping[str, Any], parameters: Array, slots: Sequence[Array], gradient: Array
) -> Optimiser:
    """The optimiser that a spec names."""
    if spec["optimiser"] == "adam":
        return Adam(parameters, slots, gradient, spec["momentum"])
    return Momentum(parameters, slots, gradient, spec["momentum"], spec["optimiser"] == "nesterov")


def _power(base: float, exponent: int) -> float:
    """base**exponent by multiplications alone, which give the same bits on every system."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result
