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
ROWS_AT_ONCE = 2_500
"""Inputs in one request: each costs a record."""
REQUESTS_WANTED = 6
"""Of fewer inputs than so many times `ROWS_AT_ONCE`, so that every worker gets some."""
ROWS_LEAST = 100
FILES_AT_ONCE = 500
"""Image files, or texts: each has its place in the header."""
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
    recorded: bool
    """Whether it is a record; not while the leader's disk is full."""

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
    numbers = answer.header.get("kind") == "numbers"
    return Prediction(receipt, labels, probabilities, numbers, answer.header.get("recorded") is not False)


def predict(client: ClusterClient, model: str, batches: Iterable[Batch]) -> Iterator[Prediction]:
    """The answers to all batches, in order, from as many workers as there are.

    Where `model` is an alias or a version, the first answer says which model it is: the others are asked of that one,
    whatever its name stands for by then. Raises as `ClusterClient.call`.
    """

    def ask(batch: Batch) -> Prediction:
        pieces, body = batch
        return read(client.call_any(Predict(model, tuple(pieces)), body, answer_s=ANSWER_S))

    remaining = iter(batches)
    first: Prediction | None = None
    if "@" in model:
        first = ask(next(remaining))
        yield first
        model = str(first.receipt["model"])
    with ThreadPoolExecutor(UNDER_WAY, "predict") as pool:
        asked: deque[Future[Prediction]] = deque()

        def answered() -> Prediction:
            nonlocal first
            found = asked.popleft().result()
            first = first or found
            if found.receipt["digest"] != first.receipt["digest"]:
                raise Refused("The model changed between two requests.", "Ask again.")
            return found

        for batch in remaining:
            asked.append(pool.submit(ask, batch))
            if len(asked) > UNDER_WAY:
                yield answered()
        while asked:
            yield answered()


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
        rows = rows_at_once(len(numbers), numbers[0].nbytes)
        for start in range(0, len(numbers), rows):
            chosen = numbers[start : start + rows].astype("<f4")
            yield [PredictInput("numbers", chosen.nbytes, chosen.shape)], chosen.tobytes()
        return
    images = load_inputs(path, str(path))[:limit]
    if not len(images):
        raise Refused(f"{path} holds no images.")
    rows = rows_at_once(len(images), images[0].nbytes)
    for start in range(0, len(images), rows):
        part = images[start : start + rows]
        yield [PredictInput("array", part.nbytes, part.shape)], part.tobytes()


def rows_at_once(inputs: int, size_bytes: int) -> int:
    """How many of so many inputs of one size go into one request."""
    wanted = min(ROWS_AT_ONCE, max(ROWS_LEAST, -(-inputs // REQUESTS_WANTED)))
    return max(1, min(wanted, PREDICT_BYTES // size_bytes))


def _text_batches(texts: list[str]) -> Iterator[Batch]:
    for start in range(0, len(texts), FILES_AT_ONCE):
        pieces = [text.encode() for text in texts[start : start + FILES_AT_ONCE]]
        yield [PredictInput("text", len(piece)) for piece in pieces], b"".join(pieces)
