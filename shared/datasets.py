"""Data sets as people have them: IDX, NPZ or NPY, CSV, and zip archives of images by class.

What a file is, its bytes say, not its name. Inputs become uint8 images, outputs become one label (a string)
for each input; whatever is wrong is Refused with a reason that names the file and what to do.

| form | inputs | outputs |
|---|---|---|
| IDX, also gzipped | [n, h, w] or [n, h, w, c] of any IDX type | [n] |
| NPY, NPZ | array "inputs", "images", "x" or the only one | array "outputs", "labels", "y" or the only one |
| CSV | pixels 0 to 255, row by row of a square image, without a column "label" | that column, or the only one |
| zip | every image in it, by name | the name of the folder that holds each image |
"""

import csv
import io
import math
from collections.abc import Iterator, Sequence, Sized
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.array_files import (
    first_bytes,
    holds_arrays,
    is_archive,
    is_idx,
    open_archive,
    read_idx,
    read_numpy,
    size_text,
    unpacked,
    within_limit,
)
from shared.errors import Refused
from shared.images import MAX_SIDE, InputForm, Pixels, choose_form, decode, stack_to_model, to_model

MAX_EXAMPLES = 10_000_000
MAX_IMAGE_FILE_BYTES = 64 * 1024**2
MAX_CSV_COLUMNS = MAX_SIDE * MAX_SIDE * 3 + 1
SAMPLES = 200
"""About how many images are looked at to choose the form of the model's input."""

NPY_START = b"\x93NUMPY"
INPUT_NAMES = ("inputs", "images", "x")
OUTPUT_NAMES = ("outputs", "labels", "y")
LABEL_COLUMNS = ("label", "class", "target")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def load_inputs(path: Path, name: str) -> Pixels:
    """The images in this file as they are: uint8 [n, height, width, 1 or 3]. `name` is what people call the file.

    Raises Refused when it cannot be read, or is an archive whose images differ in size.
    """
    if holds_images(path, name):
        entries = _image_entries(path, name)
        _, first = next(_decoded(path, name, entries[:1]))
        return _gathered(path, name, entries, first.shape, None)
    start = first_bytes(path, name)
    if start.startswith(NPY_START) or is_archive(start):
        return _images(read_numpy(path, name, INPUT_NAMES), name)
    if is_idx(path, name):
        return _images(read_idx(path, name), name)
    return _images(_csv_pixels(path, name), name)


def load_model_inputs(path: Path, name: str, form: InputForm | str) -> tuple[Pixels, InputForm]:
    """The images made fit for a model: uint8 [n, *form.shape]; a `form` of "auto", "ink" or "plain" is chosen first.

    Raises Refused when the file cannot be read.
    """
    if holds_images(path, name):
        entries = _image_entries(path, name)
        if isinstance(form, str):
            sampled = _decoded(path, name, entries[:: _stride(len(entries))])
            form = choose_form((image for _, image in sampled), form)
        return _gathered(path, name, entries, form.shape, form), form
    images = load_inputs(path, name)
    if isinstance(form, str):
        form = choose_form(images[:: _stride(len(images))], form)
    return stack_to_model(images, form), form


def load_outputs(path: Path, name: str) -> list[str]:
    """The labels in this file, one for each input. Raises Refused when it cannot be read."""
    start = first_bytes(path, name)
    if holds_images(path, name):
        return [_class_of(entry, name) for entry in _image_entries(path, name)]
    if start.startswith(NPY_START) or is_archive(start):
        return _labels(read_numpy(path, name, OUTPUT_NAMES), name)
    if is_idx(path, name):
        return _labels(read_idx(path, name), name)
    return _csv_labels(path, name)


def paired(inputs: int, labels: Sized, name: str) -> None:
    """Raises Refused unless there is one label for each input, and at least one."""
    if inputs != len(labels):
        raise Refused(
            f"{inputs} inputs but {len(labels)} outputs in {name!r}.",
            "Give one output for each input, in order.",
        )
    if not inputs:
        raise Refused(f"{name!r} holds no examples.", "Give at least one example of each label.")


