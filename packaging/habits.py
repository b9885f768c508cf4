"""The commands of `dev.py`: what each installs, and what it runs."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence

import debian
import demo
import environment
import package
import simulate
from terminal import Terminal

BENCHES: Mapping[str, tuple[str, ...]] = {
    "commit": ("test",),
    "drawn": ("test",),
    "files": ("test",),
    "monitor": ("test",),
    "serving": ("test", "bench"),
    "soak": ("test",),
    "links": ("test",),
    "training": ("test", "bench"),
}
"""What each installs."""
CHECKS = (
    ("layout", ("-m", "ruff", "format", "--check", "--quiet", ".")),
    ("lint", ("-m", "ruff", "check", "--quiet", ".")),
    ("types", ("-m", "mypy", "--strict")),
)


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code: 0 well, 1 failed, 2 wrong usage, 130 interrupted."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in ("test", "bench", "screenshots"):
        parser.error(f"unrecognised: {' '.join(rest)}")
    terminal = Terminal(sys.stdout)
    try:
        if options.command == "setup":
            return _setup(options.extras, terminal)
        if options.command == "demo":
            return _demo(terminal, window=not options.no_window, keep=options.keep)
        if options.command == "bench":
            return _bench(options.what, rest)
        if options.command == "simulate":
            return simulate.run(options, terminal)
        if options.command == "package":
            return package.run(options, terminal)
        if options.command == "screenshots":
            return _screenshots(options.folder, rest, terminal)
        if options.command == "test":
            return _test(rest, terminal)
        return _check(terminal)
    except (environment.SetupFailed, debian.MissingPackages, demo.DemoFailed, package.PackageFailed) as error:
        terminal.clear()
        print(f"dev.py {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        terminal.line("interrupted; nothing was left running")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py", description="Every habit of this project, one command each."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    setup = commands.add_parser("setup", help="make .venv with minka and minka-worker in it")
    setup.add_argument(
        "--extras", default="", help="also what these need, as in pyproject.toml: test,desktop"
    )
    shown = commands.add_parser("demo", help="three workers train on real images, here, in a minute")
    shown.add_argument("--no-window", action="store_true", help="do not open the desktop window at the end")
    shown.add_argument("--keep", action="store_true", help="leave the cluster running")
    commands.add_parser("test", help="install what the tests need, and run them; takes the options of pytest")
    bench = commands.add_parser("bench", help="measure, beside the machine's own floor and peers")
    bench.add_argument("what", choices=tuple(BENCHES))
    pictures = commands.add_parser(
        "screenshots", help="a picture of every page of the window, light and dark"
    )
    pictures.add_argument("--folder", default="docs/pictures", help="where they go (default: docs/pictures)")
    simulate.add_options(commands.add_parser("simulate", help="whole clusters under faults, seed after seed"))
    package.add_options(commands.add_parser("package", help="programs that need no Python, into dist/"))
    commands.add_parser("check", help="layout, lint and types")
    return parser


def _setup(extras: str, terminal: Terminal) -> int:
    environment.prepare(filter(None, extras.split(",")), terminal)
    for name in ("minka", "minka-worker"):
        terminal.line(f"  ready: {environment.program(name)}")
    return 0


def _demo(terminal: Terminal, *, window: bool, keep: bool) -> int:
    window = window and demo.has_screen()
    environment.prepare(["desktop"] if window else [], terminal)
    demo.run(terminal, window=window, keep=keep)
    return 0


def _test(pytest_arguments: Sequence[str], terminal: Terminal) -> int:
    environment.prepare(["test"], terminal)
    if debian.manages_packages():
        try:
            packages = debian.WINDOW + debian.BROWSER + debian.MACHINES
            debian.install(packages, "the tests of the window, the pages and the network", terminal)
        except debian.MissingPackages as error:
            terminal.line(f"Tests that need these will fail. {error}")
    return subprocess.run(
        [environment.program("python"), "-m", "pytest", *pytest_arguments], cwd=environment.ROOT
    ).returncode


def _screenshots(folder: str, arguments: Sequence[str], terminal: Terminal) -> int:
    environment.prepare(["test"], terminal)
    if debian.manages_packages():
        debian.install(debian.BROWSER, "the pictures of the pages", terminal)
    place = str(environment.ROOT / folder)
    with terminal.timed("a cluster is used, and each page of the window is pictured"):
        command = [environment.program("python"), "-m", "tests.browser.screenshots", place, *arguments]
        ended = subprocess.run(command, cwd=environment.ROOT).returncode
    terminal.line(f"  the pictures are in {place}")
    return ended


def _bench(what: str, arguments: Sequence[str]) -> int:
    environment.prepare(BENCHES[what], Terminal(sys.stderr))  # stdout is for the figures
    command = [environment.program("python"), "-m", f"tests.bench.{what}", *arguments]
    return subprocess.run(command, cwd=environment.ROOT).returncode


def _check(terminal: Terminal) -> int:
    environment.prepare(["test"], terminal)
    failed = []
    for name, command in CHECKS:
        result = subprocess.run([environment.program("python"), *command], cwd=environment.ROOT)
        if result.returncode != 0:
            failed.append(name)
    terminal.line(f"failed: {', '.join(failed)}" if failed else "layout, lint and types are in order")
    return 1 if failed else 0
