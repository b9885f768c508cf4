"""example: images with their labels, one by one, into a data set that grows."""

import argparse
from pathlib import Path

from backend.cli.console import Console, Outcome, printable
from backend.cli.files import checked_file
from backend.cli.options import Commands, add_command, connect
from backend.transfers import add_example
from shared.errors import Refused


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    example = commands.add_parser("example", help="let a data set grow, one example at a time")
    actions = example.add_subparsers(title="actions", metavar="ACTION", required=True)
    add = add_command(actions, "add", "add one image with its label to a data set")
    add.add_argument("--dataset", metavar="NAME", required=True, help="made with its first example")
    add.add_argument("--image", metavar="PATH", type=Path, required=True)
    add.add_argument("--label", metavar="L", required=True)
    add.set_defaults(run=run_add)


def run_add(options: argparse.Namespace, _console: Console) -> Outcome:
    """What is no image is refused here, before anything is sent."""
    from shared.images import decode  # brings numpy: only where it is needed

    checked_file(options.image)
    try:
        decode(options.image.read_bytes())
    except Refused as error:
        raise Refused(f"{options.image}: {error.reason}", error.advice) from error
    with connect(options) as client:
        added = add_example(client, options.image, options.dataset, options.label)
    text = f"record {added['record']}: {printable(options.label)} in {printable(options.dataset)}"
    return Outcome(added, text)
