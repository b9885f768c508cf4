"""Optimisers: what a gradient does to the parameters, and the state that must travel with them."""

import numpy as np

from worker.training.buffers import Array


class Momentum:
    """Stochastic gradient descent with momentum (Polyak): u <- m u + lr g; w <- w - u.

    The learning rate is inside the velocity u, so that it multiplies the small gradient of the logits instead of
    every parameter: one pass over memory less.
    """

    slots = 1
    """Arrays of the size of the parameters that travel in the state beside them."""

    def __init__(self, momentum: float) -> None:
        self._momentum = np.float32(momentum)

    def apply(self, parameters: Array, velocity: Array, scaled_gradient: Array) -> None:
        """All three are [parameters]; `scaled_gradient` is the learning rate times the gradient."""
        np.multiply(velocity, self._momentum, out=velocity)
        np.add(velocity, scaled_gradient, out=velocity)
        np.subtract(parameters, velocity, out=parameters)
