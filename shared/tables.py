"""Data sets that are not images: tables of numbers, and texts.

| form | a table | texts |
|---|---|---|
| NPY, NPZ, IDX | [n, columns] of numbers | [n] of text (not IDX) |
| CSV | a line for each input, without a column "label" | the only column, or "text", beside "label" |

A table that could be images is images: 16 columns or more, a square number of them, with values from 0 to 255, all whole in
a CSV. A text becomes the numbers of its words and of the triples of characters in them, hashed into `TEXT_COLUMNS` columns.
"""

import math
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.array_files import first_bytes, is_archive, is_idx, read_idx, read_numpy, size_text, within_limit
from shared.datasets import (
    INPUT_NAMES,
    LABEL_COLUMNS,
    NPY_START,
    OUTPUT_NAMES,
    csv_rows,
    holds_images,
    is_number,
    label_column,
    load_outputs,
)
from shared.errors import Refused

Numbers = NDArray[np.float32]
"""[n, columns], finite."""

SMALLEST_IMAGE = 16
TEXT_COLUMNS = 1_024
MAX_COLUMNS = 100_000
MAX_TEXT_CHARACTERS = 100_000
TEXT_HEADINGS = ("text", "sentence", "message")


@dataclass(frozen=True, slots=True)
class VectorForm:
    """What a model takes that takes no images: `normalise` is "table" or "text"."""

    columns: int
    normalise: str


def load_vectors(path: Path, name: str) -> tuple[Numbers, VectorForm] | None:
    """The numbers in this file, made of texts if need be; None if it holds images. Raises Refused if it cannot be read."""
    if holds_images(path, name):
        return None
    start = first_bytes(path, name)
    if start.startswith(NPY_START) or is_archive(start):
        return _of_array(read_numpy(path, name, INPUT_NAMES), name)
    if is_idx(path, name):
        return _of_array(read_idx(path, name), name)
    return _of_csv(path, name)


def load_texts(path: Path, name: str) -> list[str]:
    """The texts themselves, of a file of which `load_vectors` says that it holds texts."""
    start = first_bytes(path, name)
    if start.startswith(NPY_START) or is_archive(start):
        return [str(text) for text in read_numpy(path, name, INPUT_NAMES)]
    return _csv_texts(path, name)


def load_targets(path: Path, name: str) -> Numbers:
    """The numbers that a model is to come near, [n, outputs]. Raises Refused for what is not numbers."""
    start = first_bytes(path, name)
    if start.startswith(NPY_START) or is_archive(start):
        array = read_numpy(path, name, OUTPUT_NAMES)
    elif is_idx(path, name):
        array = read_idx(path, name)
    else:
        array = _csv_numbers(path, name, outputs=True)
    return _numbers(array.reshape(-1, 1) if array.ndim == 1 else array, name)


def load_outputs_as(loss: str | None, path: Path, name: str) -> tuple[str, list[str] | Numbers]:
    """What the outputs ask for, "cross-entropy" or "squared", and they: labels, or numbers [n, outputs].

    `loss` is what was wished; without a wish ("auto" or None), outputs that are not all whole numbers or words are numbers.
    Raises Refused for what cannot be read so.
    """
    if loss == "squared":
        return loss, load_targets(path, name)
    try:
        texts = load_outputs(path, name)
    except Refused as refusal:  # no classes: they may be numbers
        if loss == "cross-entropy":
            raise
        try:
            return "squared", load_targets(path, name)
        except Refused:
            raise refusal from None
    if loss != "cross-entropy" and all(map(is_number, texts)) and not all(map(is_whole, texts)):
        return "squared", load_targets(path, name)
    return "cross-entropy", texts


