"""From a fitted spec to layers."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from worker.training import blueprint
from worker.training.blueprint import Conv, Norm, Part, Pool, Shape
from worker.training.convolution import Convolution
from worker.training.layers import Dense, Entrance, Flatten, Layer, Relu, Standardise, StandardiseVectors
from worker.training.pooling import MaxPool
from worker.training.regularisation import Dropout
from worker.training.regularisation import Norm as NormLayer

INPUT_DEVIATION = 0.5
"""The standard deviation of an image's pixels as the network sees them: below 1, because the first layer adds up the most of
them, and would set the limit to every layer's learning rate.
"""


def entrance(spec: Mapping[str, Any]) -> Entrance:
    """What makes float32 of the inputs, by the statistics of the training data."""
    if len(spec["input_shape"]) == 1:
        return StandardiseVectors(spec["mean"], spec["deviation"])
    deviation = [value / INPUT_DEVIATION for value in spec["deviation"]]
    dense = isinstance(blueprint.parse(spec["layers"])[0], blueprint.Dense)
    return Standardise(tuple(spec["input_shape"]), spec["mean"], deviation, rows_last=not dense)


def input_type(spec: Mapping[str, Any]) -> type[np.generic]:
    """uint8 of images, float32 of vectors."""
    return np.uint8 if len(spec["input_shape"]) == 3 else np.float32


def layers(spec: Mapping[str, Any]) -> list[Layer]:
    """The layers of a spec that went through `plan.fit_to_data`, from images to logits, not yet bound."""
    parts = blueprint.parse(spec["layers"])
    shapes = blueprint.shapes(parts, spec["input_shape"])
    found: list[Layer] = []
    place = 0
    while place < len(parts):
        made, taken = _layers_of(parts[place:], shapes[place:])
        found += made
        place += taken
    return found


def _layers_of(parts: Sequence[Part], shapes: Sequence[Shape]) -> tuple[list[Layer], int]:
    """The layers of the first part, with those that are computed along with it, and how many parts that were.

    A pool right after a convolution is one layer with it, and ReLU comes after both: the same, on fewer values.
    """
    part, before, after = parts[0], shapes[0], shapes[1]
    if isinstance(part, Norm):
        return [NormLayer(before)], 1
    if isinstance(part, Pool):
        return [MaxPool(before, part.size)], 1
    if isinstance(part, blueprint.Dropout):
        return [Dropout(before, part.rate)], 1
    taken, found = 1, list[Layer]()
    if isinstance(part, Conv):
        following = parts[1] if len(parts) > 1 else None
        pool = following.size if isinstance(following, Pool) else 1
        taken = 2 if pool > 1 else 1
        found.append(Convolution(before, part.filters, part.kernel, part.padding, pool))
    else:
        found += [Flatten(before)] if len(before) == 3 else []
        found.append(Dense(math.prod(before), after[0]))
    if len(parts) > taken and isinstance(parts[taken], Norm):
        found.append(NormLayer(shapes[taken]))
        taken += 1
    if len(parts) > taken:
        found.append(Relu(shapes[taken]))
    return found, taken
