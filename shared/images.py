"""From image bytes to what a model takes: once, for training and for prediction alike.

Two ways to normalise, chosen by a model's spec:

* ``plain``, for photographs: grey or colour as the model wants it, scaled to cover the model's size, cut in
the middle. * ``ink``, for drawn signs, as MNIST was made: paper becomes 0 and ink 255 whichever was the
darker; the ink's box is
  scaled so that its longer side is 20/28 of the model's, and its centre of mass is put in the middle.

An image that already is so normalised is left as it is, bit for bit.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from shared.errors import Refused

Pixels = NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
MAX_PIXELS = 25_000_000
"""The most pixels of one image; told from the header, before memory is taken."""
MAX_SIDE = 1_024
"""The most rows or columns of what a model takes."""
LARGEST_NATURAL_SIDE = 64
"""Images that are all alike and no larger than this are taken at their own size."""
INK_SHAPE = (28, 28, 1)
PHOTO_SIDE = 32
LINE_BY_LINE = 64
CHECKED_AT_ONCE = 256
"""Images whose float64 copies stay in the processor's cache."""
NOISE = 0.15
"""Ink fainter than this part of the darkest counts as paper, when an image has to be normalised."""


@dataclass(frozen=True, slots=True)
class InputForm:
    """What a model takes: ``shape`` is (height, width, channels), ``normalise`` "ink" or "plain"."""

    shape: tuple[int, int, int]
    normalise: str


def decode(data: bytes) -> Pixels:
    """The bytes of an image file -> uint8 [height, width, 1 or 3], upright; transparency becomes paper.

    Raises Refused for an unknown format, a damaged file or more than `MAX_PIXELS` pixels.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise Refused(
                    f"the image has {width} x {height} pixels, the most is {MAX_PIXELS:,}.",
                    "Make it smaller.",
                )
            image.verify()
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _pixels(ImageOps.exif_transpose(image))
    except Refused:
        raise
    except Exception as error:  # the decoders raise nearly anything on damaged bytes
        raise Refused(
            f"not a readable image ({type(error).__name__}).", f"Give one of: {', '.join(FORMATS)}."
        ) from error


def _pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        deep = np.asarray(image)
        shallow: Pixels = np.clip(deep.astype(np.float64) / 256, 0, 255).astype(np.uint8)
        return shallow[..., np.newaxis]
    if image.has_transparency_data:
        image = _on_paper(image.convert("RGBA"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., np.newaxis]
    return np.asarray(image.convert("RGB"))


def _on_paper(image: Image.Image) -> Image.Image:
    """Transparent pixels become white, or black where what is drawn is light."""
    pixels = np.asarray(image)
    drawn = pixels[..., 3] > 127
    light = bool(drawn.any()) and float(pixels[drawn][:, :3].mean()) > 127
    paper = Image.new("RGBA", image.size, (0, 0, 0, 255) if light else (255, 255, 255, 255))
    return Image.alpha_composite(paper, image).convert("RGB")


def to_model(image: Pixels, form: InputForm) -> Pixels:
    """uint8 [h, w, 1 or 3] of any size -> uint8 [*form.shape]."""
    fitted: Pixels = stack_to_model(image[np.newaxis], form)[0]
    return fitted


def stack_to_model(images: Pixels, form: InputForm) -> Pixels:
    """uint8 [n, h, w, 1 or 3], all of one size -> uint8 [n, *form.shape]; `images` itself if nothing is to be
    done.
    """
    if form.normalise == "plain":
        if images.shape[1:] == form.shape:
            return images
        fitted = [_fitted(image, form.shape) for image in images]
        return np.stack(fitted) if fitted else np.zeros((0, *form.shape), np.uint8)
    grey = _grey(images)
    normal = _is_normal_ink(grey, form.shape) if grey.shape[1:] == form.shape[:2] else None
    if normal is not None and normal.all():
        return np.broadcast_to(grey[..., np.newaxis], (len(grey), *form.shape))
    result = np.zeros((len(grey), *form.shape), np.uint8)
    for number, image in enumerate(grey):
        done = normal is not None and normal[number]
        result[number] = (image if done else _normal_ink(image, form.shape))[..., np.newaxis]
    return result


def choose_form(samples: Iterable[Pixels], normalise: str = "auto") -> InputForm:
    """The form that suits these images, [h, w, 1 or 3] each: their own size if they share one of at most 64,
    else 28 for ink and 32 for photographs; ink if most look like signs on empty paper.

    Raises Refused if there is no image.
    """
    count = inked = 0
    grey = True
    sizes: set[tuple[int, int]] = set()
    for image in samples:
        count += 1
        inked += _looks_inked(image)
        grey = grey and _is_grey(image)
        sizes.add((image.shape[0], image.shape[1]))
    if not count:
        raise Refused("the data set holds no images.", "Give at least one example of each label.")
    if normalise == "auto":
        normalise = "ink" if inked >= 0.9 * count else "plain"
    height, width = max(sizes)
    natural = len(sizes) == 1 and max(height, width) <= LARGEST_NATURAL_SIDE
    if normalise == "ink":
        return InputForm((height, width, 1) if natural else INK_SHAPE, "ink")
    channels = 1 if grey else 3
    return InputForm((height, width, channels) if natural else (PHOTO_SIDE, PHOTO_SIDE, channels), "plain")


def _is_grey(image: Pixels) -> bool:
    return image.shape[2] == 1 or bool((image == image[..., :1]).all())


def _grey(images: Pixels) -> Pixels:
    """[..., 1 or 3] -> [...]: the luma of ITU-R BT.601 in whole numbers, as Pillow has it."""
    if images.shape[-1] == 1:
        return images[..., 0]
    weighted = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)


def _border(grey: Pixels) -> Pixels:
    """[n, h, w] -> [n, p]: the pixels of the frame, one pixel wide."""
    sides = (grey[:, 0, :], grey[:, -1, :], grey[:, :, 0], grey[:, :, -1])
    return np.concatenate(sides, axis=1)


def _looks_inked(image: Pixels) -> bool:
    grey = _grey(image)
    border = _border(grey[np.newaxis])[0].astype(np.int16)
    paper = np.median(border)
    calm = np.mean(np.abs(border - paper) <= 32)
    inked = np.mean(np.abs(grey - paper) > 64)
    return bool(calm >= 0.95 and 0.002 <= inked <= 0.4)


def box_side(shape: tuple[int, int, int]) -> int:
    """The longer side of a sign in a model's input of this shape, in pixels."""
    return max(1, round(min(shape[:2]) * 20 / 28))


