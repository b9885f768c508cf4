"""evaluate: how well a model reads inputs whose labels are known."""

import argparse
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect, positive_integer
from backend.predictions import FILES_AT_ONCE

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
    """`index` in the answer is where the evaluation is kept in the log."""
    from backend.evaluation import draw, evaluate_files, note  # brings numpy: only where it is needed
    from shared.datasets import load_inputs

    def progress(done: int) -> None:
        if done >= FILES_AT_ONCE:
            console.progress.update(f"{done:,} predicted")

    with connect(options) as client:
        worst = min(options.worst, WORST_LIMIT)
        receipt, found = evaluate_files(
            client, options.model, options.inputs, options.outputs, worst, progress
        )
        receipt["index"] = note(client, receipt["model"], options.inputs.name, found)
    if options.picture is not None:
        draw(found, load_inputs(options.inputs, str(options.inputs)), options.picture)
    return Outcome(receipt | found.public(), _text(found.public(), receipt))


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
