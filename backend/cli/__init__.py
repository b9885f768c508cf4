"""The command line: `minka COMMAND ...`. One module for each family of commands."""

import sys
from collections.abc import Sequence

from backend.cli.console import Console
from backend.cli.parser import build_parser
from shared.errors import MinkaError, TimedOut, Unreachable

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNREACHABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code: 0 done, 1 refused or failed, 2 wrong usage, 3 no cluster or leader."""
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as ended:  # argparse has said why
        return EXIT_DONE if not ended.code else EXIT_USAGE
    console = Console(sys.stdout, sys.stderr, json=options.json)
    try:
        outcome = options.run(options, console)
    except MinkaError as error:
        console.failed(error)
        return EXIT_UNREACHABLE if isinstance(error, Unreachable | TimedOut) else EXIT_FAILED
    except KeyboardInterrupt:
        console.say("interrupted.")
        return EXIT_INTERRUPTED
    console.answer(outcome)
    return EXIT_DONE if outcome.failure is None else EXIT_FAILED
