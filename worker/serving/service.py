"""The node's side of prediction: one predictor process, which models it has loaded, and micro-batches.

What is asked of the same model while the predictor is busy leaves in one call: so many clients cost few hand-overs. The
predictor runs a fixed number of rows at a time, so an answer does not depend on those that travel with it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError, Refused, Unreachable, from_failure
from shared.messages import PREDICT_BYTES
from worker.children import Children
from worker.loop import Loop
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow

QUEUE_LIMIT = 4_096
QUEUE_BYTES = 128 * 1_048_576
"""Predictions, and bytes of their inputs, that may be under way at once."""
LARGE_IMAGES = 128
"""A prediction of so many is received while another one is computed; smaller ones wait, and gather."""
BATCH_IMAGES = 512
"""What one call gathers; a prediction of more images than this travels alone."""
FLOAT_BYTES = 4
FindBlob = Callable[[Blob, Callable[[str | MinkaError], None]], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Of one prediction: (form, size in bytes, shape) of each piece of `body`, and how many images they say they are."""

    pieces: Sequence[tuple[str, int, Sequence[int]]]
    images: int
    body: bytes

    @property
    def weight(self) -> int:
        """Its part of a call's limit, whatever it says."""
        return max(self.images, len(self.pieces))


NOTHING = Inputs((), 0, b"")
"""Of who only wants a model loaded."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the predictor answered; `probabilities` is little-endian float32 [images, labels]."""

    images: int
    probabilities: bytes
    inputs: str
    """SHA-256 of the inputs' bytes."""
    digest: str
    """SHA-256 of the probabilities."""
    best: int
    """The likeliest label of the first image, and its probability."""
    probability: float


Predicted = Callable[[Prediction | MinkaError], None]


@dataclass(slots=True)
class _Wanted:
    model: ModelRow
    weights: Blob
    inputs: Inputs
    done: Predicted
    attempts: int = 0


