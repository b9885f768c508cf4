"""Every gradient agrees with what small changes of its input do to the loss."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.training.buffers import Array, zeros
from worker.training.layers import Dense, Flatten, Layer, Relu, Standardise
from worker.training.loss import CrossEntropy, mean_loss
from worker.training.network import Network, initial_parameters, parameter_count
from worker.training.optimiser import Momentum

ROWS = 6
CHANGE = 1e-2

LAYERS: dict[str, Callable[[], Layer]] = {
    "dense": lambda: Dense(20, 7),
    "relu": lambda: Relu((4, 5)),
    "flatten": lambda: Flatten((4, 5)),
}


def _random(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _numeric(function: Callable[[], float], array: Array) -> NDArray[np.float64]:
    """d function / d array, by central differences, entry by entry."""
    flat, found = array.reshape(-1), []
    for place in range(flat.size):
        kept = flat[place]
        flat[place] = kept + np.float32(CHANGE)
        above = function()
        flat[place] = kept - np.float32(CHANGE)
        found.append((above - function()) / (2 * CHANGE))
        flat[place] = kept
    return np.array(found).reshape(array.shape)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str) -> None:
    layer = LAYERS[name]()
    shape = (20,) if name == "dense" else (4, 5)
    parameters = [_random(shape, number) for number, shape in enumerate(layer.parameter_shapes)]
    gradients = [np.zeros(shape, np.float32) for shape in layer.parameter_shapes]
    layer.bind(ROWS, parameters, gradients, False)
    x = _random((ROWS, *shape), 5)
    x[np.abs(x) < 3 * CHANGE] = 0.5  # not on the corner of a ReLU
    weights = _random((ROWS, *layer.output_shape), 6)

    def loss() -> float:
        return float((layer.forward(x).astype(np.float64) * weights).sum())

    loss()
    by_input = layer.backward(weights.copy()).copy()
    np.testing.assert_allclose(by_input, _numeric(loss, x), rtol=2e-2, atol=2e-3)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        np.testing.assert_allclose(gradient, _numeric(loss, parameter), rtol=2e-2, atol=2e-3)


def test_the_first_layer_leaves_out_the_gradient_nobody_needs_and_keeps_the_others() -> None:
    results = []
    for first in (False, True):
        layer = Dense(5, 3)
        gradients = [np.zeros(shape, np.float32) for shape in layer.parameter_shapes]
        layer.bind(ROWS, [_random((5, 3), 1), _random((3,), 2)], gradients, first)
        layer.forward(_random((ROWS, 5), 3))
        layer.backward(_random((ROWS, 3), 4))
        results.append(gradients)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_softmax_cross_entropy() -> None:
    loss = CrossEntropy(ROWS, 5)
    logits, labels = _random((ROWS, 5), 1), np.array([0, 1, 2, 3, 4, 0])
    likelihood = zeros((ROWS,))

    def value() -> float:
        loss.gradient(logits.copy(), labels, 1.0, likelihood)
        return mean_loss(likelihood)

    gradient = loss.gradient(logits.copy(), labels, 1.0, likelihood)
    np.testing.assert_allclose(gradient, _numeric(value, logits), rtol=2e-2, atol=2e-4)
    scaled = loss.gradient(logits.copy(), labels, 3.0, likelihood)
    np.testing.assert_allclose(scaled, 3 * gradient, rtol=1e-5)


def test_softmax_stands_large_logits_and_shows_what_is_not_a_number() -> None:
    loss, likelihood = CrossEntropy(2, 2), zeros((2,))
    loss.gradient(np.array([[1e30, -1e30], [0, 0]], np.float32), np.array([1, 0]), 1.0, likelihood)
    assert np.isfinite(mean_loss(likelihood))
    with np.errstate(invalid="ignore"):
        loss.gradient(np.array([[np.inf, 0], [0, 0]], np.float32), np.array([0, 0]), 1.0, likelihood)
    assert np.isnan(mean_loss(likelihood))


def test_a_whole_network_along_random_directions() -> None:
    layers: list[Layer] = [Flatten((3, 3, 1)), Dense(9, 8), Relu((8,)), Dense(8, 8), Relu((8,)), Dense(8, 3)]
    size = parameter_count(layers)
    parameters, gradients = zeros((size,)), zeros((size,))
    parameters[:] = initial_parameters(layers, seed=4)
    network = Network(Standardise((3, 3, 1), [100.0], [50.0]), layers, ROWS, parameters, gradients)
    loss, likelihood = CrossEntropy(ROWS, 3), zeros((ROWS,))
    images = np.random.default_rng(7).integers(0, 256, (ROWS, 3, 3, 1)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])

    def value() -> float:
        loss.gradient(network.forward(images), labels, 1.0, likelihood)
        return mean_loss(likelihood)

    network.backward(loss.gradient(network.forward(images), labels, 1.0, likelihood))
    found = gradients.astype(np.float64)
    for seed in range(5):
        direction = _random((size,), seed)
        start, change = parameters.copy(), np.float32(1e-3)
        parameters[:] = start + change * direction
        above = value()
        parameters[:] = start - change * direction
        slope = (above - value()) / (2 * float(change))
        parameters[:] = start
        assert slope == pytest.approx(float(found @ direction), rel=2e-2, abs=2e-3)


def test_standardising_is_per_channel() -> None:
    images = np.random.default_rng(1).integers(0, 256, (ROWS, 2, 2, 3)).astype(np.uint8)
    entrance = Standardise((2, 2, 3), [10.0, 100.0, 200.0], [5.0, 50.0, 500.0])
    entrance.bind(ROWS)
    expected = (images - np.array([10.0, 100.0, 200.0])) / np.array([5.0, 50.0, 500.0])
    np.testing.assert_allclose(entrance.forward(images), expected, rtol=1e-5, atol=1e-5)


def test_momentum_is_that_of_the_textbook() -> None:
    optimiser = Momentum(0.9)
    parameters, velocity = np.ones(3, np.float32), np.zeros(3, np.float32)
    weight, speed = np.ones(3), np.zeros(3)
    for gradient in (np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 0.0])):
        optimiser.apply(parameters, velocity, (0.1 * gradient).astype(np.float32))
        speed = 0.9 * speed + gradient
        weight = weight - 0.1 * speed
    np.testing.assert_allclose(parameters, weight, rtol=1e-6)
