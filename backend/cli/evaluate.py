"""evaluate: how well a model reads inputs whose labels are known."""

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect, positive_integer
from backend.cli.predict import ROWS_AT_ONCE, file_batches
from backend.predictions import predict
from shared.errors import Refused

WORST = 24
WORST_LIMIT = 1_000


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    command = add_command(commands, "evaluate", "compare what a model says with labels that are known")
    command.add_argument("model", metavar="MODEL")
    command.add_argument("--inputs", metavar="F", type=Path, required=True, help="a file of inputs")
    command.add_argument("--outputs", metavar="F", type=Path, required=True, help="a file of their labels")
    command.add_argument(
        "--worst",
        metavar="N",
        type=positive_integer,
        default=WORST,
        help=f"errors to show (default: {WORST})",
    )
    command.add_argument(
        "--picture", metavar="F.png", type=Path, help="also draw confusion matrix and errors"
    )
    command.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace, console: Console) -> Outcome:
    """All images are predicted on the same weights; the receipt is that of the last request."""
    import numpy as np  # only where it is needed

    from backend.evaluation import check_counts, draw, evaluate
    from shared.datasets import load_inputs, load_outputs

    known = load_outputs(options.outputs, str(options.outputs))
    parts: list[Any] = []
    receipt: dict[str, Any] = {}
    labels: list[str] = []
    with connect(options) as client:
        for found in predict(client, options.model, file_batches(options.inputs, None)):
            if found.numbers:
                raise Refused(f"{options.model} says numbers, not labels.", "Its test set tells how well.")
            receipt, labels = found.receipt, found.labels
            parts.append(np.array(found.probabilities).reshape(-1, len(labels)))
            if len(parts[0]) >= ROWS_AT_ONCE:
                console.progress.update(f"{sum(map(len, parts)):,} predicted")
    probabilities = np.concatenate(parts)
    check_counts(len(probabilities), len(known))
    evaluation = evaluate(known, labels, probabilities, min(options.worst, WORST_LIMIT))
    if options.picture is not None:
        draw(evaluation, load_inputs(options.inputs, str(options.inputs)), options.picture)
    return Outcome(receipt | evaluation.public(), _text(evaluation.public(), receipt))


def _text(found: dict[str, Any], receipt: dict[str, Any]) -> str:
    rows = [
        (label, str(sum(counts)), percent(counts[place] / sum(counts)) if sum(counts) else None)
        for place, (label, counts) in enumerate(zip(found["labels"], found["confusion"], strict=True))
    ]
    errors = [
        (str(error["image"]), error["label"], error["said"], percent(error["probability"]))
        for error in found["worst"]
    ]
    pieces = [
        f"{percent(found['accuracy'])} of {found['images']:,} images are read rightly",
        table(("LABEL", "IMAGES", "RIGHT"), rows),
    ]
    if errors:
        pieces.append(table(("IMAGE", "LABEL", "SAID", "PROBABILITY"), errors))
    pieces.append(printable(f"model {receipt['model']}  {short(receipt['digest'])}"))
    return "\n\n".join(pieces)
