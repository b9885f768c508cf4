"""The node's side of prediction: one predictor process, and which models it has loaded."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError, Refused, Unreachable
from worker.children import Children
from worker.connections import Done
from worker.loop import Loop
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow

QUEUE_LIMIT = 1_024
QUEUE_BYTES = 128 * 1_048_576
"""Predictions, and bytes of their inputs, that may be under way at once."""
FindBlob = Callable[[Blob, Callable[[str | MinkaError], None]], None]


@dataclass(slots=True)
class _Wanted:
    model: ModelRow
    weights: Blob
    fields: dict[str, Any]
    body: bytes
    done: Done
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
        self._open = self._open_bytes = 0
        self._child = children.add("predictor", "worker.serving.predictor", {}, environment)
        self._child.joined = self._joined
        self._child.left = lambda error: self._loaded.clear()
        self._child.start()

    def predict(self, model: ModelRow, fields: dict[str, Any], body: bytes, done: Done) -> None:
        """Run `model`, which is done, on the inputs that `fields` and `body` describe; `done` hears the outputs."""
        assert model.weights is not None
        if self._open >= QUEUE_LIMIT or self._open_bytes + len(body) > QUEUE_BYTES:
            done(Busy("Too many predictions wait on this worker.", "Try again."), b"")
            return
        self._open += 1
        self._open_bytes += len(body)

        def counted(answer: dict[str, Any] | MinkaError, output: bytes) -> None:
            self._open -= 1
            self._open_bytes -= len(body)
            done(answer, output)

        self._ask(_Wanted(model, model.weights, fields, body, counted))

    def _joined(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for wanted in waiting:
            self._ask(wanted)

    def _ask(self, wanted: _Wanted) -> None:
        connection = self._child.connection
        if connection is None:
            self._waiting.append(wanted)
        elif wanted.weights.digest not in self._loaded:
            self._load_first(wanted)
        else:
            fields = {"model": wanted.weights.digest, **wanted.fields}
            connection.call(
                "predict", fields, wanted.body, lambda answer, body: self._came(wanted, answer, body)
            )

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
            "labels": model.facts["labels"],
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
                self._came(waiting, answer, b"")
            else:
                self._ask(waiting)

    def _came(self, wanted: _Wanted, answer: dict[str, Any] | MinkaError, body: bytes) -> None:
        """Predictions are pure: one whose process died, or whose model had just been dropped, is run again, once."""
        died = isinstance(answer, Unreachable)
        dropped = isinstance(answer, Refused) and wanted.weights.digest not in self._loaded
        if (died or dropped) and wanted.attempts < 1:
            wanted.attempts += 1
            self._ask(wanted)
        else:
            wanted.done(answer, body)
