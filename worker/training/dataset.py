"""The canonical form of a data set: what the log names, what every worker holds and every trainer maps.

Decoders differ between systems and versions, so images are decoded once, on one worker; the digest of these bytes then
says what was trained on. Numbers are little-endian; every section begins at a multiple of 64 bytes, zeros between.

    offset   bytes           what
    0        8               magic "MINKADS" and a zero byte
    8        4               version, 1
    12       4               H, length of the JSON header
    16       H               JSON header, ASCII, keys sorted, no spaces
    ...      n x h x w x c   inputs, uint8, [n, h, w, c]; or, of tables and texts, float32, [n, d]
    ...      2 x n           labels, uint16: the place of each label in the header's "labels"; or targets, float32, [n, o]
    ...                      test inputs and labels, m of them, in the same way

Header: "examples" n, "test_examples" m, "input_shape" [h, w, c] or [d], "normalise" "ink", "plain", "table" or "text", and
over the n inputs, per channel or column, "mean" and "deviation". For classes, "loss" is "cross-entropy" and "labels" are
their names; for numbers, "loss" is "squared", "labels" are the names of the o outputs, and "target_mean" and
"target_deviation" their statistics.
"""

import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.datasets import load_model_inputs, paired
from shared.errors import Refused
from shared.images import InputForm, Pixels
from shared.tables import Numbers, VectorForm, is_whole, load_outputs_as, load_vectors

MAGIC = b"MINKADS\0"
VERSION = 1
PREFIX = struct.Struct("<8sII")
ALIGNMENT_BYTES = 64
MAX_HEADER_BYTES = 16 * 1024**2
MAX_LABELS = 4_096
PIECE_ROWS = 4_096
"""Rows that are summed or written at a time."""


@dataclass(frozen=True, slots=True)
class Part:
    """Inputs, uint8 [n, h, w, c] or float32 [n, d], and their labels, uint16 [n], or targets, float32 [n, o]."""

    inputs: NDArray[Any]
    labels: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened data set; the arrays are views of the mapped file and cannot be written."""

    header: Mapping[str, Any]
    training: Part
    test: Part


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as a client sent it: where its bytes are, and what people call it."""

    path: Path
    name: str


def prepare(
    inputs: SourceFile,
    outputs: SourceFile,
    test_inputs: SourceFile | None,
    test_outputs: SourceFile | None,
    target: Path,
    normalise: str = "auto",
    loss: str = "auto",
) -> dict[str, Any]:
    """Write the canonical data set to `target`, durably: the header, with "digest" and "bytes" beside its fields.

    `loss` "auto" takes outputs that are not all whole as numbers, all others as classes. Raises Refused for anything about
    the files that a person must put right.
    """
    values, form = _inputs(inputs, normalise)
    loss, expected = load_outputs_as(loss, outputs.path, outputs.name)
    paired(len(values), expected, outputs.name)
    labels = _numbered(expected) if isinstance(expected, np.ndarray) else label_order(expected, outputs.name)
    training = Part(values, _places(expected, labels, outputs.name))
    test = Part(values[:0], training.labels[:0])
    if (test_inputs is None) != (test_outputs is None):
        raise Refused("only one of the test inputs and outputs is given.", "Give both, or neither.")
    if test_inputs is not None and test_outputs is not None:
        test_values, _ = _inputs(test_inputs, form)
        _, test_expected = load_outputs_as(loss, test_outputs.path, test_outputs.name)
        paired(len(test_values), test_expected, test_outputs.name)
        test = Part(test_values, _places(test_expected, labels, test_outputs.name))
    statistics = channel_statistics if isinstance(form, InputForm) else column_statistics
    mean, deviation = statistics(values)
    header = {
        "examples": len(values),
        "test_examples": len(test.inputs),
        "input_shape": list(form.shape) if isinstance(form, InputForm) else [form.columns],
        "labels": labels,
        "loss": loss,
        "normalise": form.normalise,
        "mean": mean,
        "deviation": deviation,
    }
    if loss == "squared":
        header["target_mean"], header["target_deviation"] = column_statistics(training.labels)
    return {**header, **_write(target, header, training, test)}


def _inputs(
    source: SourceFile, form: InputForm | VectorForm | str
) -> tuple[NDArray[Any], InputForm | VectorForm]:
    """The inputs of a file, fit for `form` if there is one; of a wish for images ("ink", ...) otherwise."""
    vectors = load_vectors(source.path, source.name)
    if vectors is None and not isinstance(form, VectorForm):
        return load_model_inputs(source.path, source.name, form)
    if (
        vectors is None
        or isinstance(form, InputForm)
        or (isinstance(form, VectorForm) and form != vectors[1])
    ):
        raise Refused(
            f"{source.name!r} holds other inputs than those to learn from.",
            "Give images with images, and tables with as many columns.",
        )
    return vectors


def _numbered(targets: NDArray[Any]) -> list[str]:
    return [f"y{number + 1}" for number in range(targets.shape[1])]


