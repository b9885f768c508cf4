"""A network: layers in a row over one flat array of parameters, bound to one number of rows."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros
from worker.training.layers import Layer, Standardise
from worker.training.randomness import Purpose, stream


def parameter_count(layers: Sequence[Layer]) -> int:
    """How many float32 the parameters of these layers are."""
    return sum(math.prod(shape) for layer in layers for shape in layer.parameter_shapes)


def initial_parameters(layers: Sequence[Layer], seed: int) -> Array:
    """Fresh parameters, [parameter_count], each layer from its own random stream."""
    pieces = [
        piece.reshape(-1)
        for number, layer in enumerate(layers)
        for piece in layer.initial(stream(seed, Purpose.WEIGHTS, number))
    ]
    return np.concatenate(pieces)


def _views(layers: Sequence[Layer], flat: Array) -> list[list[Array]]:
    views, offset = [], 0
    for layer in layers:
        views.append([])
        for shape in layer.parameter_shapes:
            size = math.prod(shape)
            views[-1].append(flat[offset : offset + size].reshape(shape))
            offset += size
    return views


class Network:
    """`parameters` and, if it `trains`, `gradients` are flat arrays, [parameter_count]; the layers hold views of them.

    `rows` is the fixed number of rows of a micro-batch.
    """

    def __init__(self, entrance: Standardise, layers: Sequence[Layer], rows: int, trains: bool) -> None:
        size = parameter_count(layers)
        self.rows = rows
        self.parameters = zeros((size,))
        self.gradients = zeros((size if trains else 0,))
        parameters = _views(layers, self.parameters)
        gradients = _views(layers, self.gradients) if trains else [[] for _ in layers]
        first = next(number for number, layer in enumerate(layers) if layer.parameter_shapes)
        entrance.bind(rows)
        for number, layer in enumerate(layers):
            layer.bind(rows, parameters[number], gradients[number], number == first)
        self._entrance = entrance
        self._layers = layers
        self._backward = layers[: first - 1 if first else None : -1]

    def forward(self, images: NDArray[np.uint8]) -> Array:
        """[rows, *input_shape] -> logits, [rows, classes], which the next call overwrites."""
        x = self._entrance.forward(images)
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient: Array) -> None:
        """The gradient by the logits of the last `forward` -> `gradients`."""
        for layer in self._backward:
            gradient = layer.backward(gradient)
