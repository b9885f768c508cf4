"""records: what the cluster has decided, in order."""

import argparse
from typing import Any

from backend.cli.console import Console, Outcome, moment, printable, table
from backend.cli.options import Commands, add_command, connect, positive_integer
from shared.errors import Refused
from shared.messages import Records

TAIL = 20
FOLLOW_S = 5.0
KEYS = ("record", "index", "time", "client", "kind", "summary")


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    records = add_command(commands, "records", "show the latest records")
    records.add_argument(
        "--tail", metavar="N", type=positive_integer, default=TAIL, help=f"how many (default: {TAIL})"
    )
    records.add_argument(
        "--follow", action="store_true", help="go on with new ones until Ctrl-C; not with --json"
    )
    records.set_defaults(run=run_records)


def run_records(options: argparse.Namespace, console: Console) -> Outcome:
    """The last so many, oldest first."""
    if options.follow and options.json:
        raise Refused("Records that go on for ever are no JSON document.", "Leave out --follow or --json.")
    with connect(options) as client:
        answer = client.call(Records(tail=options.tail)).header
        rows = answer["records"]
        if not options.follow:
            text = table(("RECORD", "TIME", "CLIENT", "KIND", "SUMMARY"), [_row(row) for row in rows])
            document = {"records": [{key: row[key] for key in KEYS} for row in rows]}
            return Outcome(document, text if rows else "no records yet")
        try:
            while True:
                for row in rows:
                    record, *rest = _row(row)
                    console.show("  ".join([f"{record:>6}", *(printable(str(text)) for text in rest)]))
                after = rows[-1]["record"] if rows else answer["last"]
                answer = client.call(Records(after, wait_s=FOLLOW_S)).header
                rows = answer["records"]
        except KeyboardInterrupt:
            return Outcome({})


def _row(row: dict[str, Any]) -> tuple[int, str, str, str, str]:
    return row["record"], moment(row["time"]), row["client"], row["kind"], row["summary"]
