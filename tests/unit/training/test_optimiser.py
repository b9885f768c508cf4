"""Optimisers do what their papers say, written out in double precision."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.training.optimiser import Optimiser, optimiser

Double = NDArray[np.float64]
RATES = (0.1, 0.05, 0.2)
GRADIENTS = (np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.5, 0.0]), np.array([0.1, -4.0, 2.0]))


def _sgd(weight: Double) -> Double:
    speed = np.zeros(3)
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        speed = 0.9 * speed + rate * gradient
        weight = weight - speed
    return weight


def _nesterov(weight: Double) -> Double:
    speed = np.zeros(3)
    for rate, gradient in zip(RATES, GRADIENTS, strict=True):
        speed = 0.9 * speed + rate * gradient
        weight = weight - (0.9 * speed + rate * gradient)
    return weight


def _adam(weight: Double) -> Double:
    mean, square = np.zeros(3), np.zeros(3)
    for step, (rate, gradient) in enumerate(zip(RATES, GRADIENTS, strict=True), 1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weight = weight - rate * (mean / (1 - 0.9**step)) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return weight


@pytest.mark.parametrize(("name", "textbook"), [("sgd", _sgd), ("nesterov", _nesterov), ("adam", _adam)])
def test_an_optimiser_is_that_of_the_textbook(name: str, textbook: Callable[[Double], Double]) -> None:
    parameters, gradient = np.ones(3, np.float32), np.zeros(3, np.float32)
    slots: Sequence[NDArray[np.float32]] = [np.zeros(3, np.float32) for _ in range(1 + (name == "adam"))]
    found: Optimiser = optimiser({"optimiser": name, "momentum": 0.9}, parameters, slots, gradient)
    for step, (rate, slope) in enumerate(zip(RATES, GRADIENTS, strict=True)):
        gradient[:] = found.gradient_scale(rate) * slope
        found.apply(rate, step)
    np.testing.assert_allclose(parameters, textbook(np.ones(3)), rtol=1e-5)
