"""`dev.py bench links`: what slow links cost a training of two workers of one core, with usual rounds and suggested ones.

Each job runs on loopback and between network namespaces with a rate and a delay (as root, on Linux), in turn. `cost` is how
much longer the job takes than the same one on loopback; `way` the part of each round that went to the states' way, as the
worker that leads has measured it.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from backend.cli.train import suggested_steps
from backend.client import ClusterClient
from shared.messages import ShowModel, Train, TrainSpec
from tests.bench.rivals import EXAMPLES, TEXTS
from tests.bench.training import upload_made_up
from tests.live.cluster import LiveCluster, wait_for
from tests.live.network import may_be_made
from tests.live.slow_link import Link, SlowCluster

CASES = [("mlp", Link(100, 5)), ("cnn", Link(100, 5)), ("cnn", Link(20, 30))]
WORKERS = 2
GUESS = {"mlp": 200_000, "cnn": 30_000}
"""Images a second on loopback."""
JOB_S = 900.0


def main(arguments: list[str]) -> int:
    """Print what each case costs, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench links", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each job")
    options = parser.parse_args(arguments)
    if not may_be_made():
        print("Slow links need root and network namespaces.", file=sys.stderr)
        return 1
    found = []
    for arch, link in CASES:
        with tempfile.TemporaryDirectory(prefix="minka-bench-") as folder:
            found += case(Path(folder), arch, link, options.seconds)
    if options.json:
        print(json.dumps(found))
    return 0


def case(folder: Path, arch: str, link: Link, seconds: float) -> list[dict[str, Any]]:
    """The same two jobs on loopback and over the link."""
    epochs = max(2, round(seconds * GUESS[arch] / EXAMPLES))
    rows = []
    with (
        LiveCluster(folder / "loopback", WORKERS) as fast,
        SlowCluster(folder / "slow", WORKERS, 1, link) as slow,
        fast.client() as fast_client,
        slow.client(timeout_s=60.0) as slow_client,
    ):
        sides = [(client, upload_made_up(client)) for client in (fast_client, slow_client)]
        steps = None
        for _ in range(2):
            jobs = [job(client, files, arch, epochs, steps) for client, files in sides]
            row = {
                "arch": arch,
                "megabits": link.megabits,
                "delay_ms": link.delay_ms,
                "steps_per_round": jobs[1]["steps_per_round"],
                "loopback": jobs[0]["images_per_second"],
                "link": jobs[1]["images_per_second"],
                "way": jobs[1]["way"],
                "cost": jobs[0]["images_per_second"] / jobs[1]["images_per_second"] - 1,
                "equal": jobs[0]["digest"] == jobs[1]["digest"],
            }
            print(row, file=sys.stderr)
            rows.append(row)
            steps = jobs[1]["suggested"]
            if steps is None:
                break
    return rows


def job(
    client: ClusterClient, files: dict[str, int], arch: str, epochs: int, steps: int | None
) -> dict[str, Any]:
    """Train to the end; what was seen of it."""
    wanted = TrainSpec(
        **files, arch=TEXTS[arch], epochs=epochs, lr=0.01, shards=WORKERS, steps_per_round=steps
    )
    model = str(client.command(lambda ticket: Train(ticket, wanted)).header["model"])
    live: dict[str, Any] = {}

    def ended() -> dict[str, Any] | None:
        row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
        live.update(row if "travelling_s" in row else {})
        return row if row["status"] not in ("queued", "training") else None

    row = wait_for(f"{model} ends", ended, JOB_S)
    assert row["status"] == "done", row["error"]
    way = live["travelling_s"] / (live["travelling_s"] + live["computing_s"])
    return {
        "images_per_second": row["images_per_second"],
        "digest": row["digest"],
        "steps_per_round": row["spec"]["steps_per_round"],
        "way": way,
        "suggested": suggested_steps(live),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
