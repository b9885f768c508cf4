"""The canonical form of a data set: what the log names, what every worker holds and every trainer maps.

Decoders differ between systems and versions, so images are decoded once, on one worker; the digest of these bytes then
says what was trained on. Numbers are little-endian; every section begins at a multiple of 64 bytes, zeros between.

    offset   bytes           what
    0        8               magic "MINKADS" and a zero byte
    8        4               version, 1
    12       4               H, length of the JSON header
    16       H               JSON header, ASCII, keys sorted, no spaces
    ...      n x h x w x c   inputs, uint8, [n, h, w, c]
    ...      2 x n           labels, uint16: the place of each label in the header's "labels"
    ...      m x h x w x c   test inputs, uint8
    ...      2 x m           test labels, uint16

Header: "examples" n, "test_examples" m, "input_shape" [h, w, c], "labels" [text, ...], "normalise" "ink" or "plain", and
over the n inputs, per channel, "mean" [c numbers] and "deviation" [c numbers].
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

from shared.datasets import load_model_inputs, load_outputs, paired
from shared.errors import Refused
from shared.images import Pixels

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
    """Inputs and their labels: uint8 [n, h, w, c] and uint16 [n]."""

    inputs: Pixels
    labels: NDArray[np.uint16]


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
) -> dict[str, Any]:
    """Write the canonical data set to `target`, durably: the header, with "digest" and "bytes" beside its fields.

    Raises Refused for anything about the files that a person must put right.
    """
    images, form = load_model_inputs(inputs.path, inputs.name, normalise)
    texts = load_outputs(outputs.path, outputs.name)
    paired(len(images), texts, outputs.name)
    labels = label_order(texts)
    training = Part(images, _places(texts, labels, outputs.name))
    test = Part(images[:0], training.labels[:0])
    if (test_inputs is None) != (test_outputs is None):
        raise Refused("only one of the test inputs and outputs is given.", "Give both, or neither.")
    if test_inputs is not None and test_outputs is not None:
        test_images, _ = load_model_inputs(test_inputs.path, test_inputs.name, form)
        test_texts = load_outputs(test_outputs.path, test_outputs.name)
        paired(len(test_images), test_texts, test_outputs.name)
        test = Part(test_images, _places(test_texts, labels, test_outputs.name))
    mean, deviation = channel_statistics(images)
    header = {
        "examples": len(images),
        "test_examples": len(test.inputs),
        "input_shape": list(form.shape),
        "labels": labels,
        "normalise": form.normalise,
        "mean": mean,
        "deviation": deviation,
    }
    return {**header, **_write(target, header, training, test)}


def label_order(texts: Sequence[str]) -> list[str]:
    """The different labels: by value if all are whole numbers, else by their characters.

    Raises Refused for fewer than 2 or more than `MAX_LABELS`.
    """
    found = set(texts)
    if not 2 <= len(found) <= MAX_LABELS:
        raise Refused(
            f"the outputs hold {len(found)} different label(s).",
            f"A classifier takes 2 to {MAX_LABELS} labels.",
        )
    whole = all(text.removeprefix("-").isascii() and text.removeprefix("-").isdigit() for text in found)
    return sorted(found, key=lambda text: (int(text), text)) if whole else sorted(found)


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
        height, width, channels = header["input_shape"]
        sizes = (header["examples"], header["test_examples"])
        offset = _aligned(PREFIX.size + length)
        parts = []
        for count in sizes:
            inputs = np.frombuffer(memory, np.uint8, count * height * width * channels, offset)
            offset = _aligned(offset + inputs.nbytes)
            labels = np.frombuffer(memory, "<u2", count, offset)
            offset = _aligned(offset + labels.nbytes)
            parts.append(Part(inputs.reshape(count, height, width, channels), labels))
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise Refused(
            f"the data set {path.name} is damaged: {error}.", "Train again, so that it is made anew."
        ) from error
    return Dataset(header, parts[0], parts[1])


def _places(texts: Sequence[str], labels: Sequence[str], name: str) -> NDArray[np.uint16]:
    place = {label: number for number, label in enumerate(labels)}
    unknown = sorted(set(texts) - set(place))
    if unknown:
        raise Refused(
            f"{name!r} holds the label {unknown[0]!r}, which no training example has.",
            "Add training examples of it.",
        )
    return np.array([place[text] for text in texts], "<u2")


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
                write(array[start : start + PIECE_ROWS].tobytes())
        file.flush()
        os.fsync(file.fileno())
    return {"digest": digest.hexdigest(), "bytes": size_bytes}
