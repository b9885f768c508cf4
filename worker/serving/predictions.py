"""Predictions that clients ask of this worker, whether it leads or not.

A prediction runs on the weights of a model that is trained, which never change; so this worker's own state will do, and the
one round of the quorum that it takes is that of its record: at the index of that record the answer is true, and then it
leaves. (While the log has no room, it is that of a read index.) What this worker does not know (yet) is looked for again
after a read index.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared import fields
from shared.errors import MinkaError, Refused
from shared.messages import PREDICT_BYTES, PREDICT_IMAGES, Predict, PredictInput
from worker.connections import Request
from worker.serving.journal import Notes, Place
from worker.serving.service import FLOAT_BYTES, Inputs, Prediction

if TYPE_CHECKING:
    from worker.node import Node

LABEL_CHARACTERS = 40


class Predictions:
    """Answers the operation `predict`."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def answer(self, request: Request, asked: Predict) -> None:
        """Answer one request, later; raises `Refused` for one that no model could answer."""
        if len(request.body) > PREDICT_BYTES:
            raise Refused(f"A prediction takes at most {PREDICT_BYTES} bytes of inputs.", "Send fewer.")
        if sum(one.size_bytes for one in asked.inputs) != len(request.body) or not asked.inputs:
            raise Refused("The inputs' sizes do not add up to the bytes that were sent.")
        images = sum(map(images_of, asked.inputs))
        if images > PREDICT_IMAGES:
            raise Refused(f"A prediction takes at most {PREDICT_IMAGES:,} images.", "Send fewer at a time.")
        known = self._node.registry.models.get(asked.model)
        if known is not None and known.weights is not None:
            self._run(request, asked, images)
        else:
            self._node.requests.after_read(request, lambda: self._run(request, asked, images))

    def _run(self, request: Request, asked: Predict, images: int) -> None:
        model = self._node.registry.find_model(asked.model)
        if model.weights is None:
            raise Refused(f"{model.id} is {model.status}: it has no weights to predict with.")
        labels = model.facts["labels"]
        if images * len(labels) * FLOAT_BYTES > PREDICT_BYTES:
            raise Refused(
                f"The answer would have more than {PREDICT_BYTES} bytes.", "Send fewer images at a time."
            )
        kind = "numbers" if model.spec["loss"] == "squared" else "classes"
        receipt = {
            "model": model.id,
            "digest": model.weights.digest,
            "worker": self._node.settings.id,
            "labels": labels,
            "kind": kind,
        }

        def came(answer: Prediction | MinkaError) -> None:
            if isinstance(answer, MinkaError):
                self._node.requests.fail(request, answer)
                return

            def noted(found: Place | MinkaError) -> None:
                if isinstance(found, MinkaError):
                    self._node.requests.fail(request, found)
                else:
                    where = {"term": self._node.driver.leadership.term} | fields.encode(found)
                    request.reply(receipt | where, answer.probabilities)

            said = summary(model.id, kind, labels, answer, self._node.settings.id)
            self._node.journal.add(Notes((request.about.id,), (said,)), noted)

        pieces = [(one.form, one.size_bytes, one.shape) for one in asked.inputs]
        self._node.service.predict(model, Inputs(pieces, images, request.body), came)


def summary(model: str, kind: str, labels: Sequence[str], answer: Prediction, worker: str) -> str:
    """The words of a prediction's record: what was said, by which model, of what, and where."""
    if answer.images == 1 and kind == "classes":
        said = f"{labels[answer.best][:LABEL_CHARACTERS]} ({answer.probability:.1%})"
    else:
        said = f"{answer.images} answers {answer.digest}"
    return f"{model}: {said}, inputs {answer.inputs}, on {worker}"


def images_of(one: PredictInput) -> int:
    """How many inputs this says that it is. Raises `Refused` for a form that there is not."""
    if one.form in ("image", "text") and not one.shape:
        return 1
    if (one.form == "array" and len(one.shape) in (3, 4)) or (one.form == "numbers" and len(one.shape) == 2):
        return one.shape[0]
    raise Refused(
        f"There is no form of input {one.form[:20]!r} with {len(one.shape)} dimensions.",
        "Send an image, an array [n, height, width] or [n, height, width, channels], numbers [n, columns], or a text.",
    )