def _images(array: NDArray[Any], name: str) -> Pixels:
    """An array as people have it -> uint8 [n, h, w, 1 or 3]."""
    if array.ndim == 2 and math.isqrt(array.shape[1]) ** 2 == array.shape[1]:
        side = math.isqrt(array.shape[1])
        array = array.reshape(len(array), side, side)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim == 4 and array.shape[3] not in (1, 3) and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3) or min(array.shape[1:3]) < 1:
        raise Refused(
            f"{name!r} holds an array of {size_text(array.shape)}, which are not images.",
            "Give [n, height, width] or [n, height, width, 3].",
        )
    if max(array.shape[1:3]) > MAX_SIDE or len(array) > MAX_EXAMPLES:
        raise Refused(
            f"{name!r} holds {len(array)} images of {array.shape[1]} x {array.shape[2]}.",
            f"The most is {MAX_EXAMPLES:,} of {MAX_SIDE} x {MAX_SIDE}.",
        )
    return _eight_bits(array, name)


def _eight_bits(array: NDArray[Any], name: str) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "buif":
        raise Refused(
            f"{name!r} holds values of type {array.dtype}.", "Give numbers from 0 to 255, or from 0 to 1."
        )
    if array.size == 0:
        return array.astype(np.uint8)
    least, most = float(array.min()), float(array.max())
    if not 0 <= least <= most <= 255:
        raise Refused(
            f"{name!r} holds values from {least:g} to {most:g}.",
            "Give numbers from 0 to 255, or from 0 to 1.",
        )
    if array.dtype.kind == "b" or (array.dtype.kind == "f" and most <= 1):
        array = array * np.float64(255)
    whole: Pixels = np.rint(array).astype(np.uint8)
    return whole


def _labels(array: NDArray[Any], name: str) -> list[str]:
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    whole = array.dtype.kind in "iub" or (
        array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.rint(array)).all())
    )
    if array.ndim != 1 or not (whole or array.dtype.kind == "U"):
        raise Refused(
            f"{name!r} holds {array.dtype} values of shape {size_text(array.shape)}.",
            "Outputs are one label for each input: whole numbers or text.",
        )
    if len(array) > MAX_EXAMPLES:
        raise Refused(f"{name!r} holds {len(array):,} outputs, the most is {MAX_EXAMPLES:,}.")
    return [str(int(value)) for value in array] if whole else [_label(str(value), name) for value in array]


def _label(text: str, name: str) -> str:
    label = text.strip()
    if not 1 <= len(label) <= 200 or not label.isprintable():
        raise Refused(f"{name!r} holds the label {text[:200]!r}.", "Give 1 to 200 printable characters.")
    return label


# --- CSV


