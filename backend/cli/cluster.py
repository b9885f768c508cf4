"""keys new · cluster up · cluster down · status."""

import argparse
from pathlib import Path

from backend import local_cluster
from backend.cli.console import Console, Outcome, listing, short, table
from backend.cli.options import Commands, add_command, add_timeout, connect, positive_integer
from backend.keys import new_keys
from backend.local_state import last_started
from shared.errors import Refused

START_TIMEOUT_S = 60.0


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    keys = commands.add_parser("keys", help="the keys of a cluster").add_subparsers(
        metavar="COMMAND", required=True
    )
    new = add_command(keys, "new", "make the keys of a new cluster", cluster=False)
    new.add_argument("directory", metavar="DIR", type=Path)
    new.set_defaults(run=run_new_keys)

    local = commands.add_parser("cluster", help="a cluster on this machine alone").add_subparsers(
        metavar="COMMAND", required=True
    )
    up = add_command(local, "up", "start local workers in the background, or start them again", cluster=False)
    up.add_argument(
        "--workers", metavar="N", type=positive_integer, help="how many (default: 3, or those in DIR)"
    )
    up.add_argument(
        "--data", metavar="DIR", type=Path, required=True, help="where the cluster keeps everything"
    )
    up.add_argument(
        "--cores-per-worker",
        metavar="C",
        type=positive_integer,
        help="default: a fair share of the machine's",
    )
    up.add_argument(
        "--lab",
        action="store_true",
        help="with a page, on this computer alone, that pauses, kills and damages workers and cuts links",
    )
    add_timeout(up, START_TIMEOUT_S, "seconds to wait until all workers are ready")
    up.set_defaults(run=run_up)
    down = add_command(local, "down", "stop the local workers; their data stays", cluster=False)
    down.add_argument("--data", metavar="DIR", type=Path, help="default: the cluster that was started last")
    down.set_defaults(run=run_down)

    agent = add_command(
        commands, "lab-agent", 'what "cluster up --lab" starts, in the background', cluster=False
    )
    agent.add_argument("--data", metavar="DIR", type=Path, required=True, help="the cluster's folder")
    agent.set_defaults(run=run_lab_agent)

    status = add_command(commands, "status", "show the workers, and who leads")
    status.set_defaults(run=run_status)


def run_new_keys(options: argparse.Namespace, _console: Console) -> Outcome:
    """Two files: one for the workers, one for clients."""
    files = new_keys(options.directory)
    text = listing([("for workers", str(files.cluster)), ("for clients", str(files.client))])
    return Outcome({"cluster": str(files.cluster), "client": str(files.client)}, text)


def run_up(options: argparse.Namespace, console: Console) -> Outcome:
    """Returns when a leader is elected and all workers take part."""
    running = local_cluster.start(
        options.data,
        options.workers,
        options.cores_per_worker,
        options.timeout,
        console.progress.update,
        lab=options.lab,
    )
    rows = [
        (
            worker.id,
            worker.address,
            f"http://{worker.monitor}/",
            worker.process.pid if worker.process else None,
        )
        for worker in running.workers
    ]
    text = table(("WORKER", "ADDRESS", "MONITOR", "PID"), rows)
    lab = f"\nBreak something: {local_cluster.lab_address(running.lab)}" if running.lab is not None else ""
    return Outcome(running.row(), f"{text}\n\n{running.leader} leads. Clients' keys: {running.keys}{lab}")


def run_lab_agent(options: argparse.Namespace, _console: Console) -> Outcome:
    """Ends when it is asked to."""
    from backend.lab.agent import run_agent  # only where it is needed

    run_agent(options.data)
    return Outcome({})


def run_down(options: argparse.Namespace, _console: Console) -> Outcome:
    """Stopping twice is no error."""
    data = options.data
    if data is None:
        last = last_started()
        if last is None:
            raise Refused("No local cluster was started.", "Name its directory with --data.")
        data = Path(last.data)
    stopped = local_cluster.stop(data)
    text = f"stopped {', '.join(stopped)}" if stopped else "no worker was running"
    return Outcome({"stopped": stopped}, text)


def run_status(options: argparse.Namespace, _console: Console) -> Outcome:
    """One row for each worker, as the leader sees them."""
    with connect(options) as client:
        status = client.status()
    rows = [
        (
            row["id"],
            row["address"],
            row["role"] if row["reachable"] else "unreachable",
            row["term"],
            row["applied_index"],
            short(row["state_digest"]),
            row["files"],
            row["models"],
            row["cores"],
            f"http://{row['monitor']}/",
        )
        for row in status["workers"]
    ]
    headings = (
        "WORKER",
        "ADDRESS",
        "ROLE",
        "TERM",
        "APPLIED",
        "STATE",
        "FILES",
        "MODELS",
        "CORES",
        "MONITOR",
    )
    note = f"{status['leader']} leads term {status['term']}, committed up to {status['commit_index']}"
    keys = ("leader", "term", "commit_index", "workers")
    return Outcome({key: status[key] for key in keys}, f"{table(headings, rows)}\n\n{note}")
