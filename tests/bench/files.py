"""`dev.py bench files`: many small files and one very large one, on three workers of this machine.

Rates are files a second of wall time, each beside the processor time that all processes of the cluster used for it, which a
busy machine does not change as much. Memory is what each process held above what it held when idle (Linux only).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from backend.load import LoadPlan, Stored, percentile, run_load
from backend.transfers import digest_of
from shared.messages import Files
from tests.live.cluster import LiveCluster

PART = 10
"""The first and the last of so many equal parts of the many files are compared."""
LOOK_S = 0.05
MEBI = 1_048_576


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench files", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3, help="of 1,000 files")
    parser.add_argument("--many", type=int, default=100_000, help="files of 1 to 4 KiB")
    parser.add_argument("--mebibytes", type=int, default=2_048, help="of the large file")
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as directory:
        with LiveCluster(Path(directory) / "thousand", 3) as cluster:
            report["thousand"] = [thousand(cluster, seed) for seed in range(options.rounds)]
        with LiveCluster(Path(directory) / "many", 3) as cluster:
            report["many"] = many(cluster, options.many)
        with LiveCluster(Path(directory) / "large", 3) as cluster:
            report["large"] = large(cluster, Path(directory), options.mebibytes)
    print(json.dumps(report) if options.json else json.dumps(report, indent=2))
    return 0


def thousand(cluster: LiveCluster, seed: int) -> dict[str, Any]:
    """As `minka load` does it: 1,000 files of 512 bytes to 64 KiB by 8 clients."""
    before = processor_s(cluster)
    load = run_load(LoadPlan(1_000, 8, 512, 65_536, seed), cluster.client, None, lambda done, total: None)
    return load.row() | {"processor_s": round(processor_s(cluster) - before, 2)}


def many(cluster: LiveCluster, files: int) -> dict[str, Any]:
    """Whether the last files come as quickly as the first, and how long a restart takes when all are there."""
    spent: list[tuple[int, float]] = []

    def report(done: int, total: int) -> None:
        if done % (total // PART) == 0:
            spent.append((done, processor_s(cluster)))

    before = processor_s(cluster)
    load = run_load(LoadPlan(files, 8, 1_024, 4_096, 1), cluster.client, None, report)
    stored = sorted(load.stored, key=lambda each: each.ended_s)
    parts = [stored[start : start + files // PART] for start in range(0, files, files // PART)]
    works = [before, *(seconds for _, seconds in sorted(spent))]
    return {
        "rates": [round(rate(part), 1) for part in parts],
        "p99_ms": [round(percentile(sorted(each.latency_ms for each in part), 0.99), 1) for part in parts],
        "processor_s": [round(later - earlier, 2) for earlier, later in pairwise(works)],
        "lost": load.lost,
        "errors": len(load.errors),
        "digests_equal": load.digests_equal,
        "restart_s": restart_s(cluster),
    }


def rate(part: list[Stored]) -> float:
    """Files a second."""
    return (len(part) - 1) / (part[-1].ended_s - part[0].ended_s)


def restart_s(cluster: LiveCluster) -> dict[str, float]:
    """From the start of all workers, which were killed, to an answer of a leader, and to all of them being equal."""
    for id in cluster.ids:
        cluster.kill(id)
    begun = time.monotonic()
    for id in cluster.ids:
        cluster.start(id)
    with cluster.client(timeout_s=60) as client:
        client.status()
    leads_s = time.monotonic() - begun
    cluster.ready()
    ready_s = time.monotonic() - begun
    return {"leads": round(leads_s, 2), "ready": round(ready_s, 2)}


def large(cluster: LiveCluster, directory: Path, mebibytes: int) -> dict[str, Any]:
    """Seconds, and memory above idle in MiB, while a large file is put, put again, and fetched by the command line."""
    source, target = directory / "large.bin", directory / "back.bin"
    with source.open("wb") as file:
        for _ in range(mebibytes):
            file.write(os.urandom(MEBI))
    idle_mib = run(cluster, ["status"], 0.0)["client_mib"]
    found = {name: run(cluster, ["put", str(source)], idle_mib) for name in ("put", "put_again")}
    with cluster.client() as client:
        first = client.call(Files()).header["files"][0]
    found["get"] = run(cluster, ["get", str(first["id"]), "-o", str(target)], idle_mib)
    found["equal"] = digest_of(target) == first["digest"]
    return found


def run(cluster: LiveCluster, arguments: list[str], idle_mib: float) -> dict[str, float]:
    """One command of `minka`, watched."""
    where = [
        "--cluster",
        cluster.address,
        "--keys",
        str(cluster.directory / "client.keys"),
        "--timeout",
        "60",
    ]
    idle = {id: memory_mib(process.pid) for id, process in cluster.processes.items()}
    tops = dict(idle)
    client_mib, begun = 0.0, time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "backend", *arguments, *where],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as client:
        while client.returncode is None:
            client_mib = max(client_mib, memory_mib(client.pid))
            for id, process in cluster.processes.items():
                tops[id] = max(tops[id], memory_mib(process.pid))
            with suppress(subprocess.TimeoutExpired):
                client.wait(LOOK_S)
    if client.returncode:
        raise SystemExit(f"minka {arguments[0]} failed")
    above = {id: round(tops[id] - idle[id], 1) for id in idle}
    seconds = round(time.monotonic() - begun, 1)
    return {"seconds": seconds, "client_mib": round(client_mib - idle_mib, 1), **above}


def memory_mib(pid: int) -> float:
    """What this process has in memory; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MEBI


def processor_s(cluster: LiveCluster) -> float:
    """Processor time of the workers and of this process, which is their clients."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = time.process_time()
    for process in cluster.processes.values():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / ticks
    return total


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
