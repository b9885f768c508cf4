"""promote: let an alias, such as digits@best, point to a model; or back to where it pointed before."""

import argparse

from backend.cli.console import Console, Outcome
from backend.cli.options import Commands, add_command, connect
from shared.errors import Refused
from shared.messages import Operation, Promote, RollBack, Ticket


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    promote = add_command(
        commands, "promote", "let an alias (digits@best) point to a trained model, or roll it back"
    )
    promote.add_argument(
        "model", metavar="MODEL", help="a model's id or NAME@VERSION; with --back the alias, NAME@ALIAS"
    )
    promote.add_argument(
        "alias", metavar="ALIAS", nargs="?", help="such as best: the model is then also NAME@best"
    )
    promote.add_argument("--back", action="store_true", help="point it to the model before")
    promote.set_defaults(run=run_promote)


def run_promote(options: argparse.Namespace, _console: Console) -> Outcome:
    """`before` in the answer is the model that the alias is taken from, null if it is new."""
    if options.back == (options.alias is not None):
        raise Refused("What to promote is not clear.", "Give a model and an alias, or --back and NAME@ALIAS.")

    def make(ticket: Ticket) -> Operation:
        if options.back:
            return RollBack(ticket, options.model)
        return Promote(ticket, options.model, options.alias)

    with connect(options) as client:
        answer = client.command(make).header
    document = {key: answer[key] for key in ("alias", "model", "before")}
    was = f", was {document['before']}" if document["before"] else ""
    return Outcome(document, f"{document['alias']} is {document['model']}{was}")
