"""A network: layers in a row over one flat array of parameters, bound to one number of rows."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array
from worker.training.layers import Entrance, Layer
from worker.training.randomness import Purpose, stream
from worker.training.regularisation import Dropout


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
    views: list[list[Array]] = []
    offset = 0
    for layer in layers:
        views.append([])
        for shape in layer.parameter_shapes:
            size = math.prod(shape)
            views[-1].append(flat[offset : offset + size].reshape(shape))
            offset += size
    return views


class Network:
    """Layers that hold views of `parameters` and, if there are any, of `gradients`: both flat, [parameter_count].

    `rows` is the fixed number of rows of a micro-batch. Without `gradients` the network only predicts.
    """

    def __init__(
        self,
        entrance: Entrance,
        layers: Sequence[Layer],
        rows: int,
        parameters: Array,
        gradients: Array | None,
    ) -> None:
        self.rows = rows
        first = next(number for number, layer in enumerate(layers) if layer.parameter_shapes)
        own = _views(layers, parameters)
        own_gradients = [[] for _ in layers] if gradients is None else _views(layers, gradients)
        entrance.bind(rows)
        for number, layer in enumerate(layers):
            layer.bind(rows, own[number], own_gradients[number], number == first)
        self._entrance = entrance
        self._parameters = own
        self._layers = layers
        self._backward = layers[: first - 1 if first else None : -1]

    def begin(self, seed: int, *indices: int) -> None:
        """Let dropout leave out, each layer by its own stream of these indices."""
        for number, layer in enumerate(self._layers):
            if isinstance(layer, Dropout):
                layer.begin(stream(seed, Purpose.LAYER, number, *indices))

    def weights(self) -> list[Array]:
        """The parameters that weight decay shrinks: views of all but biases, scales and shifts."""
        return [array for arrays in self._parameters for array in arrays if array.ndim > 1]

    def forward(self, inputs: NDArray[Any]) -> Array:
        """Images or vectors as the data set holds them -> [outputs, rows], which the next call overwrites."""
        x = self._entrance.forward(inputs)
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, gradient: Array) -> None:
        """The gradient by the logits of the last `forward` -> `gradients`."""
        for layer in self._backward:
            gradient = layer.backward(gradient)
