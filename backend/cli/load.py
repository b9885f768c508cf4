"""load: many clients at once, and how consensus did."""

import argparse
import random
import time
from collections.abc import Callable
from pathlib import Path

from backend import local_cluster
from backend.cli.console import Console, Outcome, counted, listing, size
from backend.cli.options import Commands, add_command, connect, natural_number, positive_integer
from backend.cli.progress import bar
from backend.load import LoadPlan, run_load
from backend.load_report import write_report
from backend.local_state import last_started
from shared.errors import Refused, TimedOut, Unreachable

RESTART_S = 60.0


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    load = add_command(
        commands, "load", "put many random new files into the cluster, and measure how it does"
    )
    load.add_argument("--files", metavar="N", type=positive_integer, default=1_000, help="default: 1000")
    load.add_argument("--clients", metavar="N", type=positive_integer, default=8, help="at once (default: 8)")
    load.add_argument("--min-bytes", metavar="B", type=natural_number, default=512, help="default: 512")
    load.add_argument("--max-bytes", metavar="B", type=natural_number, default=65_536, help="default: 65536")
    load.add_argument(
        "--seed",
        metavar="S",
        type=natural_number,
        help="what the files follow from (default: another each time)",
    )
    load.add_argument("--report", metavar="F.html", type=Path, help="write a page with the measurements")
    load.add_argument(
        "--kill-leader",
        action="store_true",
        help="kill the leader of a local cluster half-way, and start it again",
    )
    load.set_defaults(run=run_load_command)


def run_load_command(options: argparse.Namespace, console: Console) -> Outcome:
    """Bad news, which is exit code 1, where a file was lost or copies differ."""
    if options.min_bytes > options.max_bytes:
        raise Refused("The smallest size is above the largest.", "Give --min-bytes below --max-bytes.")
    seed = random.SystemRandom().randrange(2**32) if options.seed is None else options.seed
    plan = LoadPlan(options.files, options.clients, options.min_bytes, options.max_bytes, seed)
    data = _local_data(options) if options.kill_leader else None

    def half_way(mark: Callable[[str], None]) -> None:
        assert data is not None
        with connect(options) as client:
            leader = client.status()["leader"]
            console.say(f"killing {leader}, which leads")
            mark(f"{leader} killed")
            local_cluster.kill_worker(data, leader)
            try:
                console.say(f"{client.status()['leader']} leads now; starting {leader} again")
            except (Unreachable, TimedOut):
                console.say(f"nobody leads; starting {leader} again")
        local_cluster.start(data, None, None, RESTART_S, lambda _: None)
        mark(f"{leader} back")

    begun = time.monotonic()

    def report(done: int, total: int) -> None:
        rate = done / (time.monotonic() - begun)
        left = f"  {rate:,.0f} files/s, {(total - done) / rate:.0f} s left" if rate > 0 else ""
        console.progress.update(f"{bar(done / total)}  {done:,} of {counted(total, 'file')}{left}")

    def checking() -> None:
        console.progress.update("every worker reads all it holds …")

    run = run_load(plan, lambda: connect(options), half_way if data else None, report, checking)
    document = run.row() | {"seed": seed}
    if options.report is not None:
        write_report(options.report, plan, run)
    latency = document["latency_ms"]
    text = listing(
        [
            ("files", f"{document['files']:,}, {size(document['bytes'])}"),
            ("time", f"{document['seconds']:.2f} s, {document['files_per_second']:,.0f} files/s"),
            ("latency", "  ".join(f"{name} {value:.1f} ms" for name, value in latency.items())),
            ("leader changes", document["leader_changes"]),
            ("errors", document["errors"]),
            ("longest pause", f"{document['longest_pause_s']:.2f} s"),
            ("lost", document["lost"]),
            ("duplicated", document["duplicated"]),
            ("equal digests", "on every worker" if document["digests_equal"] else "no"),
            ("seed", seed),
        ]
    )
    problems = [f"{counted(run.lost, 'acknowledged file')} lost."] if run.lost else []
    problems += [f"{counted(run.duplicated, 'file')} stored twice."] if run.duplicated else []
    problems += [] if run.digests_equal else ["Copies are missing or differ: see minka verify."]
    problems += (
        [f"{counted(len(run.errors), 'request')} failed, the first: {run.errors[0]}"] if run.errors else []
    )
    return Outcome(document, text, " ".join(problems) or None)


def _local_data(options: argparse.Namespace) -> Path:
    """The directory of the local cluster, whose processes are ours to kill. Raises `Refused`."""
    last = last_started()
    if last is None or options.cluster not in (None, last.addresses):
        raise Refused(
            "Only the leader of a local cluster can be killed.", 'Start one with "minka cluster up".'
        )
    return Path(last.data)
