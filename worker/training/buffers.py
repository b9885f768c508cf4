"""Arrays that are allocated once and written over, on cache-line boundaries.

The boundary is fixed because where an array happens to lie must not change speed, nor the order of a vectorised sum.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

ALIGNMENT_BYTES = 64

Array = NDArray[np.float32]


def zeros(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """A zeroed C-ordered array of `shape` whose first element lies on a cache-line boundary."""
    size_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.zeros(size_bytes + ALIGNMENT_BYTES, np.uint8)
    offset = -memory.ctypes.data % ALIGNMENT_BYTES
    return memory[offset : offset + size_bytes].view(dtype).reshape(shape)