def _is_normal_ink(grey: Pixels, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """[n, h, w], already of the model's size -> [n]: black paper, box and centre of mass where they should
    be.
    """
    height, width = shape[:2]
    # Whole numbers that a sum holds exactly, in whatever order it is made: below 2^24 also in single precision.
    single = 255 * height * width * max(height, width) < 1 << 24
    moments = np.ones((height, width, 3), np.float32 if single else np.float64)
    moments[..., 1], moments[..., 2] = np.arange(height)[:, np.newaxis], np.arange(width)
    words = np.uint32 if width % 4 == 0 else np.uint8
    grey = np.ascontiguousarray(grey)
    normal = np.empty(len(grey), np.bool_)
    for start in range(0, len(grey), CHECKED_AT_ONCE):
        some = grey[start : start + CHECKED_AT_ONCE]
        flat = some.reshape(len(some), -1)
        sums = flat.astype(moments.dtype) @ moments.reshape(-1, 3)
        mass, row, column = sums.T.astype(np.float64)
        row, column = row / np.maximum(mass, 1), column / np.maximum(mass, 1)
        centred = (np.abs(row - height / 2) <= 0.52) & (np.abs(column - width / 2) <= 0.52)
        wide = some.view(words)
        box_height = _extent(_united(wide, 2) > 0)
        box_width = _extent(_united(wide, 1).view(np.uint8) > 0)
        side = np.maximum(box_height, box_width)
        fits = (side <= box_side(shape)) & (side >= box_side(shape) - 1)
        border = _border(some)
        black = 2 * np.count_nonzero(border, axis=1) < border.shape[1]
        strongest = flat.max(axis=1)
        normal[start : start + len(some)] = (centred & fits & black & (strongest >= 250)) | (strongest == 0)
    return normal


def _united(images: NDArray[Any], axis: int) -> NDArray[Any]:
    """The bits of each row (axis 2) or column (1) together: of few images in one call, of many line by line."""
    if len(images) < LINE_BY_LINE:
        united: NDArray[Any] = np.bitwise_or.reduce(images, axis=axis)
        return united
    return reduce(np.bitwise_or, np.moveaxis(images, axis, 0))


def _extent(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    """[n, p] -> [n]: from the first mark to the last, 0 if there is none."""
    first, last = marked.argmax(axis=1), marked.shape[1] - marked[:, ::-1].argmax(axis=1)
    inked = marked[np.arange(len(marked)), first]
    return np.where(inked, last - first, 0)


def _normal_ink(grey: Pixels, shape: tuple[int, int, int]) -> Pixels:
    """[h, w] of any size -> [height, width]; an image without ink gives zeros."""
    height, width = shape[:2]
    result = np.zeros((height, width), np.uint8)
    paper = float(np.median(_border(grey[np.newaxis])[0]))
    ink = paper - grey if paper > 127 else grey - paper
    strongest = float(ink.max())
    if strongest <= 0:
        return result
    ink[ink < strongest * NOISE] = 0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    scale = box_side(shape) / max(box.shape)
    size = (max(1, round(box.shape[1] * scale)), max(1, round(box.shape[0] * scale)))
    sign = np.asarray(Image.fromarray(box).resize(size, Image.Resampling.BILINEAR))
    sign = np.rint(sign * (255 / sign.max())).astype(np.uint8)
    top = _offset(sign.sum(axis=1, dtype=np.int64), height)
    left = _offset(sign.sum(axis=0, dtype=np.int64), width)
    result[top : top + sign.shape[0], left : left + sign.shape[1]] = sign
    return result


def _offset(masses: NDArray[np.int64], length: int) -> int:
    """Where a sign with these masses begins along one side, so that its centre of mass is in the middle and
    all is in.
    """
    centre = float((masses * np.arange(len(masses))).sum() / masses.sum())
    return min(max(round(length / 2 - centre), 0), length - len(masses))


def _fitted(image: Pixels, shape: tuple[int, int, int]) -> Pixels:
    height, width, channels = shape
    if channels == 1:
        image = _grey(image)[..., np.newaxis]
    if image.shape[2] < channels:
        image = np.repeat(image, channels, axis=2)
    if image.shape != shape:
        picture = Image.fromarray(image[..., 0] if channels == 1 else image)
        fitted = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
        image = np.asarray(fitted).reshape(shape)
    return image
