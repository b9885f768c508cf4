"""export: a model's weights as a file for other programs."""

import argparse
from pathlib import Path

from backend.cli.console import Console, Outcome, short, size
from backend.cli.options import Commands, add_command, connect
from backend.cli.progress import TransferMeter
from backend.exports import FORMATS, export, trained_model


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    command = add_command(
        commands, "export", "write a model to a file for other programs: NumPy's NPZ, or ONNX"
    )
    command.add_argument("model", metavar="MODEL")
    command.add_argument("-o", "--output", metavar="F", type=Path, required=True)
    command.add_argument("--format", choices=FORMATS, default="npz", help="default: npz")
    command.set_defaults(run=run_export)


def run_export(options: argparse.Namespace, console: Console) -> Outcome:
    """The digest in the answer is that of the weights, as in `minka show`, not of the file."""
    with connect(options) as client:
        row = trained_model(client, options.model)
        meter = TransferMeter(console.progress, f"downloading the weights of {row['id']}")
        document = export(client, row, options.output, options.format, meter)
    words = (document["path"], size(document["bytes"]), f"weights {short(row['digest'])}")
    return Outcome(document, "  ".join(words))
