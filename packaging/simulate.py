"""Simulated clusters under faults: which seeds, in how many processes."""

import argparse
import subprocess
from collections.abc import Sequence

import environment
from terminal import Terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `dev.py simulate`."""
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many runs (200)")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first one's seed (0)")
    parser.add_argument("--seed", type=int, metavar="S", help="run this seed alone")
    parser.add_argument("--jobs", type=int, metavar="J", help="processes (as many as there are cores)")


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Simulate; 0 if every promise held, 1 if a seed was printed that broke one."""
    environment.prepare(["test"], terminal)
    names = ("seeds", "first", "seed", "jobs")
    chosen = [(name, getattr(options, name)) for name in names if getattr(options, name) is not None]
    arguments: Sequence[str] = [part for name, value in chosen for part in (f"--{name}", str(value))]
    command = [environment.program("python"), "-m", "tests.simulator", *arguments]
    return subprocess.run(command, cwd=environment.ROOT).returncode