def csv_rows(path: Path, name: str) -> Iterator[list[str]]:
    """The lines of a CSV that hold something. Raises Refused for what is none, or too large."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.reader(_bounded_lines(file, name))):
                if number > MAX_EXAMPLES or len(row) > MAX_CSV_COLUMNS:
                    raise Refused(f"{name!r} is too large for a CSV file.", "Give it as NPZ.")
                if row:
                    yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise Refused(
            f"{name!r} is not a data set that is known here.",
            "Give IDX, NPZ, CSV or a zip of images by class.",
        ) from error


def _bounded_lines(file: io.TextIOWrapper, name: str) -> Iterator[str]:
    while line := file.readline(32 * MAX_SIDE * MAX_SIDE):
        if "\0" in line:
            raise Refused(
                f"{name!r} is not a data set that is known here.",
                "Give IDX, NPZ, CSV or a zip of images by class.",
            )
        yield line


def label_column(header: Sequence[str]) -> int | None:
    """Which column holds the outputs, by its heading."""
    lowered = [cell.strip().lower() for cell in header]
    return next((lowered.index(word) for word in LABEL_COLUMNS if word in lowered), None)


def _csv_pixels(path: Path, name: str) -> NDArray[Any]:
    pixels = bytearray()
    width = 0
    label: int | None = None
    for number, row in enumerate(csv_rows(path, name), 1):
        if number == 1 and not all(is_number(cell) for cell in row):
            label = label_column(row)
            continue
        cells = row if label is None else row[:label] + row[label + 1 :]
        width = width or len(cells)
        try:
            values = [float(cell) for cell in cells]
            if len(values) != width:
                raise ValueError
            pixels += bytes(int(value) if value == int(value) else -1 for value in values)
        except (ValueError, OverflowError) as error:
            raise Refused(
                f"line {number} of {name!r} is not {width} whole numbers from 0 to 255.",
                "A CSV of inputs holds one image in each line, pixel after pixel.",
            ) from error
        within_limit(len(pixels), name)
    if not width:
        raise Refused(f"{name!r} holds no images.")
    return np.frombuffer(bytes(pixels), np.uint8).reshape(-1, width)


def _csv_labels(path: Path, name: str) -> list[str]:
    labels: list[str] = []
    column: int | None = None
    for number, row in enumerate(csv_rows(path, name), 1):
        if number == 1:
            column = label_column(row)
            if column is not None:
                continue
            if len(row) > 1:
                raise Refused(
                    f"{name!r} has {len(row)} columns.", "Head the column of the outputs with 'label'."
                )
            column = 0
        if column is None or len(row) <= column:
            raise Refused(f"line {number} of {name!r} has no label.")
        labels.append(_label(row[column], name))
    return labels


def is_number(text: str) -> bool:
    """Whether Python reads a number in it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- archives of images


def _image_entries(path: Path, name: str) -> list[str]:
    """The names of the images in the archive, sorted; hidden files and what is no image are passed over."""
    with open_archive(path, name) as archive:
        entries = sorted(
            entry
            for entry in archive.namelist()
            if entry.lower().endswith(IMAGE_SUFFIXES)
            and not any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(entry).parts)
        )
    if not 1 <= len(entries) <= MAX_EXAMPLES:
        raise Refused(
            f"the archive {name!r} holds {len(entries)} images.",
            "Put them into one folder for each class, and zip those.",
        )
    return entries


def _class_of(entry: str, name: str) -> str:
    folder = PurePosixPath(entry).parent.name
    if not folder:
        raise Refused(
            f"{entry!r} in {name!r} is in no folder.", "Put the images into one folder for each class."
        )
    return _label(folder, name)


def _decoded(path: Path, name: str, entries: Sequence[str]) -> Iterator[tuple[str, Pixels]]:
    with open_archive(path, name) as archive:
        for entry in entries:
            data = unpacked(archive, archive.getinfo(entry), name, MAX_IMAGE_FILE_BYTES)
            try:
                yield entry, decode(data)
            except Refused as error:
                raise Refused(f"{entry!r} in {name!r}: {error.reason}", error.advice) from error


def holds_images(path: Path, name: str) -> bool:
    """Whether the file is an archive of images."""
    return is_archive(first_bytes(path, name)) and not holds_arrays(path, name)


def _stride(count: int) -> int:
    return max(1, count // SAMPLES)


def _gathered(
    path: Path, name: str, entries: Sequence[str], shape: tuple[int, ...], form: InputForm | None
) -> Pixels:
    """[n, *shape]; without a `form` every image must already have that shape."""
    within_limit(len(entries) * math.prod(shape), name)
    result = np.empty((len(entries), *shape), np.uint8)
    for number, (entry, image) in enumerate(_decoded(path, name, entries)):
        if form is None and image.shape != shape:
            raise Refused(
                f"{entry!r} in {name!r} is {size_text(image.shape)}, the first is {size_text(shape)}.",
                "Give the images one by one, or all of one size and colour.",
            )
        result[number] = image if form is None else to_model(image, form)
    return result
