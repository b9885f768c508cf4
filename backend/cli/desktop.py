"""desktop: the window."""

import argparse

from backend.cli.console import Console, Outcome
from backend.cli.options import Commands, add_cluster, add_command


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    desktop = add_command(commands, "desktop", "open the window", cluster=False)
    add_cluster(desktop)
    desktop.add_argument("--browser", action="store_true", help="open it as a page of the browser instead")
    desktop.set_defaults(run=run_desktop)


def run_desktop(options: argparse.Namespace, _console: Console) -> Outcome:
    """Returns when the window is closed."""
    from backend import window  # brings the web view: only where it is needed

    code = window.main(options.cluster, options.keys, browser=options.browser)
    return Outcome({}, failure=None if code == 0 else "The window ended with an error.")
