"""From a spec's ``arch`` to layers."""

import math
from collections.abc import Mapping
from typing import Any

from worker.training.layers import Dense, Flatten, Layer, Relu, Standardise

INPUT_DEVIATION = 0.5
"""The standard deviation of a network's inputs: below 1, because the first layer adds up the most of them, and would
set the limit to every layer's learning rate.
"""


def entrance(spec: Mapping[str, Any]) -> Standardise:
    """What makes float32 of the images, by the statistics of the training data."""
    deviation = [value / INPUT_DEVIATION for value in spec["deviation"]]
    return Standardise(tuple(spec["input_shape"]), spec["mean"], deviation)


def layers(spec: Mapping[str, Any]) -> list[Layer]:
    """The layers of a spec that went through `plan.fit_to_data`, from images to logits, not yet bound."""
    shape = tuple(int(size) for size in spec["input_shape"])
    width = math.prod(shape)
    found: list[Layer] = [Flatten(shape)]
    for hidden in spec["hidden"]:
        found += [Dense(width, hidden), Relu((hidden,))]
        width = hidden
    return [*found, Dense(width, int(spec["classes"]))]
