"""From a spec's ``arch`` to layers."""

import math
from collections.abc import Mapping
from typing import Any

from worker.training.layers import Dense, Flatten, Layer, Relu, Standardise


def entrance(spec: Mapping[str, Any]) -> Standardise:
    """What makes float32 of the images, by the statistics of the training data."""
    return Standardise(tuple(spec["input_shape"]), spec["mean"], spec["deviation"])


def layers(spec: Mapping[str, Any]) -> list[Layer]:
    """The layers of a spec that went through `plan.fit_to_data`, from images to logits, not yet bound."""
    shape = tuple(int(size) for size in spec["input_shape"])
    width = math.prod(shape)
    found: list[Layer] = [Flatten(shape)]
    for hidden in spec["hidden"]:
        found += [Dense(width, hidden), Relu((hidden,))]
        width = hidden
    return [*found, Dense(width, int(spec["classes"]))]
