"""An architecture as text, its shapes and its parameters: what the node must know of a network without NumPy.

    conv 8 5x5, pool 2, conv 16 5x5, pool 2, dense 10

| part | means |
|---|---|
| conv F HxW [same] | F filters of H x W pixels; "same" puts zeros around the images, so that their size stays |
| pool P | the largest of each P x P square |
| dense [U] | U units, all connected to all inputs; the last part is dense, its units are the outputs and need not be given |
| norm | layer normalisation |
| dropout R | in training, each value is left out with probability R |

A ReLU follows each conv and dense but the last, after its norm or pool where one comes next.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.errors import Refused

MAX_PARTS = 64
MAX_UNITS = 8_192
MAX_SIZE = 64
MAX_TEXT = 2_000
WORKING_BYTES = 2 * 1024**3
"""The most memory that a trainer process may need for one network; more is refused rather than tried."""

Shape = tuple[int, ...]
"""Of one row: [height, channels, width] of images, [units] of vectors."""

PRESETS: Mapping[str, str] = {
    "mlp": "dense 128, dense",
    "cnn": "conv 8 5x5, pool 2, conv 32 5x5, pool 2, dense",
}


@dataclass(frozen=True, slots=True)
class Conv:
    filters: int
    kernel: tuple[int, int]
    same: bool

    def __str__(self) -> str:
        return f"conv {self.filters} {self.kernel[0]}x{self.kernel[1]}{' same' if self.same else ''}"

    @property
    def padding(self) -> tuple[int, int]:
        """Zeros above and left of the images, and as many below and right."""
        return (self.kernel[0] // 2, self.kernel[1] // 2) if self.same else (0, 0)


@dataclass(frozen=True, slots=True)
class Pool:
    size: int

    def __str__(self) -> str:
        return f"pool {self.size}"


@dataclass(frozen=True, slots=True)
class Dense:
    units: int | None

    def __str__(self) -> str:
        return "dense" if self.units is None else f"dense {self.units}"


@dataclass(frozen=True, slots=True)
class Norm:
    def __str__(self) -> str:
        return "norm"


@dataclass(frozen=True, slots=True)
class Dropout:
    rate: float

    def __str__(self) -> str:
        return f"dropout {self.rate:g}"


Part = Conv | Pool | Dense | Norm | Dropout


def parse(text: str) -> tuple[Part, ...]:
    """The parts of an architecture; ``", ".join(map(str, parts))`` is its canonical text.

    Raises Refused for what is not written as above.
    """
    words = [part.split() for part in text.lower().split(",")] if len(text) <= MAX_TEXT else []
    if not 1 <= len(words) <= MAX_PARTS:
        raise Refused(
            f"an architecture has 1 to {MAX_PARTS} parts.", 'Write it as "conv 8 5x5, pool 2, dense".'
        )
    parts = tuple(_part(found) for found in words)
    if not isinstance(parts[-1], Dense):
        raise Refused(f"the architecture ends with {str(parts[-1])!r}.", 'Let its last part be "dense".')
    for part in parts[:-1]:
        if part == Dense(None):
            raise Refused('only the last "dense" may be without a number.', 'Write "dense 64", for 64 units.')
    return parts


def written(parts: Sequence[Part]) -> str:
    """The canonical text."""
    return ", ".join(map(str, parts))


def with_outputs(parts: Sequence[Part], outputs: int) -> tuple[Part, ...]:
    """The same with so many units at the end. Raises Refused if another number was written there."""
    last = parts[-1]
    if last not in (Dense(None), Dense(outputs)):
        raise Refused(
            f"the architecture ends with {str(last)!r}, but the data set has {outputs} different outputs.",
            'Let it end with "dense": the number follows from the data.',
        )
    return (*parts[:-1], Dense(outputs))


def _part(words: Sequence[str]) -> Part:
    match words:
        case ["conv", filters, kernel] | ["conv", filters, kernel, "same"]:
            sizes = re.fullmatch(r"([0-9]{1,3})x([0-9]{1,3})", kernel)
            if sizes is not None:
                tall, wide = (_number(size, MAX_SIZE, words) for size in sizes.groups())
                same = len(words) == 4
                if same and (tall % 2 == 0 or wide % 2 == 0):
                    raise Refused(f"{' '.join(words)!r}: an even kernel has no middle.", "Give an odd size.")
                return Conv(_number(filters, MAX_UNITS, words), (tall, wide), same)
        case ["pool", size]:
            return Pool(_number(size, MAX_SIZE, words, least=2))
        case ["dense"]:
            return Dense(None)
        case ["dense", units]:
            return Dense(_number(units, MAX_UNITS, words))
        case ["norm"]:
            return Norm()
        case ["dropout", rate] if re.fullmatch(r"0?\.[0-9]{1,6}", rate) and 1 / 256 <= float(rate) <= 0.95:
            return Dropout(float(rate))
    raise Refused(
        f"{' '.join(words)[:100]!r} is no part of an architecture.",
        'Parts are "conv 8 5x5", "pool 2", "dense 64", "norm" and "dropout 0.5", with commas between them.',
    )


def _number(text: str, most: int, words: Sequence[str], least: int = 1) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not least <= int(text) <= most:
        raise Refused(
            f"{text[:20]!r} in {' '.join(words)[:100]!r} is out of range.",
            f"Give a whole number from {least} to {most}.",
        )
    return int(text)


def shapes(parts: Sequence[Part], input_shape: Sequence[int]) -> tuple[Shape, ...]:
    """The shape before each part and after the last. `input_shape` is [height, width, channels], or [columns].

    Raises Refused for parts that do not fit the inputs.
    """
    found: list[Shape] = [tuple(input_shape)]
    if len(input_shape) == 3:
        height, width, channels = input_shape
        found = [(height, channels, width)]
    for part in parts:
        found.append(_after(part, found[-1]))
    return tuple(found)


def _after(part: Part, shape: Shape) -> Shape:
    if isinstance(part, Dense):
        assert part.units is not None
        return (part.units,)
    if isinstance(part, Norm | Dropout):
        return shape
    if len(shape) != 3:
        raise Refused(
            f"{str(part)!r} stands where there are no images.",
            "Give images, and put conv and pool before dense.",
        )
    height, channels, width = shape
    if isinstance(part, Pool):
        after = (height // part.size, channels, width // part.size)
    else:
        (above, left), (tall, wide) = part.padding, part.kernel
        after = (height + 2 * above - tall + 1, part.filters, width + 2 * left - wide + 1)
    if min(after) < 1:
        raise Refused(
            f"{str(part)!r} is too large: the images are {height} x {width} pixels where it stands.",
            "Leave out a part, make it smaller, or give larger images.",
        )
    return after


def parameters(parts: Sequence[Part], input_shape: Sequence[int]) -> list[tuple[str, Shape]]:
    """Name and shape of each array of parameters, in the order in which they lie in a state."""
    found: list[tuple[str, Shape]] = []
    for number, (part, before) in enumerate(zip(parts, shapes(parts, input_shape), strict=False), 1):
        if isinstance(part, Dense):
            assert part.units is not None
            found += [
                (f"{number}.dense.weight", (math.prod(before), part.units)),
                (f"{number}.dense.bias", (part.units,)),
            ]
        elif isinstance(part, Conv):
            found += [
                (f"{number}.conv.weight", (part.filters, before[1], *part.kernel)),
                (f"{number}.conv.bias", (part.filters,)),
            ]
        elif isinstance(part, Norm):
            channels = before[1] if len(before) == 3 else before[0]
            found += [(f"{number}.norm.scale", (channels,)), (f"{number}.norm.shift", (channels,))]
    return found


def products(parts: Sequence[Part], input_shape: Sequence[int]) -> int:
    """Multiplications that one row takes, forward; at least 1."""
    count = 1
    for part, (before, after) in zip(parts, _pairs(shapes(parts, input_shape)), strict=True):
        if isinstance(part, Dense):
            count += math.prod(before) * math.prod(after)
        elif isinstance(part, Conv):
            count += math.prod(after) * math.prod(part.kernel) * before[1]
    return count


def working_bytes(parts: Sequence[Part], input_shape: Sequence[int], rows: int) -> int:
    """About how much memory a trainer needs for micro-batches of `rows` rows: what each part keeps until the way back."""
    floats = 0
    for part, (before, after) in zip(parts, _pairs(shapes(parts, input_shape)), strict=True):
        floats += 4 * math.prod(before) + 4 * math.prod(after)
        if isinstance(part, Conv):  # at most every pixel's own patch, there and back
            floats += 2 * math.prod(part.kernel) * before[1] * after[0] * after[2]
    return 4 * rows * floats


def _pairs(found: Sequence[Shape]) -> list[tuple[Shape, Shape]]:
    return list(pairwise(found))
