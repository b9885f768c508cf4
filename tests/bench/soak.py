"""`dev.py bench soak`: how consensus fares while every core of every worker trains, for minutes on end.

Jobs are given one after the other, so that there is always one under way; a client puts a small file now and then, and
measures how long that takes. A change of leader, a put or a job that fails, and a worker that was held up are what should
not be. A term that nobody won is a candidacy in vain: the leader stayed.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from backend.client import ClusterClient
from backend.transfers import upload
from shared.errors import MinkaError
from shared.messages import ShowModel, Train, TrainSpec
from tests.live.cluster import LiveCluster

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"
ROLES = {
    "inputs": "train-images",
    "outputs": "train-labels",
    "test_inputs": "test-images",
    "test_outputs": "test-labels",
}
EPOCHS = 200
PAUSE_S = 0.1
HELD_UP = ("did not let this worker run", "one turn of the node thread")
ELECTED = re.compile(r"leader in term (\d+), leader ")
"""What a worker says when it begins to lead."""


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document; 0 if the leader stayed and nothing failed, else 1."""
    parser = argparse.ArgumentParser(prog="dev.py bench soak", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=3)
    options = parser.parse_args(arguments)
    cores = max(1, (os.cpu_count() or 1) // options.workers)
    with (
        tempfile.TemporaryDirectory(prefix="minka-soak-") as directory,
        LiveCluster(Path(directory), options.workers, cores) as cluster,
    ):
        report = soak(cluster, options.minutes * 60)
    if options.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:20} {value}")
    return 0 if is_well(report) else 1


def soak(cluster: LiveCluster, seconds: float) -> dict[str, Any]:
    """Train for so long; what was seen meanwhile."""
    before = cluster.ready()
    stop, puts_ms, failures = threading.Event(), list[float](), list[str]()
    putting = threading.Thread(target=put_now_and_then, args=(cluster, stop, puts_ms, failures))
    putting.start()
    try:
        jobs, images, trouble = train_for(cluster, seconds)
    finally:
        stop.set()
        putting.join()
    after = cluster.ready()
    return {
        "minutes": seconds / 60,
        "jobs": jobs,
        "images_trained": images,
        "failed_job": trouble,
        **leadership(cluster.logs(), before["term"], after["term"]),
        **latencies(puts_ms),
        "failed_puts": failures,
        "held_up": [line for line in cluster.logs().splitlines() if any(text in line for text in HELD_UP)],
    }


def leadership(logs: str, before: int, after: int) -> dict[str, int]:
    """How many terms began after term `before` and up to `after`, and in how many of them somebody came to lead."""
    won = {int(term) for term in ELECTED.findall(logs)}
    return {
        "terms_begun": after - before,
        "leader_changes": sum(before < term <= after for term in won),
    }


def latencies(puts_ms: list[float]) -> dict[str, Any]:
    """Of the puts that succeeded; None where there was none."""
    ordered = sorted(puts_ms)
    known = bool(ordered)
    return {
        "puts": len(ordered),
        "put_ms_p50": round(statistics.median(ordered), 1) if known else None,
        "put_ms_p99": round(ordered[len(ordered) * 99 // 100], 1) if known else None,
        "put_ms_max": round(ordered[-1], 1) if known else None,
    }


def is_well(report: dict[str, Any]) -> bool:
    """Whether the leader stayed, puts went on, and nothing failed."""
    failed = report["leader_changes"] or report["failed_puts"] or report["failed_job"]
    return bool(report["puts"]) and not failed


def put_now_and_then(
    cluster: LiveCluster, stop: threading.Event, puts_ms: list[float], failures: list[str]
) -> None:
    with cluster.client() as client:
        while not stop.wait(PAUSE_S):
            began = time.perf_counter()
            try:
                upload(client, b"x", "soak", lambda done, total: None)
            except MinkaError as error:
                failures.append(str(error))
            else:
                puts_ms.append((time.perf_counter() - began) * 1e3)


def train_for(cluster: LiveCluster, seconds: float) -> tuple[int, int, str]:
    """Jobs done and images trained on, in so long, and what became of the one that failed, if one did.

    A last job is cut off by the end.
    """
    with cluster.client() as client:
        files = {
            role: upload(client, SAMPLES / f"mnist-{name}.idx.gz", name, lambda done, total: None)["id"]
            for role, name in ROLES.items()
        }
        jobs, images, until = 0, 0.0, time.monotonic() + seconds
        while time.monotonic() < until:
            wanted = TrainSpec(**files, epochs=EPOCHS, seed=jobs)
            try:
                model = client.command(lambda ticket, wanted=wanted: Train(ticket, wanted)).header["model"]
                row = wait_for_end(client, model, until)
            except MinkaError as error:
                return jobs, round(images), str(error)
            if row["status"] == "failed":
                return jobs, round(images), f"{model}: {row['error']}"
            if row["status"] == "done":
                jobs, images = jobs + 1, images + row["seconds"] * row["images_per_second"]
    return jobs, round(images), ""


def wait_for_end(client: ClusterClient, model: str, until: float) -> dict[str, Any]:
    """The model's row when its job has ended, or the time is over."""
    seen = None
    while True:
        row: dict[str, Any] = client.call(ShowModel(model, seen, wait_s=2.0)).header["model"]
        if row["status"] not in ("queued", "training") or time.monotonic() > until:
            return row
        seen = row["version"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
