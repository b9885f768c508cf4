"""The mean of the shards' states as tasks, piece by piece where they are large: each position is averaged by itself."""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from shared.errors import MinkaError
from worker.connections import Done

FLOAT_BYTES = 4
AVERAGE_BYTES = 8 * 1_048_576
"""Of all shards' states in one task."""

Compute = Callable[[str, dict[str, Any], bytes, Done], None]
"""Runs a task: operation, header fields, body."""
Averaged = Callable[[bytes, str], None]
"""Hears the mean and its SHA-256."""


def average(
    compute: Compute, states: Sequence[bytes], done: Averaged, holds: Callable[[object], bool]
) -> None:
    """Add up `states` in this order; `holds` is asked of each answer whether to go on."""
    length = max(AVERAGE_BYTES // len(states) // FLOAT_BYTES, 1) * FLOAT_BYTES
    starts = range(0, len(states[0]), length)
    pieces: dict[int, bytes] = {}

    def averaged(start: int, answer: dict[str, Any] | MinkaError, piece: bytes) -> None:
        if not holds(answer):
            return
        pieces[start] = piece
        if len(pieces) == len(starts):
            mean = b"".join(pieces[start] for start in starts)
            done(mean, hashlib.sha256(mean).hexdigest())

    for start in starts:
        parts = [state[start : start + length] for state in states]
        compute(
            "average", {"sizes": [len(part) for part in parts]}, b"".join(parts), partial(averaged, start)
        )
