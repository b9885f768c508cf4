"""Images of an IDX file, drawn with letters on a terminal."""

import gzip
import struct
from collections.abc import Sequence
from pathlib import Path

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
INK = 96  # of 255: from here on a pixel is drawn
BRAILLE = 0x2800
# The bit of each dot in a braille sign, by row and column.
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
SHADES = " .:-=+*#%@"
CELL_HEIGHT, CELL_WIDTH = 4, 2  # pixels in one letter

Image = list[bytes]
"""One grey image: rows of one byte a pixel."""


def read_images(path: Path, limit: int) -> list[Image]:
    """The first `limit` images of a gzipped IDX file. Raises `ValueError` when it is none."""
    data = gzip.decompress(path.read_bytes())
    magic, count, height, width = struct.unpack_from(">4I", data)
    if magic != IMAGES_MAGIC or len(data) != 16 + count * height * width:
        raise ValueError(f"{path} is no IDX file of images.")
    starts = range(16, 16 + min(limit, count) * height * width, height * width)
    return [[data[at + row * width : at + (row + 1) * width] for row in range(height)] for at in starts]


def read_labels(path: Path, limit: int) -> list[str]:
    """The first `limit` labels of a gzipped IDX file. Raises `ValueError` when it is none."""
    data = gzip.decompress(path.read_bytes())
    magic, count = struct.unpack_from(">2I", data)
    if magic != LABELS_MAGIC or len(data) != 8 + count:
        raise ValueError(f"{path} is no IDX file of labels.")
    return [str(label) for label in data[8 : 8 + limit]]


def draw(image: Image, unicode: bool) -> list[str]:
    """Lines of text that show `image`, one letter for 4 x 2 pixels: braille dots, or shades where there is only ASCII."""
    letter = _braille if unicode else _shade
    return [
        "".join(
            letter([row[left : left + CELL_WIDTH] for row in image[top : top + CELL_HEIGHT]])
            for left in range(0, len(image[0]), CELL_WIDTH)
        )
        for top in range(0, len(image), CELL_HEIGHT)
    ]


def side_by_side(blocks: Sequence[Sequence[str]], gap: str) -> list[str]:
    """Blocks of equal height and constant width, next to each other."""
    return [gap.join(rows) for rows in zip(*blocks, strict=True)]


def _braille(cell: Sequence[bytes]) -> str:
    return chr(
        BRAILLE
        + sum(
            dot
            for pixels, dots in zip(cell, DOTS, strict=False)
            for pixel, dot in zip(pixels, dots, strict=False)
            if pixel >= INK
        )
    )


def _shade(cell: Sequence[bytes]) -> str:
    pixels = b"".join(cell)
    return SHADES[sum(pixels) * len(SHADES) // (256 * len(pixels))]
