"""Predictions as people read them, and many images over all workers."""

import sys
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.client import Answer, ClusterClient
from shared.errors import ProtocolViolation, Refused
from shared.messages import PREDICT_BYTES, Predict, PredictInput

ANSWER_S = 60.0
ROWS_AT_ONCE = 500
"""Inputs in one request, so that every worker gets some."""
PROBABILITY_DIGITS = 7
NUMBER_DIGITS = 7
UNDER_WAY = 4
"""Requests of one prediction at once, so that every worker has something to do."""
RECEIPT = ("model", "digest", "term", "index", "worker")

Batch = tuple[list[PredictInput], bytes]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer to one request: `receipt` says who gave it, `probabilities` is float32 [inputs, labels], flat.

    Of a model of `numbers`, they are those instead.
    """

    receipt: dict[str, Any]
    labels: list[str]
    probabilities: "array[float]"
    numbers: bool

    def outputs(self) -> list[dict[str, Any]]:
        """For each input {"label", "probabilities": {label: p}}, as CONTRACT has it; of numbers, their "values" too."""
        width = len(self.labels)
        rows = (
            self.probabilities[start : start + width] for start in range(0, len(self.probabilities), width)
        )
        if self.numbers:
            return [self._values(row) for row in rows]
        return [
            {
                "label": self.labels[row.index(max(row))],
                "probabilities": {
                    label: round(p, PROBABILITY_DIGITS) for label, p in zip(self.labels, row, strict=True)
                },
            }
            for row in rows
        ]

    def _values(self, row: "array[float]") -> dict[str, Any]:
        values = {
            label: float(f"{value:.{NUMBER_DIGITS}g}") for label, value in zip(self.labels, row, strict=True)
        }
        text = ", ".join(f"{value:g}" for value in values.values())
        return {"label": text, "probabilities": {}, "values": values}


def read(answer: Answer) -> Prediction:
    """The worker's answer to `Predict`. Raises `ProtocolViolation` for one that is none."""
    labels = answer.header.get("labels")
    if not isinstance(labels, list) or not labels or len(answer.body) % (4 * len(labels)):
        raise ProtocolViolation("The answer to a prediction cannot be read.")
    probabilities = array("f", answer.body)
    if sys.byteorder == "big":
        probabilities.byteswap()
    receipt = {name: answer.header.get(name) for name in RECEIPT}
    return Prediction(receipt, labels, probabilities, answer.header.get("kind") == "numbers")


def predict(client: ClusterClient, model: str, batches: Iterable[Batch]) -> Iterator[Prediction]:
    """The answers to all batches, in order, from as many workers as there are.

    The first answer says which model it is: the others are asked of that one, whatever its name stands for by then. Raises
    as `ClusterClient.call`.
    """
    remaining = iter(batches)
    pieces, body = next(remaining)
    first = read(client.call_any(Predict(model, tuple(pieces)), body, answer_s=ANSWER_S))
    yield first
    model = str(first.receipt["model"])

    def ask(batch: Batch) -> Prediction:
        pieces, body = batch
        found = read(client.call_any(Predict(model, tuple(pieces)), body, answer_s=ANSWER_S))
        if found.receipt["digest"] != first.receipt["digest"]:
            raise Refused("The model changed between two requests.", "Ask again.")
        return found

    with ThreadPoolExecutor(UNDER_WAY, "predict") as pool:
        asked: deque[Future[Prediction]] = deque()
        for batch in remaining:
            asked.append(pool.submit(ask, batch))
            if len(asked) > UNDER_WAY:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()


def file_batches(path: Path, limit: int | None) -> Iterator[Batch]:
    """The inputs of a data set's file, as arrays. Raises `Refused` for one that cannot be read."""
    from shared.datasets import load_inputs  # brings numpy: only where it is needed
    from shared.tables import load_texts, load_vectors

    vectors = load_vectors(path, str(path))
    if vectors is not None and vectors[1].normalise == "text":
        yield from _text_batches(load_texts(path, str(path))[:limit])
        return
    if vectors is not None:
        numbers = vectors[0][:limit]
        rows = max(1, min(ROWS_AT_ONCE, PREDICT_BYTES // numbers[0].nbytes))
        for start in range(0, len(numbers), rows):
            chosen = numbers[start : start + rows].astype("<f4")
            yield [PredictInput("numbers", chosen.nbytes, chosen.shape)], chosen.tobytes()
        return
    images = load_inputs(path, str(path))[:limit]
    if not len(images):
        raise Refused(f"{path} holds no images.")
    rows = max(1, min(ROWS_AT_ONCE, PREDICT_BYTES // images[0].nbytes))
    for start in range(0, len(images), rows):
        part = images[start : start + rows]
        yield [PredictInput("array", part.nbytes, part.shape)], part.tobytes()


def _text_batches(texts: list[str]) -> Iterator[Batch]:
    for start in range(0, len(texts), ROWS_AT_ONCE):
        pieces = [text.encode() for text in texts[start : start + ROWS_AT_ONCE]]
        yield [PredictInput("text", len(piece)) for piece in pieces], b"".join(pieces)
