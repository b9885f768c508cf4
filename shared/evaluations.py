"""What a model was found to be worth, as it is kept with it."""

from dataclasses import dataclass

CONFUSION_LABELS = 36
"""The most labels whose confusion matrix is kept with a model: it travels in each row of a list."""

WORST_KEPT = 12
"""The most errors of an evaluation that are kept with a model."""

KEPT_LABEL_CHARACTERS = 64
"""The most characters of a label in such an evaluation."""


@dataclass(frozen=True, slots=True)
class WrongAnswer:
    """Input number `image` shows `label`, and the model said something else, with this probability."""

    image: int
    label: str
    said: str
    probability: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a model said of inputs whose labels are known.

    `confusion`: how many of a label (row) were taken for which label (column), both in the order of `labels`. With more
    than `CONFUSION_LABELS` labels both are empty: the numbers are kept, the matrix is not.
    """

    inputs: str
    """What the file of inputs is called."""
    images: int
    accuracy: float
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    worst: tuple[WrongAnswer, ...] = ()
    """The errors, the surest first, at most `WORST_KEPT`."""
