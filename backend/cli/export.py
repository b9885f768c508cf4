"""export: a model's weights as a file of NumPy."""

import argparse
from pathlib import Path

from backend.cli.console import Console, Outcome, short, size
from backend.cli.options import Commands, add_command, connect
from backend.cli.progress import TransferMeter
from backend.cli.train import show_model
from backend.transfers import fetch
from shared.errors import Refused


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    export = add_command(commands, "export", "write the weights of a model to a file of NumPy (NPZ)")
    export.add_argument("model", metavar="MODEL")
    export.add_argument("-o", "--output", metavar="F.npz", type=Path, required=True)
    export.set_defaults(run=run_export)


def run_export(options: argparse.Namespace, console: Console) -> Outcome:
    """The digest in the answer is that of the weights, as in `minka show`, not of the file."""
    with connect(options) as client:
        row = show_model(client, options.model)
        if row["digest"] is None:
            raise Refused(
                f"{row['id']} is {row['status']}: it has no weights yet.", f'See "minka show {row["id"]}".'
            )
        meter = TransferMeter(console.progress, f"downloading the weights of {row['id']}")
        blob = fetch(client, row["digest"], row["bytes"], meter)
    from backend.weights import write_npz  # brings numpy: only where it is needed

    arrays = write_npz(row, blob, options.output)
    size_bytes = options.output.stat().st_size
    document = {"path": str(options.output), "bytes": size_bytes, "digest": row["digest"], "arrays": arrays}
    return Outcome(document, f"{options.output}  {size(size_bytes)}  weights {short(row['digest'])}")
