"""Images moved, turned and drawn thicker at random, so that a network sees more than there is.

An image is turned by one of `ANGLES` angles within +-rotation degrees and moved by whole pixels within +-shift, both drawn
evenly. Each pixel of the result lies between four of the image, which are weighed in 256ths; what would come from outside
comes from the nearest edge. A thicker image has the lightest of each pixel and its eight neighbours there, and is then made
smaller, so that a sign of the size that `shared.images` gives it keeps that size. All in whole numbers, and the sine by the
four operations, so that every system makes the same bits.
"""

import numpy as np
from numpy.typing import NDArray

from shared.images import Pixels, box_side
from worker.training.buffers import zeros

ANGLES = 63
THICKNESS_STEPS = 1_024
THICKER = 2
"""Pixels by which a thicker sign is wider before it is made smaller."""
PI = 3.141592653589793


class Augmentation:
    """Bound to uint8 images [rows, height, width, channels]."""

    def __init__(
        self, rows: int, shape: tuple[int, int, int], shift: int, rotation: float, thickness: float = 0.0
    ) -> None:
        """`thickness`: the part of the images that becomes thicker."""
        height, width, channels = shape
        self._shift, self._thickness = shift, thickness
        scales = (1.0, 1 + THICKER / box_side(shape)) if thickness else (1.0,)
        self._border = shift + _reach(height, width, rotation, scales[-1]) + 1
        self._size = (height, width)
        self._padded = zeros((rows, height + 2 * self._border, width + 2 * self._border, channels), np.uint8)
        self._flat = self._padded.reshape(-1, channels)
        self._row_starts = (np.arange(rows) * (len(self._flat) // rows)).reshape(-1, 1)
        tables = [self._tables(rotation, scale) for scale in scales]
        self._places = np.concatenate([places for places, _ in tables])
        self._weights = np.concatenate([weights for _, weights in tables])
        self._angles = len(tables[0][0])
        self._line = width + 2 * self._border

    def apply(self, images: Pixels, source: np.random.PCG64) -> None:
        """Each of the images, in place, by its own draw."""
        rows, border, (height, width) = len(images), self._border, self._size
        angles, down, right = self._drawn(source, rows)
        if self._thickness:
            thicker = source.random_raw(rows) % np.uint64(THICKNESS_STEPS) < self._thickness * THICKNESS_STEPS
            images[thicker] = thickened(images[thicker])
            angles[thicker] += self._angles  # the table of those that are made smaller
        padded = self._padded
        padded[:, border : border + height, border : border + width] = images
        padded[:, :border] = padded[:, border : border + 1]
        padded[:, border + height :] = padded[:, border + height - 1 : border + height]
        padded[:, :, :border] = padded[:, :, border : border + 1]
        padded[:, :, border + width :] = padded[:, :, border + width - 1 : border + width]
        places = self._places.take(angles, axis=0)
        places += self._row_starts + (down * self._line + right).reshape(-1, 1)
        if len(self._weights) == 1:
            images[:] = self._flat.take(places, axis=0).reshape(images.shape)
            return
        total = np.full((*places.shape, images.shape[3]), 128, np.uint16)
        for corner, step in enumerate((0, 1, self._line, self._line + 1)):
            weights = self._weights[:, corner].take(angles, axis=0)[..., np.newaxis]
            total += self._flat.take(places + step, axis=0) * weights
        images[:] = (total >> 8).reshape(images.shape)

    def _drawn(self, source: np.random.PCG64, rows: int) -> list[NDArray[np.intp]]:
        """Angle numbers, steps down and steps right: intp[rows] each; a 64-bit draw makes even a large range even."""
        limits = (
            (0, self._angles),
            (-self._shift, 2 * self._shift + 1),
            (-self._shift, 2 * self._shift + 1),
        )
        return [
            (source.random_raw(rows) % np.uint64(count)).astype(np.intp) + least for least, count in limits
        ]

    def _tables(self, rotation: float, scale: float) -> tuple[NDArray[np.intp], NDArray[np.uint16]]:
        """Of each pixel at each angle, the first of its four, and their weights: [angles, pixels], [angles, 4, pixels]."""
        height, width = self._size
        rows, columns = (axis.reshape(-1) for axis in np.indices(self._size))
        y, x = scale * (rows - (height - 1) / 2), scale * (columns - (width - 1) / 2)
        places, weights = [], []
        for number in range(ANGLES if rotation else 1):
            sine, cosine = _sine_cosine(
                rotation * PI / 180 * (2 * number / (ANGLES - 1) - 1) if rotation else 0.0
            )
            source_y = cosine * y - sine * x + (height - 1) / 2 + self._border
            source_x = sine * y + cosine * x + (width - 1) / 2 + self._border
            top, left = np.floor(source_y), np.floor(source_x)
            below = np.rint((source_y - top) * 16).astype(np.uint16)
            beside = np.rint((source_x - left) * 16).astype(np.uint16)
            places.append((top * (width + 2 * self._border) + left).astype(np.intp))
            weights.append(
                [
                    (16 - below) * (16 - beside),
                    (16 - below) * beside,
                    below * (16 - beside),
                    below * beside,
                ]
            )
        return np.array(places), np.array(weights, np.uint16)


def thickened(images: Pixels) -> Pixels:
    """[rows, height, width, channels]: the lightest of each pixel and its eight neighbours."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    wide = np.maximum(np.maximum(padded[:, :, :-2], padded[:, :, 1:-1]), padded[:, :, 2:])
    return np.maximum(np.maximum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])


def _reach(height: int, width: int, rotation: float, scale: float) -> int:
    """How far outside a turned and smaller image's pixels may come from."""
    sine, _ = _sine_cosine(rotation * PI / 180)
    turned = int(scale * sine * max(height, width) / 2) + 1 if rotation else 0
    return turned + int((scale - 1) * max(height, width) / 2) + (scale > 1)


def _sine_cosine(angle: float) -> tuple[float, float]:
    """Taylor's series, exact to a double's last places up to 45 degrees."""
    sine = cosine = 0.0
    term = 1.0
    for power in range(24):
        sign = -1.0 if power % 4 > 1 else 1.0
        if power % 2:
            sine += sign * term
        else:
            cosine += sign * term
        term *= angle / (power + 1)
    return sine, cosine
