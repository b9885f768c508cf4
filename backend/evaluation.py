"""How well a model reads images whose labels are known: accuracy, confusion matrix, worst errors; as numbers and drawn."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from backend.client import ClusterClient
from backend.predictions import file_batches, predict
from shared import evaluations, messages
from shared.datasets import load_outputs
from shared.errors import Refused
from shared.evaluations import CONFUSION_LABELS, KEPT_LABEL_CHARACTERS, WORST_KEPT, WrongAnswer
from shared.images import Pixels
from shared.messages import NoteEvaluation

CELL = 34
"""Pixels of one cell of the picture, and of its margins."""
THUMB = 64
WORST_IN_A_ROW = 8
PICTURE_LABELS = 60
"""More would not fit into a picture that people look at."""
PAPER, INK, RIGHT, WRONG = (255, 255, 255), (30, 34, 42), (34, 120, 84), (190, 60, 50)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`confusion` is int [labels, labels]: how many images of the label (row) were taken for which label (column)."""

    labels: list[str]
    confusion: NDArray[np.int64]
    worst: list[dict[str, Any]]
    """The errors, the surest first: {"image": its number, "label", "said", "probability"}."""

    @property
    def accuracy(self) -> float:
        """The part of the images that were read rightly."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    def public(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "images": int(self.confusion.sum()),
            "accuracy": self.accuracy,
            "labels": self.labels,
            "confusion": self.confusion.tolist(),
            "worst": self.worst,
        }


def evaluate_files(
    client: ClusterClient,
    model: str,
    inputs: Path,
    outputs: Path,
    worst: int,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[dict[str, Any], Evaluation]:
    """Let `model` predict `inputs`, and compare with `outputs`: the last request's receipt, and what was found.

    All inputs are predicted on the same weights; `progress` hears how many are. Raises `Refused` for files that do not
    belong together, and for a model that says numbers; and as `ClusterClient.call`.
    """
    known = load_outputs(outputs, str(outputs))
    parts: list[NDArray[np.float32]] = []
    for found in predict(client, model, file_batches(inputs, None)):
        if found.numbers:
            raise Refused(f"{model} says numbers, not labels.", "Its test set tells how well.")
        receipt, labels = found.receipt, found.labels
        parts.append(np.array(found.probabilities, np.float32).reshape(-1, len(labels)))
        progress(sum(map(len, parts)))
    probabilities = np.concatenate(parts)
    check_counts(len(probabilities), len(known))
    return receipt, evaluate(known, labels, probabilities, worst)


def note(client: ClusterClient, model: str, inputs: str, found: Evaluation) -> int:
    """Keep what was found with the model, and as a record, for all to see; `inputs` is what their file is called.

    The index of the log at which it is kept. Raises as `ClusterClient.command`.
    """
    kept = len(found.labels) <= CONFUSION_LABELS
    evaluation = evaluations.Evaluation(
        inputs[: messages.NAME_CHARACTERS],
        int(found.confusion.sum()),
        found.accuracy,
        tuple(map(_cut, found.labels)) if kept else (),
        tuple(tuple(row) for row in found.confusion.tolist()) if kept else (),
        tuple(
            WrongAnswer(error["image"], _cut(error["label"]), _cut(error["said"]), error["probability"])
            for error in found.worst[:WORST_KEPT]
        ),
    )
    return int(client.command(lambda ticket: NoteEvaluation(ticket, model, evaluation)).header["index"])


def _cut(label: str) -> str:
    return label[:KEPT_LABEL_CHARACTERS]


def check_counts(images: int, labels: int) -> None:
    """Raises `Refused` when there are not as many labels as images."""
    if images != labels:
        raise Refused(f"There are {images} inputs and {labels} labels.", "Give the files of one set.")


def evaluate(
    known: Sequence[str], labels: Sequence[str], probabilities: NDArray[np.float32], worst: int
) -> Evaluation:
    """Compare the labels of images with a model's probabilities, float32 [images, labels].

    Labels that the model does not know come behind its own.
    """
    assert len(known) == len(probabilities), "`check_counts` was asked"
    every = [*labels, *sorted(set(known) - set(labels))]
    places = {label: place for place, label in enumerate(every)}
    truth = np.array([places[label] for label in known], np.intp)
    said = probabilities.argmax(axis=1)
    confusion = np.zeros((len(every), len(every)), np.int64)
    np.add.at(confusion, (truth, said), 1)
    sureness = probabilities[np.arange(len(said)), said]
    wrong = np.flatnonzero(said != truth)
    surest = wrong[np.argsort(-sureness[wrong], kind="stable")][:worst]
    errors = [
        {
            "image": int(number),
            "label": every[truth[number]],
            "said": every[said[number]],
            "probability": round(float(sureness[number]), 7),
        }
        for number in surest
    ]
    return Evaluation(every, confusion, errors)


def draw(found: Evaluation, images: Pixels, target: Path) -> None:
    """Write confusion matrix and worst errors as a PNG. Raises `Refused` when it cannot be drawn or written.

    `images` is uint8 [n, height, width, 1 or 3], as they were evaluated.
    """
    if len(found.labels) > PICTURE_LABELS:
        raise Refused(f"A picture has room for {PICTURE_LABELS} labels.", "Use the numbers (--json).")
    side = CELL * (len(found.labels) + 2)
    shown = found.worst
    rows = -(-len(shown) // WORST_IN_A_ROW)
    width = max(side, (THUMB + CELL) * min(len(shown), WORST_IN_A_ROW) + CELL, 8 * CELL)
    picture = Image.new("RGB", (width, side + 2 * CELL + rows * (THUMB + CELL)), PAPER)
    pen = ImageDraw.Draw(picture)
    pen.text(
        (CELL, CELL // 3), f"{found.accuracy:.2%} of {found.confusion.sum():,} images are read rightly", INK
    )
    _draw_matrix(pen, found)
    for place, error in enumerate(shown):
        left = CELL + (place % WORST_IN_A_ROW) * (THUMB + CELL)
        top = side + CELL + (place // WORST_IN_A_ROW) * (THUMB + CELL)
        image = images[error["image"]]
        thumb = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).convert("RGB")
        picture.paste(thumb.resize((THUMB, THUMB), Image.Resampling.NEAREST), (left, top))
        words = f"{_short(error['label'])} as {_short(error['said'])}, {error['probability']:.0%}"
        pen.text((left, top + THUMB + 4), words, WRONG)
    try:
        picture.save(target, "PNG")
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error


def _draw_matrix(pen: ImageDraw.ImageDraw, found: Evaluation) -> None:
    most = max(int(found.confusion.max()), 1)
    for row, label in enumerate(found.labels):
        top = CELL * (row + 2)
        pen.text((6, top + CELL // 3), _short(label), INK)
        pen.text((top + 6, CELL + CELL // 3), _short(label), INK)
        for column in range(len(found.labels)):
            count = int(found.confusion[row, column])
            left = CELL * (column + 2)
            full, part = (RIGHT if row == column else WRONG), (count / most) ** 0.5
            colour = tuple(round(255 + (channel - 255) * part) for channel in full)
            pen.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=colour)
            if count:
                pen.text((left + 4, top + CELL // 3), str(count), PAPER if part > 0.6 else INK)


def _short(label: str) -> str:
    return label if len(label) <= 4 else f"{label[:3]}…"