def label_order(texts: Sequence[str], name: str) -> list[str]:
    """The different labels: by value if all are whole numbers, else by their characters.

    Raises Refused for fewer than 2 or more than `MAX_LABELS`.
    """
    found = set(texts)
    if not 2 <= len(found) <= MAX_LABELS:
        raise Refused(
            f"the outputs in {name!r} hold {len(found)} different label(s).",
            f"A classifier takes 2 to {MAX_LABELS} labels.",
        )
    return sorted(found, key=lambda text: (int(text), text)) if all(map(is_whole, found)) else sorted(found)


def channel_statistics(images: Pixels) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of uint8 [n, h, w, c], from exact sums; a flat channel has deviation 1."""
    channels = images.shape[3]
    count = images[..., 0].size
    total, squares = [0] * channels, [0] * channels
    for start in range(0, len(images), PIECE_ROWS):
        for channel in range(channels):
            piece = images[start : start + PIECE_ROWS, ..., channel]
            total[channel] += int(piece.sum(dtype=np.uint64))
            squares[channel] += int(np.square(piece, dtype=np.uint32).sum(dtype=np.uint64))
    mean = [value / count for value in total]
    variance = [
        (count * square - value * value) / (count * count)
        for value, square in zip(total, squares, strict=True)
    ]
    return mean, [math.sqrt(value) or 1.0 for value in variance]


def column_statistics(table: NDArray[np.float32]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each column of float32 [n, d], exactly rounded sums; a flat one has deviation 1."""
    means, deviations = [], []
    for column in table.T:
        values = [float(value) for value in column]
        mean = math.fsum(values) / len(values)
        means.append(mean)
        variance = math.fsum((value - mean) * (value - mean) for value in values) / len(values)
        deviations.append(math.sqrt(variance) or 1.0)
    return means, deviations


def open_dataset(path: Path) -> Dataset:
    """Map a canonical data set. Raises Refused if these are not the bytes of one."""
    try:
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise Refused(f"the data set {path.name} cannot be opened: {error}.") from error
    try:
        magic, version, length = PREFIX.unpack_from(memory)
        if magic != MAGIC or version != VERSION or length > MAX_HEADER_BYTES:
            raise ValueError("another magic or version")
        header = json.loads(memory[PREFIX.size : PREFIX.size + length])
        shape, numbers = header["input_shape"], header["loss"] == "squared"
        pixels = np.dtype(np.uint8 if len(shape) == 3 else "<f4")
        outputs, output_type = (len(header["labels"]), "<f4") if numbers else (1, "<u2")
        sizes = (header["examples"], header["test_examples"])
        offset = _aligned(PREFIX.size + length)
        parts = []
        for count in sizes:
            inputs = np.frombuffer(memory, pixels, count * math.prod(shape), offset)
            offset = _aligned(offset + inputs.nbytes)
            labels = np.frombuffer(memory, output_type, count * outputs, offset)
            offset = _aligned(offset + labels.nbytes)
            expected = labels.reshape(count, outputs) if numbers else labels
            parts.append(Part(inputs.reshape(count, *shape), expected))
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise Refused(
            f"the data set {path.name} is damaged: {error}.", "Train again, so that it is made anew."
        ) from error
    return Dataset(header, parts[0], parts[1])


def _places(expected: Sequence[str] | Numbers, labels: Sequence[str], name: str) -> NDArray[Any]:
    """Labels as their places in `labels`, uint16 [n]; targets as they are."""
    if isinstance(expected, np.ndarray):
        if expected.shape[1] != len(labels):
            raise Refused(
                f"{name!r} has {expected.shape[1]} outputs, the training data {len(labels)}.",
                "Give both the same columns.",
            )
        return expected
    place = {label: number for number, label in enumerate(labels)}
    unknown = sorted(set(expected) - set(place))
    if unknown:
        raise Refused(
            f"{name!r} holds the label {unknown[0]!r}, which no training example has.",
            "Add training examples of it.",
        )
    return np.array([place[text] for text in expected], "<u2")


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _write(target: Path, header: Mapping[str, Any], training: Part, test: Part) -> dict[str, Any]:
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii")
    digest = hashlib.sha256()
    size_bytes = 0
    with target.open("wb") as file:

        def write(data: bytes) -> None:
            nonlocal size_bytes
            file.write(data)
            digest.update(data)
            size_bytes += len(data)

        write(PREFIX.pack(MAGIC, VERSION, len(text)) + text)
        for array in (training.inputs, training.labels, test.inputs, test.labels):
            write(bytes(_aligned(size_bytes) - size_bytes))
            for start in range(0, len(array), PIECE_ROWS):
                piece = array[start : start + PIECE_ROWS]
                write(piece.astype(piece.dtype.newbyteorder("<"), copy=False).tobytes())
        file.flush()
        os.fsync(file.fileno())
    return {"digest": digest.hexdigest(), "bytes": size_bytes}
