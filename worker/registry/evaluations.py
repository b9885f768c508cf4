"""What somebody has found a model to be worth: checked before it is kept with the model, for everyone to see."""

from typing import Any

from shared.errors import Refused
from shared.evaluations import CONFUSION_LABELS, KEPT_LABEL_CHARACTERS, WORST_KEPT, Evaluation
from shared.fields import encode
from shared.messages import NAME_CHARACTERS
from worker.registry.commands import NoteEvaluation


def checked(command: NoteEvaluation, index: int, client: str, time_ms: int) -> dict[str, Any]:
    """The evaluation as JSON, with who told of it, where in the log, and when.

    Raises `Refused` for one that is too large, or that contradicts itself.
    """
    found = command.evaluation
    labels, confusion = found.labels, found.confusion
    if len(labels) > CONFUSION_LABELS or len(found.worst) > WORST_KEPT:
        raise Refused(
            f"An evaluation is kept with at most {CONFUSION_LABELS} labels and {WORST_KEPT} errors.",
            "Leave out the others.",
        )
    texts = (*labels, *(text for wrong in found.worst for text in (wrong.label, wrong.said)))
    if len(found.inputs) > NAME_CHARACTERS or any(len(text) > KEPT_LABEL_CHARACTERS for text in texts):
        raise Refused(f"A label of an evaluation has at most {KEPT_LABEL_CHARACTERS} characters.")
    if not 0 <= found.accuracy <= 1 or found.images < 1:
        raise Refused("An evaluation is of at least one image, and its accuracy a part of them.")
    if len(confusion) != len(labels) or any(len(row) != len(labels) for row in confusion):
        raise Refused("A confusion matrix has a row and a column for each label.")
    if labels and sum(map(sum, confusion)) != found.images:
        raise Refused("The counts of a confusion matrix add up to the images.")
    return encode(found) | {"client": client, "time": time_ms / 1000, "index": index}


def summary(model: str, found: Evaluation) -> str:
    """The words of its record."""
    return f"{model}: {found.accuracy:.2%} of {found.images:,} right ({found.inputs})"