class PredictionService:
    """Predictions on fixed model bits: a model is loaded by the digest of its weights before it is asked."""

    def __init__(
        self, loop: Loop, children: Children, environment: Mapping[str, str], blob_path: FindBlob
    ) -> None:
        self._loop = loop
        self._blob_path = blob_path
        self._loaded: set[str] = set()
        self._loading: dict[str, list[_Wanted]] = {}
        """Digest of the weights -> who waits for them to be loaded."""
        self._waiting: deque[_Wanted] = deque()
        """For a predictor to join."""
        self._queues: OrderedDict[str, deque[_Wanted]] = OrderedDict()
        """Digest of loaded weights -> who waits for the next call; models take turns."""
        self._calls = 0
        self._sending = False
        self._open = self._open_bytes = 0
        self._child = children.add("predictor", "worker.serving.predictor", {}, environment)
        self._child.joined = self._joined
        self._child.left = self._left
        self._child.start()

    def predict(self, model: ModelRow, inputs: Inputs, done: Predicted) -> None:
        """Run `model`, which is done, on these inputs."""
        assert model.weights is not None
        size_bytes = len(inputs.body)
        if self._open >= QUEUE_LIMIT or self._open_bytes + size_bytes > QUEUE_BYTES:
            done(Busy("Too many predictions wait on this worker.", "Try again."))
            return
        self._open += 1
        self._open_bytes += size_bytes

        def counted(answer: Prediction | MinkaError) -> None:
            self._open -= 1
            self._open_bytes -= size_bytes
            done(answer)

        self._ask(_Wanted(model, model.weights, inputs, counted))

    def warm(self, model: ModelRow) -> None:
        """Load `model`, which will be asked for soon."""
        assert model.weights is not None
        if self._child.connection is not None and model.weights.digest not in self._loaded:
            self._load_first(_Wanted(model, model.weights, NOTHING, lambda _: None))

    def _joined(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for wanted in waiting:
            self._ask(wanted)

    def _left(self, _: MinkaError) -> None:
        """What was not sent yet waits for the next process."""
        self._loaded.clear()
        for queue in self._queues.values():
            self._waiting += queue
        self._queues.clear()

    def _ask(self, wanted: _Wanted) -> None:
        digest = wanted.weights.digest
        if self._child.connection is None:
            self._waiting.append(wanted)
        elif digest not in self._loaded:
            self._load_first(wanted)
        else:
            self._queues.setdefault(digest, deque()).append(wanted)
            self._send_soon()

    # --- loading

    def _load_first(self, wanted: _Wanted) -> None:
        waiting = self._loading.setdefault(wanted.weights.digest, [])
        waiting.append(wanted)
        if len(waiting) == 1:
            self._blob_path(wanted.weights, lambda path: self._load(wanted, path))

    def _load(self, wanted: _Wanted, path: str | MinkaError) -> None:
        connection = self._child.connection
        if isinstance(path, MinkaError) or connection is None:
            self._load_ended(wanted, path if isinstance(path, MinkaError) else Unreachable("It has ended."))
            return
        model = wanted.model
        fields = {
            "model": wanted.weights.digest,
            "spec": model.spec,
            "labels": len(model.facts["labels"]),
            "path": path,
        }

        def loaded(answer: dict[str, Any] | MinkaError, _: bytes) -> None:
            if not isinstance(answer, MinkaError) and self._child.connection is connection:
                self._loaded.add(wanted.weights.digest)
                self._loaded.difference_update(answer.get("dropped", ()))
            self._load_ended(wanted, answer)

        connection.call("load", fields, b"", loaded)

    def _load_ended(self, wanted: _Wanted, answer: dict[str, Any] | MinkaError) -> None:
        for waiting in self._loading.pop(wanted.weights.digest):
            if isinstance(answer, MinkaError):
                self._failed(waiting, answer)
            elif waiting.inputs is not NOTHING:
                self._ask(waiting)

    # --- micro-batches

    def _send_soon(self) -> None:
        """At the end of the turn, so that what came in it travels together."""
        if not self._sending:
            self._sending = True
            self._loop.at_turns_end(self._send)

    def _send(self) -> None:
        self._sending = False
        while self._queues and self._calls < self._calls_wanted():
            digest, queue = self._queues.popitem(last=False)
            batch = _gather(queue)
            if queue:
                self._queues[digest] = queue
            self._call(digest, batch)

    def _calls_wanted(self) -> int:
        """At the predictor at once."""
        return 2 if next(iter(self._queues.values()))[0].inputs.images >= LARGE_IMAGES else 1

    def _call(self, digest: str, batch: list[_Wanted]) -> None:
        connection = self._child.connection
        assert connection is not None, "the queues are empty without one"
        self._calls += 1
        fields = {"model": digest, "predictions": [wanted.inputs.pieces for wanted in batch]}
        body = b"".join([wanted.inputs.body for wanted in batch])

        def came(answer: dict[str, Any] | MinkaError, probabilities: bytes) -> None:
            self._calls -= 1
            self._send_soon()
            if isinstance(answer, MinkaError):
                for wanted in batch:
                    self._failed(wanted, answer)
            else:
                self._came(batch, answer["answers"], probabilities)

        connection.call("predict", fields, body, came)

    def _came(self, batch: list[_Wanted], answers: list[dict[str, Any]], probabilities: bytes) -> None:
        offset = 0
        for wanted, answer in zip(batch, answers, strict=True):
            if "failure" in answer:
                wanted.done(from_failure(answer["failure"]))
                continue
            end = offset + answer["size_bytes"]
            part = probabilities if len(batch) == 1 else probabilities[offset:end]
            offset = end
            about = (answer["inputs"], answer["digest"], answer["best"], answer["probability"])
            wanted.done(Prediction(wanted.inputs.images, part, *about))

    def _failed(self, wanted: _Wanted, error: MinkaError) -> None:
        """Predictions are pure: one whose process died, or whose model had just been dropped, is run again, once."""
        died = isinstance(error, Unreachable)
        dropped = isinstance(error, Refused) and wanted.weights.digest not in self._loaded
        if (died or dropped) and wanted.attempts < 1 and wanted.inputs is not NOTHING:
            wanted.attempts += 1
            self._ask(wanted)
        else:
            wanted.done(error)


def _gather(queue: deque[_Wanted]) -> list[_Wanted]:
    """The next micro-batch. What was under way when a process died travels alone: it may be the reason."""
    first = queue.popleft()
    batch, images, size_bytes = [first], first.inputs.weight, len(first.inputs.body)
    room = min(BATCH_IMAGES, PREDICT_BYTES // (FLOAT_BYTES * len(first.model.facts["labels"])))
    while queue and not (first.attempts or queue[0].attempts):
        following = queue[0].inputs
        images += following.weight
        size_bytes += len(following.body)
        if images > room or size_bytes > PREDICT_BYTES:
            break
        batch.append(queue.popleft())
    return batch
