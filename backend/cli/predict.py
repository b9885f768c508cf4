"""predict: images to a model, its answers back."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect, positive_integer
from backend.predictions import Batch, predict
from shared.errors import Refused
from shared.messages import PREDICT_BYTES, PredictInput

ROWS_AT_ONCE = 500
"""Inputs in one request, so that every worker gets some."""


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
    with connect(options) as client:
        try:
            for found in predict(client, options.model, batches):
                receipt = found.receipt
                outputs += found.outputs()
                if len(outputs) >= ROWS_AT_ONCE:
                    console.progress.update(f"{len(outputs):,} predicted")
        except Refused as refusal:
            raise _explained(refusal, options.images) from refusal
    rows = [
        _row(names[position] if names else str(position), output) for position, output in enumerate(outputs)
    ]
    text = table(("INPUT", "LABEL", "PROBABILITY", "NEXT"), rows)
    read = f"read at index {receipt['index']}, answered by {receipt['worker']}"
    note = printable(f"model {receipt['model']}  {short(receipt['digest'])}  {read}")
    return Outcome({**receipt, "outputs": outputs}, f"{text}\n\n{note}")


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
        if pieces and (len(body) + len(content) > PREDICT_BYTES or len(pieces) == ROWS_AT_ONCE):
            yield pieces, body
            pieces, body = [], b""
        pieces.append(PredictInput("image", len(content)))
        body += content
    yield pieces, body


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
        rows = max(1, min(ROWS_AT_ONCE, PREDICT_BYTES // numbers[0].nbytes))
        for start in range(0, len(numbers), rows):
            chosen = numbers[start : start + rows].astype("<f4")
            yield [PredictInput("numbers", chosen.nbytes, chosen.shape)], chosen.tobytes()
        return
    images = load_inputs(path, str(path))[:limit]
    if not len(images):
        raise Refused(f"{path} holds no images.")
    rows = max(1, min(ROWS_AT_ONCE, PREDICT_BYTES // images[0].nbytes))
    for start in range(0, len(images), rows):
        part = images[start : start + rows]
        yield [PredictInput("array", part.nbytes, part.shape)], part.tobytes()


def _text_batches(texts: list[str]) -> Iterator[Batch]:
    for start in range(0, len(texts), ROWS_AT_ONCE):
        pieces = [text.encode() for text in texts[start : start + ROWS_AT_ONCE]]
        yield [PredictInput("text", len(piece)) for piece in pieces], b"".join(pieces)


def _row(name: str, output: dict[str, Any]) -> tuple[str, str, str | None, str]:
    ranked = sorted(output["probabilities"].items(), key=lambda pair: -pair[1])
    following = ", ".join(f"{label} {percent(part)}" for label, part in ranked[1:3])
    return name, output["label"], percent(output["probabilities"].get(output["label"])), following
