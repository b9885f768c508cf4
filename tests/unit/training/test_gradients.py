"""Every gradient agrees with what small changes of its input do to the loss."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.training import architectures, plan
from worker.training.buffers import Array, zeros
from worker.training.convolution import Convolution
from worker.training.layers import Dense, Flatten, Layer, Relu, Standardise
from worker.training.loss import CrossEntropy, mean_loss
from worker.training.network import Network, initial_parameters, parameter_count
from worker.training.pooling import MaxPool
from worker.training.randomness import Purpose, stream
from worker.training.regularisation import Dropout, Norm

ROWS = 6
CHANGE = 1e-2

LAYERS: dict[str, tuple[tuple[int, ...], Callable[[], Layer]]] = {
    "dense": ((20,), lambda: Dense(20, 7)),
    "relu": ((4, 2, 5), lambda: Relu((4, 2, 5))),
    "flatten": ((4, 1, 5), lambda: Flatten((4, 1, 5))),
    "norm of images": ((4, 3, 5), lambda: Norm((4, 3, 5))),
    "norm of vectors": ((9,), lambda: Norm((9,))),
    "max pool": ((6, 2, 4), lambda: MaxPool((6, 2, 4), 2)),
    "max pool with a rest": ((7, 2, 8), lambda: MaxPool((7, 2, 8), 3)),
    "convolution": ((6, 2, 7), lambda: Convolution((6, 2, 7), 3, (3, 2), (0, 0), 1)),
    "convolution, odd output": ((5, 2, 5), lambda: Convolution((5, 2, 5), 3, (3, 3), (0, 0), 1)),
    "convolution with a border": ((4, 2, 5), lambda: Convolution((4, 2, 5), 3, (3, 5), (1, 2), 1)),
}


def _random(shape: tuple[int, ...], seed: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def _spread(shape: tuple[int, ...], seed: int) -> Array:
    """Values so far from each other and from 0 that no small change turns a maximum or a ReLU."""
    size = int(np.prod(shape))
    values = (np.arange(size) - size // 2 + 0.5) * 5 * CHANGE
    return np.random.default_rng(seed).permutation(values).astype(np.float32).reshape(shape)


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


def _bound(layer: Layer, first: bool = False) -> tuple[list[Array], list[Array]]:
    parameters = [_random(shape, number) for number, shape in enumerate(layer.parameter_shapes)]
    gradients = [np.zeros(shape, np.float32) for shape in layer.parameter_shapes]
    layer.bind(ROWS, parameters, gradients, first)
    return parameters, gradients


def _loss_of(layer: Layer, x: Array, weights: Array) -> float:
    return float((layer.forward(x.copy()).astype(np.float64) * weights).sum())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str) -> None:
    shape, make = LAYERS[name]
    layer = make()
    parameters, gradients = _bound(layer)
    x = _spread((*shape, ROWS), 5)
    weights = _random((*layer.output_shape, ROWS), 6)
    _loss_of(layer, x, weights)
    by_input = layer.backward(weights.copy()).copy()
    _agree(by_input, _numeric(lambda: _loss_of(layer, x, weights), x))
    for parameter, gradient in zip(parameters, gradients, strict=True):
        kept = gradient.copy()
        _agree(kept, _numeric(lambda: _loss_of(layer, x, weights), parameter))


def _agree(found: Array, numeric: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found, numeric, rtol=2e-2, atol=2e-3 * max(1.0, float(np.abs(numeric).max())))


@pytest.mark.parametrize("make", [lambda: Dense(5, 3), lambda: Convolution((4, 1, 4), 2, (3, 3), (0, 0), 2)])
def test_the_first_layer_leaves_out_the_gradient_nobody_needs_and_keeps_the_others(
    make: Callable[[], Layer],
) -> None:
    results = []
    for first in (False, True):
        layer = make()
        _, gradients = _bound(layer, first)
        layer.forward(_random(((5,) if isinstance(layer, Dense) else (4, 1, 4)) + (ROWS,), 3))
        layer.backward(_random((*layer.output_shape, ROWS), 4))
        results.append(gradients)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("filters", "pool"), [(3, 1), (3, 2), (20, 1), (20, 2), (40, 2), (70, 1), (70, 2), (3, 3)]
)
@pytest.mark.parametrize("padding", [(0, 0), (1, 2)])
def test_a_convolution_is_that_of_the_textbook(filters: int, pool: int, padding: tuple[int, int]) -> None:
    layer = Convolution((8, 2, 9), filters, (3, 5), padding, pool)
    (weight, bias), _ = _bound(layer)
    x = _random((8, 2, 9, ROWS), 3)
    bordered = np.pad(x, [(padding[0],) * 2, (0, 0), (padding[1],) * 2, (0, 0)]).astype(np.float64)
    tall, wide = bordered.shape[0] - 2, bordered.shape[2] - 4
    plain = np.zeros((tall, filters, wide, ROWS))
    for row in range(3):
        for column in range(5):
            window = bordered[row : row + tall, :, column : column + wide]
            plain += np.einsum("fc,hcwn->hfwn", weight[:, :, row, column], window)
    plain += bias.reshape(-1, 1, 1)
    height, width = tall // pool, wide // pool
    squares = plain[: height * pool, :, : width * pool].reshape(height, pool, filters, width, pool, ROWS)
    np.testing.assert_allclose(layer.forward(x), squares.max(axis=(1, 4)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("filters", [3, 20, 40, 70])
@pytest.mark.parametrize(("pool", "padding"), [(2, (0, 0)), (2, (1, 2)), (3, (1, 0))])
def test_pooling_with_a_convolution_is_pooling_after_it(
    filters: int, pool: int, padding: tuple[int, int]
) -> None:
    """Whose gradients are each checked above; a change of one weight would turn maxima here, and tell nothing."""
    both = Convolution((9, 2, 10), filters, (3, 5), padding, pool)
    plain = Convolution((9, 2, 10), filters, (3, 5), padding, 1)
    pooling = MaxPool(plain.output_shape, pool)
    _, gradients = _bound(both)
    _, plain_gradients = _bound(plain)
    pooling.bind(ROWS, [], [], False)
    x, slope = _random((9, 2, 10, ROWS), 3), _random((*both.output_shape, ROWS), 4)
    np.testing.assert_allclose(both.forward(x), pooling.forward(plain.forward(x)), rtol=1e-4, atol=1e-4)
    by_input = both.backward(slope.copy())
    np.testing.assert_allclose(by_input, plain.backward(pooling.backward(slope.copy())), rtol=1e-3, atol=1e-3)
    for one, other in zip(gradients, plain_gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


def test_equal_values_of_a_pool_do_not_share_the_gradient() -> None:
    layer = MaxPool((4, 1, 4), 2)
    layer.bind(ROWS, [], [], False)
    layer.forward(zeros((4, 1, 4, ROWS)))
    gradient = layer.backward(np.ones((2, 1, 2, ROWS), np.float32))
    assert gradient.sum() == 4 * ROWS
    assert (gradient[::2, :, ::2] == 1).all()


def test_a_norm_gives_each_row_mean_0_and_variance_1_whatever_the_others_are() -> None:
    layer = Norm((5, 3, 4))
    layer.bind(ROWS, layer.initial(stream(0, Purpose.WEIGHTS)), [], False)
    x = _random((5, 3, 4, ROWS), 1) * 7 + 3
    result = layer.forward(x.copy()).copy()
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), np.zeros(ROWS), atol=1e-5)
    np.testing.assert_allclose(result.var(axis=(0, 1, 2)), np.ones(ROWS), rtol=1e-3)
    x[..., 1:] = 0
    np.testing.assert_allclose(layer.forward(x)[..., 0], result[..., 0], rtol=1e-5)


def test_dropout_leaves_out_by_its_stream_keeps_the_mean_and_does_nothing_in_prediction() -> None:
    layer = Dropout((100, 5, 4), 0.25)
    layer.bind(ROWS, [], [], False)
    ones = np.ones((100, 5, 4, ROWS), np.float32)
    np.testing.assert_array_equal(layer.forward(ones.copy()), ones)
    layer.begin(stream(1, Purpose.LAYER, 2))
    dropped = layer.forward(ones.copy())
    np.testing.assert_array_equal(layer.backward(ones.copy()), dropped)
    assert set(np.unique(dropped)) == {np.float32(0), np.float32(4 / 3)}
    assert dropped.mean() == pytest.approx(1, abs=0.03)
    assert (layer.forward(ones.copy()) != dropped).any()
    layer.begin(stream(1, Purpose.LAYER, 2))
    np.testing.assert_array_equal(layer.forward(ones.copy()), dropped)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_softmax_cross_entropy(smoothing: float) -> None:
    loss = CrossEntropy(5, ROWS, smoothing)
    logits, labels = _random((5, ROWS), 1), np.array([0, 1, 2, 3, 4, 0])
    likelihood = zeros((ROWS,))

    def value() -> float:
        loss.gradient(logits.copy(), labels, 1.0, likelihood)
        exact = logits.astype(np.float64)
        log = exact - np.log(np.exp(exact).sum(axis=0))
        assert mean_loss(likelihood) == pytest.approx(-log[labels, range(ROWS)].mean(), rel=1e-5)
        return float(-(log[labels, range(ROWS)] * (1 - smoothing) + log.mean(axis=0) * smoothing).mean())

    gradient = loss.gradient(logits.copy(), labels, 1.0, likelihood)
    np.testing.assert_allclose(gradient, _numeric(value, logits), rtol=2e-2, atol=2e-4)
    scaled = loss.gradient(logits.copy(), labels, 3.0, likelihood)
    np.testing.assert_allclose(scaled, 3 * gradient, rtol=1e-5)


def test_softmax_stands_large_logits_and_shows_what_is_not_a_number() -> None:
    loss, likelihood = CrossEntropy(2, 2, 0.0), zeros((2,))
    loss.gradient(np.array([[1e30, 0], [-1e30, 0]], np.float32), np.array([1, 0]), 1.0, likelihood)
    assert np.isfinite(mean_loss(likelihood))
    with np.errstate(invalid="ignore"):
        loss.gradient(np.array([[np.inf, 0], [0, 0]], np.float32), np.array([0, 0]), 1.0, likelihood)
    assert np.isnan(mean_loss(likelihood))


@pytest.mark.parametrize(
    ("arch", "seed"),
    [
        ("dense 8, dense 8, dense", 4),
        ("conv 4 3x3, pool 2, conv 5 2x2, dense", 4),
        ("conv 4 3x3 same, norm, pool 2, dense 8, norm, dense", 5),
        ("pool 2, conv 4 2x2, pool 2, norm, dense", 4),
    ],
)
def test_a_whole_network_along_random_directions(arch: str, seed: int) -> None:
    """By `seed` no maximum is about to turn."""
    facts: dict[str, Any] = {
        "loss": "cross-entropy",
        "examples": 100,
        "input_shape": [8, 9, 2],
        "labels": ["a", "b", "c"],
        "normalise": "plain",
        "mean": [100.0, 120.0],
        "deviation": [50.0, 60.0],
    }
    spec = plan.fit_to_data(plan.resolve({"arch": arch, "batch": ROWS, "shards": 1}, cores=1), facts)
    layers = architectures.layers(spec)
    size = parameter_count(layers)
    assert size == plan.parameter_count(spec)
    parameters, gradients = zeros((size,)), zeros((size,))
    parameters[:] = initial_parameters(layers, seed)
    network = Network(architectures.entrance(spec), layers, ROWS, parameters, gradients)
    loss, likelihood = CrossEntropy(3, ROWS, 0.0), zeros((ROWS,))
    images = np.random.default_rng(7).integers(0, 256, (ROWS, 8, 9, 2)).astype(np.uint8)
    labels = np.array([0, 1, 2, 0, 1, 2])

    def value() -> float:
        loss.gradient(network.forward(images), labels, 1.0, likelihood)
        return mean_loss(likelihood)

    network.backward(loss.gradient(network.forward(images), labels, 1.0, likelihood))
    found = gradients.astype(np.float64)
    for number in range(5):
        direction = _random((size,), number)
        start, change = parameters.copy(), np.float32(1e-4)
        parameters[:] = start + change * direction
        above = value()
        parameters[:] = start - change * direction
        slope = (above - value()) / (2 * float(change))
        parameters[:] = start
        assert slope == pytest.approx(float(found @ direction), rel=3e-2, abs=5e-3)


@pytest.mark.parametrize("rows_last", [True, False])
def test_standardising_is_per_channel_and_brings_the_rows_last(rows_last: bool) -> None:
    images = np.random.default_rng(1).integers(0, 256, (ROWS, 2, 4, 3)).astype(np.uint8)
    entrance = Standardise((2, 4, 3), [10.0, 100.0, 200.0], [5.0, 50.0, 500.0], rows_last)
    entrance.bind(ROWS)
    expected = (images - np.array([10.0, 100.0, 200.0])) / np.array([5.0, 50.0, 500.0])
    found = entrance.forward(images)
    np.testing.assert_allclose(found, expected.transpose(1, 3, 2, 0), rtol=1e-5, atol=1e-5)
    assert np.shares_memory(Flatten((2, 3, 4)).forward(found), found)
