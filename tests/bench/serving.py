"""`dev.py bench serving`: predictions of three workers on this machine.

One client with one image at a time, 64 of them, the same with workers that take a read index and record nothing and with a
server of FastAPI and onnxruntime, and a batch of 10,000 images beside the bare NumPy forward pass of the same weights: on
its own, and in pieces that fit the cache. Medians of several rounds, taken in turn. Beside rates stands what a prediction
costs all processes of a server together (cpu_us): that tells more on a machine that others use too (Linux alone).
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.client import ClusterClient
from backend.onnx_model import write_onnx
from backend.predictions import predict, rows_at_once
from backend.transfers import fetch
from backend.weights import write_npz
from shared.datasets import load_inputs
from shared.messages import PredictInput
from tests.bench.commit import Result, load
from tests.live.cluster import LiveCluster, free_ports, wait_for
from tests.live.conftest import SAMPLES
from tests.live.test_training import finished, train

BATCH = 10_000
Forward = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench serving", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument(
        "--arch", choices=("mlp", "cnn"), default="mlp", help="the bare forward pass is of mlp alone"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as directory:
        report = measure(Path(directory), options)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0


def measure(directory: Path, options: argparse.Namespace) -> dict[str, Any]:
    """All figures: rates per second, times in milliseconds."""
    rounds: dict[str, list[Result]] = {}
    images = load_inputs(SAMPLES / "mnist-test-images.idx.gz", "test")
    images = np.tile(images, (-(-BATCH // len(images)), 1, 1, 1))[:BATCH]
    with (
        LiveCluster(directory / "minka", 3) as cluster,
        Unrecorded(directory / "unrecorded", 3) as unrecorded,
        ExitStack() as stack,
    ):
        where, path = ready(cluster, options.arch)
        rival, address = stack.enter_context(http_rival(path.with_suffix(".onnx")))
        ours = cluster.processes.values()
        other, _ = ready(unrecorded, options.arch)
        forward = bare_forward(path) if options.arch == "mlp" else None
        with cluster.client() as client:
            said = batch(client, where[-1], images)
            assert forward is None or np.allclose(said, forward(images), atol=1e-5), "not the same model"
            for _ in range(options.rounds):
                for name, system, clients, place, servers in (
                    ("one_client", "minka", 1, where, ours),
                    ("64_clients", "minka", 64, where, ours),
                    ("unrecorded_64", "minka", 64, other, unrecorded.processes.values()),
                    ("http_one", "http", 1, address, [rival]),
                    ("http_64", "http", 64, address, [rival]),
                ):
                    before = cpu_s(servers)
                    found = load(system, "predict", clients, options.seconds, place)
                    used_s = cpu_s(servers) - before
                    found["cpu_us"] = 1e6 * used_s / (found["rate"] * options.seconds)
                    rounds.setdefault(name, []).append(found)
                works: dict[str, Callable[[], object]] = {"batch": lambda: batch(client, where[-1], images)}
                if forward is not None:
                    works["bare"] = lambda: forward(images)
                    works["bare_pieces"] = lambda: [
                        forward(images[at : at + 256]) for at in range(0, BATCH, 256)
                    ]
                for name, work in works.items():
                    rounds.setdefault(name, []).append({"rate": rate(work)})
    report = {
        name: {key: statistics.median(one[key] for one in results) for key in results[0]}
        for name, results in rounds.items()
    }
    report["64_clients"]["of_unrecorded"] = ratio(rounds["64_clients"], rounds["unrecorded_64"])
    report["64_clients"]["cpu_of_unrecorded"] = ratio(rounds["64_clients"], rounds["unrecorded_64"], "cpu_us")
    report["64_clients"]["of_http"] = ratio(rounds["64_clients"], rounds["http_64"])
    report["64_clients"]["cpu_of_http"] = ratio(rounds["64_clients"], rounds["http_64"], "cpu_us")
    if "bare" in rounds:
        report["batch"]["of_bare"] = ratio(rounds["batch"], rounds["bare"])
    return report


def ratio(ours: list[Result], theirs: list[Result], what: str = "rate") -> float:
    """The median over the rounds."""
    return statistics.median(one[what] / other[what] for one, other in zip(ours, theirs, strict=True))


def cpu_s(processes: Iterable[subprocess.Popen[Any]]) -> float:
    """What these and their children have used of the processors so far."""
    total_s, pids = 0.0, [process.pid for process in processes]
    while pids:
        place = Path(f"/proc/{pids.pop()}")
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        total_s += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for children in place.glob("task/*/children"):
            pids += map(int, children.read_text().split())
    return total_s


class Unrecorded(LiveCluster):
    """Workers that record no prediction."""

    def command(self, id: str) -> list[str]:
        return ["tests.bench.unrecorded" if part == "worker" else part for part in super().command(id)]


@contextmanager
def http_rival(model: Path) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """The process of `tests.bench.http_rival`, and where its clients find it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.bench.http_rival", str(model), str(port)]
    with subprocess.Popen(command) as server:
        try:
            wait_for("the rival listens", lambda: _listens(port))
            yield server, [f"127.0.0.1:{port}"]
        finally:
            server.terminate()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def ready(cluster: LiveCluster, arch: str) -> tuple[list[str], Path]:
    """Train a model; where its clients find it, and its weights as NPZ."""
    with cluster.client() as client:
        row = finished(client, train(client, epochs=3, seed=7, arch=arch))
        path = cluster.directory / "model.npz"
        weights = fetch(client, row["digest"], row["bytes"])
        write_npz(row, weights, path)
        write_onnx(row, weights, path.with_suffix(".onnx"))
    addresses = ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())
    return [addresses, ",".join(cluster.ids), cluster.client_key.hex(), row["id"]], path


def rate(work: Callable[[], object]) -> float:
    """Images per second."""
    began = time.perf_counter()
    work()
    return BATCH / (time.perf_counter() - began)


def batch(client: ClusterClient, model: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Predict all images as `minka predict --inputs` does, up to the probabilities."""
    rows = rows_at_once(len(images), images[0].nbytes)
    pieces = (images[at : at + rows] for at in range(0, len(images), rows))
    batches = (([PredictInput("array", one.nbytes, one.shape)], one.tobytes()) for one in pieces)
    found = [np.array(one.probabilities) for one in predict(client, model, batches)]
    return np.concatenate(found).reshape(len(images), -1)


def bare_forward(path: Path) -> Forward:
    """The forward pass of an exported perceptron, as one writes it in NumPy."""
    with np.load(path) as arrays:
        weights = [arrays[name] for name in arrays if ".dense." in name]
        mean, deviation = arrays["mean"], arrays["deviation"]

    def forward(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        x = ((images - mean) / (2 * deviation)).reshape(len(images), -1)
        for weight, bias in zip(weights[::2], weights[1::2], strict=True):
            x = x @ weight + bias
            if weight is not weights[-2]:
                x = np.maximum(x, 0)
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)

    return forward


def show(report: dict[str, Any]) -> None:
    """The figures for people."""
    for name, values in report.items():
        print(
            f"{name:14}",
            "  ".join(f"{key.removesuffix('_ms')} {value:,.2f}" for key, value in values.items()),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
