"""Flips one bit on the disk of a worker, as a disk that ages does."""

import random
from pathlib import Path

from shared.errors import Refused

HEAD_BYTES = 64
"""Of a file of the log: its own header is left alone, for a worker that starts does not repair it but lays it aside."""


def flip_bit(worker: Path, rng: random.Random) -> str:
    """Flip a bit in a blob of this worker's folder, or in its log if it has no blobs; says where.

    Raises `Refused` when nothing is there to damage.
    """
    blobs = [path for path in (worker / "blobs").glob("??/*") if len(path.name) == 64 and path.stat().st_size]
    if blobs:
        path = rng.choice(blobs)
        return f"{path.name[:12]}, byte {_flip(path, 0, path.stat().st_size, rng):,}"
    for path in sorted((worker / "log").glob("*")):
        written = len(path.read_bytes().rstrip(b"\0"))
        if written > 2 * HEAD_BYTES:
            return f"{path.name}, byte {_flip(path, HEAD_BYTES, written, rng):,}"
    raise Refused("This worker holds nothing yet.", "Put a file first.")


def _flip(path: Path, first: int, end: int, rng: random.Random) -> int:
    place = rng.randrange(first, end)
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << rng.randrange(8))]))
    return place
