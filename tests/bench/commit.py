"""`dev.py bench commit`: durable commands, linearizable reads and fail-over of three workers on this machine.

Beside each figure stands what the machine itself does in the same run (its sync, its loopback), and etcd where it is
installed (Debian: etcd-server), through its HTTP gateway. Medians of several rounds, taken in turn.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backend.transfers import upload
from shared.errors import MinkaError
from shared.messages import TransferLeader
from tests.live.cluster import LiveCluster, free_ports, wait_for

Result = dict[str, float]


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench commit", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--kills", type=int, default=20, help="how often the leader is killed")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as directory:
        report = measure(Path(directory), options)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures; rates per second, times in milliseconds."""
    report: dict[str, Any] = {"fdatasync_ms": sync_ms(directory), "round_trip_ms": round_trip_ms()}
    rounds: dict[str, list[Result]] = {}
    with LiveCluster(directory / "minka", 3) as cluster, maybe_etcd(directory / "etcd") as etcd:
        with cluster.client() as client:
            upload(client, b"x", "bench", lambda done, total: None)
        for _ in range(options.rounds):
            for name, op, clients in (("put_64", "put", 64), ("put_1", "put", 1), ("read_64", "read", 64)):
                leader = cluster.leader()
                minka = [f"127.0.0.1:{cluster.ports[leader]}", leader, cluster.client_key.hex()]
                rounds.setdefault(f"minka_{name}", []).append(
                    load("minka", op, clients, options.seconds, minka)
                )
                if etcd is not None:
                    rounds.setdefault(f"etcd_{name}", []).append(
                        load("etcd", op, clients, options.seconds, [etcd])
                    )
    for name, results in rounds.items():
        report[name] = {key: statistics.median(one[key] for one in results) for key in results[0]}
    with LiveCluster(directory / "failover", 3) as cluster:
        report["failover_ms"] = failovers_ms(cluster, options.kills)
        report["transfer_failures"] = transfer_failures(cluster)
    return report


def load(system: str, op: str, clients: int, seconds: float, where: list[str]) -> Result:
    """What a process of closed-loop clients reaches."""
    command = [sys.executable, "-m", "tests.bench.clients", system, op, str(clients), str(seconds), *where]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SystemExit(f"{' '.join(command[2:6])}: {ran.stderr}")
    result: Result = json.loads(ran.stdout)
    return result


def failovers_ms(cluster: LiveCluster, kills: int) -> Result:
    """From kill -9 of the leader to the next write that is acknowledged to a client that keeps trying."""
    times_ms = []
    for number in range(kills):
        with cluster.client() as client:
            upload(client, b"x", f"before {number}", lambda done, total: None)
            leader = cluster.leader()
            cluster.kill(leader)
            began = time.perf_counter()
            upload(client, b"x", f"after {number}", lambda done, total: None)
            times_ms.append((time.perf_counter() - began) * 1e3)
        cluster.start(leader)
        cluster.ready()
    times_ms.sort()
    return {
        "p50": statistics.median(times_ms),
        "p99": times_ms[len(times_ms) * 99 // 100],
        "max": times_ms[-1],
    }


def transfer_failures(cluster: LiveCluster) -> int:
    """Requests that fail while leadership is handed from worker to worker."""
    stop, failures, done = threading.Event(), list[MinkaError](), list[int]()

    def send() -> None:
        with cluster.client() as client:
            while not stop.is_set():
                try:
                    done.append(upload(client, b"x", "x", lambda done, total: None)["id"])
                except MinkaError as error:
                    failures.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    with cluster.client() as client:
        for target in cluster.ids * 2:
            before = len(done)
            client.call(TransferLeader(target))
            wait_for("requests go on", lambda before=before: len(done) > before + 3 or failures)
    stop.set()
    thread.join()
    return len(failures)


@contextmanager
def maybe_etcd(directory: Path) -> Iterator[str | None]:
    """Three etcd servers on loopback, if it is installed; the client address of their leader."""
    program = shutil.which("etcd")
    if program is None:
        yield None
        return
    ports = free_ports(6)
    names = ["e1", "e2", "e3"]
    peers = {name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports[:3], strict=True)}
    clients = {name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports[3:], strict=True)}
    together = ",".join(f"{name}={url}" for name, url in peers.items())
    processes = []
    directory.mkdir()
    for name in names:
        where = ["--listen-peer-urls", peers[name], "--initial-advertise-peer-urls", peers[name]]
        where += ["--listen-client-urls", clients[name], "--advertise-client-urls", clients[name]]
        command = [
            program,
            "--name",
            name,
            "--data-dir",
            str(directory / name),
            "--initial-cluster",
            together,
            *where,
        ]
        with open(directory / f"{name}.log", "wb") as log:
            processes.append(subprocess.Popen(command, stdout=log, stderr=log))
    try:
        yield wait_for("etcd elects a leader", lambda: etcd_leader(list(clients.values())))
    finally:
        for process in processes:
            process.kill()
            process.wait()


def etcd_leader(urls: list[str]) -> str | None:
    """HOST:PORT of the one that leads."""
    for url in urls:
        try:
            with urllib.request.urlopen(f"{url}/v3/maintenance/status", data=b"{}", timeout=2) as answer:
                status = json.load(answer)
        except OSError:
            return None
        if status.get("leader") == status["header"]["member_id"]:
            return url.removeprefix("http://")
    return None


def sync_ms(directory: Path) -> Result:
    """fdatasync after each 4 KiB at the end of a file."""
    times_ms = []
    descriptor = os.open(directory / "floor", os.O_CREAT | os.O_WRONLY)
    for _ in range(300):
        os.write(descriptor, bytes(4096))
        began = time.perf_counter()
        os.fdatasync(descriptor)
        times_ms.append((time.perf_counter() - began) * 1e3)
    os.close(descriptor)
    return {"p50": statistics.median(times_ms), "p99": sorted(times_ms)[297]}


def round_trip_ms() -> Result:
    """One byte there and back over loopback TCP, between two threads."""
    door = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(door.getsockname())
    far, _ = door.accept()

    def echo() -> None:
        while data := far.recv(1):
            far.sendall(data)

    thread = threading.Thread(target=echo)
    thread.start()
    times_ms = []
    for _ in range(2_000):
        began = time.perf_counter()
        near.sendall(b"x")
        near.recv(1)
        times_ms.append((time.perf_counter() - began) * 1e3)
    near.close()
    thread.join()
    far.close()
    door.close()
    return {"p50": statistics.median(times_ms), "p99": sorted(times_ms)[1_980]}


def show(report: dict[str, Any]) -> None:
    """The figures for people."""
    for name, values in report.items():
        if isinstance(values, dict):
            words = "  ".join(f"{key.removesuffix('_ms')} {value:,.2f}" for key, value in values.items())
        else:
            words = str(values)
        print(f"{name:20} {words}")
    if "etcd_put_64" in report:
        ratio = report["minka_put_64"]["rate"] / report["etcd_put_64"]["rate"]
        print(f"{'minka / etcd':20} {ratio:.2f} (puts of 1 KiB, 64 clients)")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
