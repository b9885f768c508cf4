"""predict: images to a model, its answers back."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect, positive_integer
from backend.predictions import FILES_AT_ONCE, Batch, file_batches, predict
from shared.errors import Refused
from shared.messages import PREDICT_BYTES, PredictInput


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    command = add_command(
        commands, "predict", "let a model say what images show, or what follows from numbers or texts"
    )
    command.add_argument("model", metavar="MODEL")
    command.add_argument("images", metavar="IMAGE", type=Path, nargs="*", help="image files (PNG, JPEG, …)")
    command.add_argument(
        "--inputs",
        metavar="F",
        type=Path,
        help="a file of many inputs like those that it learned from, instead",
    )
    command.add_argument("--limit", metavar="N", type=positive_integer, help="only the first N of --inputs")
    command.set_defaults(run=run_predict)


def run_predict(options: argparse.Namespace, console: Console) -> Outcome:
    """Many inputs travel in several requests; the answer is one, with the receipt of the last."""
    if bool(options.images) == (options.inputs is not None):
        raise Refused("What to predict is not clear.", "Name image files, or one file with --inputs.")
    names = [path.name for path in options.images]
    batches = (
        _image_batches(options.images) if options.images else file_batches(options.inputs, options.limit)
    )
    outputs: list[dict[str, Any]] = []
    receipt: dict[str, Any] = {}
    recorded = True
    with connect(options) as client:
        try:
            for found in predict(client, options.model, batches):
                receipt = found.receipt
                recorded = recorded and found.recorded
                outputs += found.outputs()
                if len(outputs) >= FILES_AT_ONCE:
                    console.progress.update(f"{len(outputs):,} predicted")
        except Refused as refusal:
            raise _explained(refusal, options.images) from refusal
    rows = [
        _row(names[position] if names else str(position), output) for position, output in enumerate(outputs)
    ]
    text = table(("INPUT", "LABEL", "PROBABILITY", "NEXT"), rows)
    read = f"read at index {receipt['index']}, answered by {receipt['worker']}"
    note = printable(f"model {receipt['model']}  {short(receipt['digest'])}  {read}")
    if not recorded:
        note += "\nnot every answer is a record: the leader's disk is full"
    document = {**receipt, "outputs": outputs} | ({} if recorded else {"recorded": False})
    return Outcome(document, f"{text}\n\n{note}")


def _explained(refusal: Refused, paths: list[Path]) -> Refused:
    """`refusal`, or which of the images is its reason."""
    from shared.images import decode  # brings pillow: only where it is needed

    for path in paths:
        try:
            decode(path.read_bytes())
        except Refused as why:
            return Refused(f"{path}: {why.reason}", why.advice)
        except OSError:
            continue
    return refusal


def _image_batches(paths: list[Path]) -> Iterator[Batch]:
    """The files' bytes as they are, as many at once as fit into a request. Raises `Refused`."""
    pieces: list[PredictInput] = []
    body = b""
    for path in paths:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror or error}.") from error
        if len(content) > PREDICT_BYTES:
            raise Refused(f"{path} has more than {PREDICT_BYTES // 2**20} MiB.", "Make it smaller.")
        if pieces and (len(body) + len(content) > PREDICT_BYTES or len(pieces) == FILES_AT_ONCE):
            yield pieces, body
            pieces, body = [], b""
        pieces.append(PredictInput("image", len(content)))
        body += content
    yield pieces, body


def _row(name: str, output: dict[str, Any]) -> tuple[str, str, str | None, str]:
    ranked = sorted(output["probabilities"].items(), key=lambda pair: -pair[1])
    following = ", ".join(f"{label} {percent(part)}" for label, part in ranked[1:3])
    return name, output["label"], percent(output["probabilities"].get(output["label"])), following