def is_whole(text: str) -> bool:
    """Whether it is a whole number in plain digits."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def text_vectors(texts: Sequence[str]) -> Numbers:
    """[len(texts), TEXT_COLUMNS]: square roots of the counts of words and of triples, scaled to length 1."""
    result = np.zeros((len(texts), TEXT_COLUMNS), np.float32)
    for row, text in zip(result, texts, strict=True):
        places = [zlib.crc32(piece.encode()) % TEXT_COLUMNS for piece in _pieces(text)]
        np.add.at(row, places, np.float32(1))
        np.sqrt(row, out=row)
        row /= np.float32(math.sqrt(len(places) or 1))
    return result


def _pieces(text: str) -> Iterable[str]:
    cleaned = "".join(letter if letter.isalnum() else " " for letter in text.casefold())
    for word in cleaned.split():
        yield word
        padded = f"<{word}>"
        yield from (padded[start : start + 3] for start in range(len(padded) - 2))


def _of_array(array: NDArray[Any], name: str) -> tuple[Numbers, VectorForm] | None:
    if array.dtype.kind == "U" and array.ndim == 1:
        return _of_texts([str(text) for text in array], name)
    if array.ndim != 2 or (_is_square(array.shape[1]) and _like_pixels(array)):
        return None
    numbers = _numbers(array, name)
    return numbers, VectorForm(numbers.shape[1], "table")


def _of_csv(path: Path, name: str) -> tuple[Numbers, VectorForm] | None:
    rows = csv_rows(path, name)
    heading = next(rows, [])
    label = label_column(heading)
    first = heading if heading and all(map(is_number, heading)) else next(rows, heading)
    cells = first if label is None else first[:label] + first[label + 1 :]
    if not cells:
        return None  # whoever reads it as images says what is wrong
    if not all(map(is_number, cells)):
        return _of_texts(_csv_texts(path, name), name)
    whole = all(float(cell) in range(256) for cell in cells if math.isfinite(float(cell)))
    if _is_square(len(cells)) and whole:
        return None
    numbers = _numbers(_csv_numbers(path, name, outputs=False), name)
    return numbers, VectorForm(numbers.shape[1], "table")


def _is_square(columns: int) -> bool:
    return columns >= SMALLEST_IMAGE and math.isqrt(columns) ** 2 == columns


def _like_pixels(array: NDArray[Any]) -> bool:
    return array.dtype == np.uint8 or (
        array.dtype.kind in "buif" and array.size > 0 and bool(((array >= 0) & (array <= 255)).all())
    )


def _numbers(array: NDArray[Any], name: str) -> Numbers:
    if array.ndim != 2 or array.dtype.kind not in "buif" or not 1 <= array.shape[1] <= MAX_COLUMNS:
        raise Refused(
            f"{name!r} holds {array.dtype} values of shape {size_text(array.shape)}.",
            f"Give a table of numbers: a row for each example, 1 to {MAX_COLUMNS:,} columns.",
        )
    within_limit(array.size * 4, name)
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        row, column = (int(place) + 1 for place in bad[0])
        raise Refused(
            f"row {row}, column {column} of {name!r} is no finite number.",
            "Fill in what is missing, or leave the row out.",
        )
    return numbers


def _csv_numbers(path: Path, name: str, outputs: bool) -> NDArray[np.float64]:
    """[n, columns]: the column "label" alone, or all others. Raises Refused with the line that is wrong."""
    values: list[list[float]] = []
    label: int | None = None
    size = 0
    for number, row in enumerate(csv_rows(path, name), 1):
        if number == 1 and not all(map(is_number, row)):
            label = label_column(row)
            continue
        if label is not None:
            row = row[label : label + 1] if outputs else row[:label] + row[label + 1 :]
        try:
            values.append([float(cell) for cell in row])
        except ValueError as error:
            raise Refused(
                f"line {number} of {name!r} is not numbers.", "Give a number in each column."
            ) from error
        if len(row) != len(values[0]):
            raise Refused(
                f"line {number} of {name!r} has {len(row)} columns, the first has {len(values[0])}.",
                "Give each line as many.",
            )
        size += len(row)
        within_limit(size * 8, name)
    if not values:
        raise Refused(f"{name!r} holds no numbers.", "Give a line for each example.")
    return np.array(values)


def _csv_texts(path: Path, name: str) -> list[str]:
    texts: list[str] = []
    place = 0
    for number, row in enumerate(csv_rows(path, name), 1):
        if number == 1:
            headings = [cell.strip().lower() for cell in row]
            named = [headings.index(heading) for heading in TEXT_HEADINGS if heading in headings]
            others = [column for column in range(len(row)) if headings[column] not in LABEL_COLUMNS]
            if len(others) != 1 and not named:
                raise Refused(
                    f"{name!r} has {len(row)} columns that are not numbers.",
                    "Head the column of the texts with 'text'.",
                )
            place = named[0] if named else others[0]
            if named or len(others) < len(row):
                continue
        if len(row) <= place:
            raise Refused(f"line {number} of {name!r} has no text.", "Give each line its text.")
        texts.append(row[place])
    return texts


def _of_texts(texts: list[str], name: str) -> tuple[Numbers, VectorForm]:
    if not texts:
        raise Refused(f"{name!r} holds no texts.", "Give a text for each example.")
    longest = max(map(len, texts))
    if longest > MAX_TEXT_CHARACTERS:
        raise Refused(
            f"a text in {name!r} has {longest:,} characters, the most is {MAX_TEXT_CHARACTERS:,}.",
            "Cut it into smaller ones.",
        )
    within_limit(len(texts) * TEXT_COLUMNS * 4, name)
    return text_vectors(texts), VectorForm(TEXT_COLUMNS, "text")
