"""`dev.py bench monitor`: what a worker's monitor costs, and how it does with very much to show.

Idle: CPU time of the monitor and of the node, per second, without and with one open page. Fifty open pages at the leader's
monitor: latency of a commit with them and without, in turn, medians; and the CPU time of the leader's node. Freshness: from
the acknowledgement of a put to its record in an open stream. Size: 100,000 files and 1,000,000 records beside 1,000 of
each, in answers and in the frames of a Chromium that scrolls. Recorder: what one event of `minka trace` costs, beside a put.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from backend.client import ClusterClient
from backend.transfers import upload
from tests.bench.cpu import children_of, spent_s
from tests.browser.chromium import ARGUMENTS, CHROMIUM
from tests.browser.fake_node import FakeNode, Story
from tests.browser.waiting import until
from tests.live.cluster import LiveCluster, wait_for
from worker.flight import FlightRecorder
from worker.raft.messages import AppendReply

PAGES = 50
FEW, FILES, RECORDS = 1_000, 100_000, 1_000_000
FRAMES = """() => new Promise((resolve) => {
  const box = document.querySelector("#consistency .scroll");
  let [frames, way] = [0, 1];
  const step = () => {
    frames += 1;
    if (box.scrollTop + box.clientHeight > box.scrollHeight - 500) way = -1;
    if (box.scrollTop < 500) way = 1;
    box.scrollTop += way * 400;
    if (frames < 150) requestAnimationFrame(step);
    else resolve(frames);
  };
  requestAnimationFrame(step);
})"""


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench monitor", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each idle measurement")
    parser.add_argument("--puts", type=int, default=150, help="of each round")
    options = parser.parse_args(arguments)
    report: dict[str, Any] = {"recorder": recorder()}
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as directory:
        with LiveCluster(Path(directory) / "cluster", 3) as cluster:
            report["idle"] = idle(cluster, options.seconds)
            report["pages"] = pages(cluster, options.rounds, options.puts)
            report["fresh"] = freshness(cluster)
        report["size"] = size(Path(directory))
    report["recorder"]["of_put"] = report["recorder"]["event_us"] / 1000 / report["pages"]["alone_ms"]
    if options.json:
        print(json.dumps(report))
        return 0
    for name, values in report.items():
        print(f"{name:9}", "  ".join(f"{key} {value:,.4g}" for key, value in values.items()))
    return 0


def recorder() -> dict[str, float]:
    """Microseconds of one event: the best of five runs, for it is the cost that is asked for, not the noise."""
    flight, message, count = FlightRecorder(), AppendReply("w1", "w2", 3, 7), 50_000
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(count):
            flight.sent(message)
        best = min(best, time.perf_counter() - began)
    return {"event_us": best / count * 1e6}


def idle(cluster: LiveCluster, seconds: float) -> dict[str, float]:
    """Shares of one core, of a follower that nobody asks anything."""
    follower = next(id for id in cluster.ids if id != cluster.leader())
    node = cluster.processes[follower].pid
    monitor = next(pid for pid, command in children_of(node) if "worker.monitor" in command)

    def share(name: str) -> dict[str, float]:
        before, began = (spent_s(monitor), spent_s(node)), time.monotonic()
        threading.Event().wait(seconds)
        passed = time.monotonic() - began
        return {
            f"monitor_{name}": (spent_s(monitor) - before[0]) / passed,
            f"node_{name}": (spent_s(node) - before[1]) / passed,
        }

    found = share("alone")
    with listening(cluster, follower, 1):
        return found | share("one_page")


@contextlib.contextmanager
def listening(cluster: LiveCluster, id: str, count: int) -> Iterator[None]:
    """So many open pages at this worker's monitor."""
    command = [sys.executable, str(Path(__file__).with_name("listeners.py"))]
    process = subprocess.Popen(
        [*command, "127.0.0.1", str(cluster.monitors[id]), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def pages(cluster: LiveCluster, rounds: int, puts: int) -> dict[str, float]:
    """Median milliseconds of a put of 1 KiB by one client, without pages and with 50 at the leader's monitor."""
    alone, among = [], []
    leader = cluster.leader()
    node = cluster.processes[leader].pid
    cpu_alone = cpu_among = 0.0

    def measured(client: ClusterClient, into: list[float]) -> float:
        before = spent_s(node)
        into.append(statistics.median(latencies(client, puts)))
        return spent_s(node) - before

    with cluster.client() as client:
        latencies(client, puts)
        for _ in range(rounds):
            cpu_alone += measured(client, alone)
            with listening(cluster, leader, PAGES):
                cpu_among += measured(client, among)
    ratios = [with_pages / without for with_pages, without in zip(among, alone, strict=True)]
    return {
        "alone_ms": statistics.median(alone),
        "with_50_ms": statistics.median(among),
        "ratio": statistics.median(ratios),
        "node_cpu_ratio": cpu_among / cpu_alone,
    }


def latencies(client: ClusterClient, puts: int) -> list[float]:
    found = []
    for number in range(puts):
        began = time.perf_counter()
        upload(client, number.to_bytes(4, "big") * 256, f"bench-{number}", lambda done, total: None)
        found.append((time.perf_counter() - began) * 1000)
    return found


def freshness(cluster: LiveCluster, puts: int = 60) -> dict[str, float]:
    """Milliseconds from the acknowledgement of a put until an open stream of a follower tells of it."""
    follower = next(id for id in cluster.ids if id != cluster.leader())
    seen: dict[str, float] = {}
    address = f"http://127.0.0.1:{cluster.monitors[follower]}/api/events"
    late = []
    with urllib.request.urlopen(address, timeout=60) as stream, cluster.client() as client:

        def listen() -> None:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                for line in stream:
                    if b'"records":[' in line:
                        now = time.perf_counter()
                        for record in json.loads(line[6:])["records"]:
                            seen[record["summary"].split()[0]] = now

        threading.Thread(target=listen, daemon=True).start()
        for number in range(puts):
            name = f"fresh-{number}"
            upload(client, name.encode(), name, lambda done, total: None)
            acknowledged = time.perf_counter()
            late.append((wait_for(name, partial(seen.get, name)) - acknowledged) * 1000)
    late.sort()
    return {"p50_ms": late[len(late) // 2], "p99_ms": late[int(0.99 * len(late))], "max_ms": late[-1]}


def size(directory: Path) -> dict[str, float]:
    """CPU milliseconds of the answers behind a page, and of each of its frames while it scrolls, with much to show; and
    beside little. (CPU time, because whatever else runs on the machine does not change it.)
    """
    few, much = _sized(directory / "few", FEW, FEW), _sized(directory / "much", FILES, RECORDS)
    found = {f"{name}_ms": value for name, value in much.items()}
    return found | {f"{name}_ratio": much[name] / max(few[name], 0.4) for name in much}


def _sized(records: Path, files: int, count: int) -> dict[str, float]:
    with FakeNode(records) as node:
        story = Story(node)
        story.begin()
        told = story.index
        for start in range(0, files, 500):
            changes = [
                {
                    "set": "files",
                    "id": told + n,
                    "value": {"id": told + n, "name": f"f-{n}", "bytes": n, "digest": "ab" * 32},
                }
                for n in range(start + 1, min(start + 500, files) + 1)
            ]
            node.tell("changes", index=told + files, changes=changes)
        for start in range(0, count, 10_000):
            rows = [
                {
                    "record": n,
                    "index": n,
                    "time": 1.7e9,
                    "client": "ana",
                    "kind": "put",
                    "summary": f"file {n}",
                }
                for n in range(max(start + 1, story.record + 1), min(start + 10_000, count) + 1)
            ]
            node.records.append(rows)
        story.status()
        until(lambda: _ask(node, "/api/files?limit=0")["total"] >= files, 120)
        needle = f"/api/records?search=nothing&before={count}"
        answers: dict[str, Callable[[], object]] = {
            "first_files": lambda: _ask(node, "/api/files?search=&limit=200"),
            "deep_files": lambda: _ask(node, f"/api/files?search=&skip={files // 2}&limit=500"),
            "file_search": lambda: _ask(node, "/api/files?search=nothing"),
            "deep_records": lambda: _ask(node, f"/api/records?search=&before={count // 2}&limit=500"),
            "record_search": lambda: _ask(node, needle),
        }
        found = {name: _cpu_ms(node.process.pid, answer) for name, answer in answers.items()}
        return found | {"frame": _frames(node)}


def _ask(node: FakeNode, path: str) -> Any:
    with urllib.request.urlopen(node.address + path, timeout=120) as answer:
        return json.load(answer)


def _cpu_ms(pid: int, answer: Callable[[], object], times: int = 25) -> float:
    """What one such answer costs that process."""
    before = spent_s(pid)
    for _ in range(times):
        answer()
    return (spent_s(pid) - before) * 1000 / times


def _frames(node: FakeNode) -> float:
    """CPU milliseconds of the page's thread for one frame, while the matrix scrolls and reads on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(node.address)
        page.locator("#matrix-rows tr").first.wait_for(timeout=60_000)
        tools = page.context.new_cdp_session(page)
        tools.send("Performance.enable", {"timeDomain": "threadTicks"})

        def busy_s() -> float:
            metrics = {one["name"]: one["value"] for one in tools.send("Performance.getMetrics")["metrics"]}
            return float(metrics["TaskDuration"])

        before = busy_s()
        frames = page.evaluate(FRAMES)
        spent = busy_s() - before
        browser.close()
    return spent * 1000 / frames


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
