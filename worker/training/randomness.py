"""Random streams, each keyed by what it is for, so that no task depends on what ran before it.

NumPy promises the bits of its bit generators and of `SeedSequence` from one version to the next, not those of
`Generator`'s distributions: everything here is made from the raw 64-bit outputs with exact arithmetic.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from worker.training.buffers import Array


class Purpose(IntEnum):
    """What a stream is for; two streams of different purpose are independent."""

    WEIGHTS = 1
    PERMUTATION = 2
    LAYER = 3
    AUGMENTATION = 4


def stream(seed: int, purpose: Purpose, *indices: int) -> np.random.PCG64:
    """The stream of `purpose` under `seed`; `indices` (a layer, an epoch, a shard) tell apart streams of one purpose."""
    return np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(int(purpose), *indices)))


def permutation(seed: int, epoch: int, examples: int) -> NDArray[np.intp]:
    """The order in which `epoch` visits the examples: intp[examples], every index from 0 once."""
    keys = stream(seed, Purpose.PERMUTATION, epoch).random_raw(examples)
    return np.argsort(keys, kind="stable")


def uniform(source: np.random.PCG64, shape: tuple[int, ...], limit: float) -> Array:
    """float32[shape] spread evenly over [-limit, limit), on multiples of limit x 2**-23."""
    raw = source.random_raw(int(np.prod(shape))).reshape(shape) >> np.uint64(40)
    centred = raw.astype(np.float32) - np.float32(2**23)
    return centred * (np.float32(limit) * np.float32(2**-23))
