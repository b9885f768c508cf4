"""The tree of commands and options."""

import argparse

from backend.cli import (
    cluster,
    desktop,
    evaluate,
    examples,
    export,
    files,
    load,
    members,
    models,
    predict,
    promote,
    records,
    trace,
    train,
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of `minka`; a parsed command has `run(options, console) -> Outcome`."""
    parser = argparse.ArgumentParser(
        prog="minka",
        description="Train image models on a group of ordinary computers, and use them.",
        epilog="Every command takes --help. "
        "Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no cluster or leader reached.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for family in (
        cluster,
        members,
        files,
        examples,
        train,
        models,
        promote,
        predict,
        evaluate,
        export,
        records,
        load,
        trace,
        desktop,
    ):
        family.add_commands(commands)
    return parser
