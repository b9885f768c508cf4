"""The node's side of prediction: one predictor process, and which models it has loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError, Unreachable
from worker.children import Children
from worker.connections import Done
from worker.loop import Loop
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow

QUEUE_LIMIT = 1_024
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
    """Predictions on fixed model bits: a finished model never changes, and is loaded before it is asked."""

    def __init__(
        self, loop: Loop, children: Children, environment: Mapping[str, str], blob_path: FindBlob
    ) -> None:
        self._loop = loop
        self._blob_path = blob_path
        self._loaded: set[str] = set()
        self._waiting: list[_Wanted] = []
        self._child = children.add("predictor", "worker.serving.predictor", {}, environment)
        self._child.joined = self._joined
        self._child.left = lambda error: self._loaded.clear()
        self._child.start()

    def predict(self, model: ModelRow, fields: dict[str, Any], body: bytes, done: Done) -> None:
        """Run `model`, which is done, on the inputs that `fields` and `body` describe; `done` hears the outputs."""
        assert model.weights is not None
        self._ask(_Wanted(model, model.weights, fields, body, done))

    def _joined(self) -> None:
        waiting, self._waiting = self._waiting, []
        for wanted in waiting:
            self._ask(wanted)

    def _ask(self, wanted: _Wanted) -> None:
        connection = self._child.connection
        if connection is None:
            if len(self._waiting) >= QUEUE_LIMIT:
                wanted.done(Busy("Too many predictions wait on this worker.", "Try again."), b"")
            else:
                self._waiting.append(wanted)
            return
        if wanted.model.id not in self._loaded:
            self._blob_path(wanted.weights, lambda path: self._load(wanted, path))
            return
        fields = {"model": wanted.model.id, **wanted.fields}
        connection.call("predict", fields, wanted.body, lambda answer, body: self._came(wanted, answer, body))

    def _load(self, wanted: _Wanted, path: str | MinkaError) -> None:
        if isinstance(path, MinkaError):
            wanted.done(path, b"")
            return
        connection = self._child.connection
        if connection is None:
            self._ask(wanted)
            return
        model = wanted.model
        fields = {
            "model": model.id,
            "spec": model.spec,
            "labels": model.facts["labels"],
            "path": path,
        }

        def loaded(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if isinstance(answer, MinkaError):
                self._came(wanted, answer, body)
                return
            self._loaded.add(model.id)
            for gone in answer.get("dropped", ()):
                self._loaded.discard(gone)
            self._ask(wanted)

        connection.call("load", fields, b"", loaded)

    def _came(self, wanted: _Wanted, answer: dict[str, Any] | MinkaError, body: bytes) -> None:
        if isinstance(answer, Unreachable) and wanted.attempts < 1:
            wanted.attempts += 1  # the process died; predictions are pure, so the next one may run it again
            self._ask(wanted)
        else:
            wanted.done(answer, body)
