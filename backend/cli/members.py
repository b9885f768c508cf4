"""member add · member remove · leader transfer."""

import argparse
from collections.abc import Callable
from typing import Any

from backend.addresses import format_address, parse_address
from backend.cli.console import Console, Outcome, table
from backend.cli.options import Commands, add_command, connect
from backend.client import Answer, ClusterClient
from shared.messages import AddMember, RemoveMember, TransferLeader

CHANGE_ANSWER_S = 75.0
"""A new worker is one of the voters only when it holds all that the cluster holds."""


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    member = commands.add_parser("member", help="the workers that belong to the cluster").add_subparsers(
        metavar="COMMAND", required=True
    )
    add = add_command(member, "add", "take in a worker that was started with an empty directory")
    add.add_argument("id", metavar="ID")
    add.add_argument("address", metavar="HOST:PORT", type=_address)
    add.set_defaults(run=run_add)
    remove = add_command(member, "remove", "let a worker go; the others keep everything")
    remove.add_argument("id", metavar="ID")
    remove.set_defaults(run=run_remove)

    leader = commands.add_parser("leader", help="who leads").add_subparsers(metavar="COMMAND", required=True)
    transfer = add_command(leader, "transfer", "hand leadership to a worker")
    transfer.add_argument("id", metavar="ID")
    transfer.set_defaults(run=run_transfer)


def run_add(options: argparse.Namespace, console: Console) -> Outcome:
    """Returns when the new worker holds everything and votes."""
    console.progress.update(f"{options.id} takes over all that the cluster holds …")
    request = AddMember(options.id, options.address)
    return _changed(options, lambda client: client.call(request, answer_s=CHANGE_ANSWER_S))


def run_remove(options: argparse.Namespace, _console: Console) -> Outcome:
    """Returns when the others go on without it."""

    def remove(client: ClusterClient) -> Answer:
        return client.command(lambda ticket: RemoveMember(ticket, options.id), answer_s=CHANGE_ANSWER_S)

    return _changed(options, remove)


def run_transfer(options: argparse.Namespace, _console: Console) -> Outcome:
    """Returns when that worker leads."""
    request = TransferLeader(options.id)
    return _changed(options, lambda client: client.call(request, answer_s=CHANGE_ANSWER_S))


def _changed(options: argparse.Namespace, change: Callable[[ClusterClient], Answer]) -> Outcome:
    with connect(options) as client:
        answer = change(client).header
        # A leader that was removed does not know who leads after it.
        leader = answer["leader"] or client.status()["leader"]
    members: list[dict[str, Any]] = answer["members"]
    shown = [(row["id"], row["address"], "leader" if row["id"] == leader else _part(row)) for row in members]
    document = {"members": members, "leader": leader}
    return Outcome(document, table(("WORKER", "ADDRESS", "PART"), shown))


def _part(row: dict[str, Any]) -> str:
    return "voter" if row["voter"] else "learner"


def _address(text: str) -> str:
    """Checked here, so that a slip is wrong usage."""
    try:
        return format_address(parse_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
