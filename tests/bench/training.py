"""`dev.py bench training`: how fast Minka trains beside PyTorch and scikit-learn, on the same cores in the same run.

Throughput: images a second of MLP 784-128-10 and of a small CNN, batches of 64, by one process, by two side by side that
know nothing of each other, and by a live worker of two cores that trains one model on both, averaging and checkpoints
included. The rivals are run in every way that suits them, and the best counts. Rounds are taken in turn; the medians count.
What a second of CPU time brings stands beside it: that is what can be compared when others use the machine too.

With --mnist DIR (the four IDX files): the time of `--arch cnn` with its defaults, and its accuracy, beside PyTorch's with
the small CNN and 3 epochs of a one-cycle schedule.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from backend.client import ClusterClient
from backend.transfers import upload
from shared.messages import Cancel, ShowModel, Train, TrainSpec
from tests.bench.rivals import EXAMPLES, TEXTS, made_up
from tests.live.cluster import LiveCluster, wait_for
from worker.training.dataset import SourceFile, prepare
from worker.training.environment import child_environment

CORES = 2
ROOT = Path(__file__).parents[2]
ROLES = {
    "inputs": "train-images-idx3-ubyte.gz",
    "outputs": "train-labels-idx1-ubyte.gz",
    "test_inputs": "t10k-images-idx3-ubyte.gz",
    "test_outputs": "t10k-labels-idx1-ubyte.gz",
}
JOB_S = 600.0
BUSY_TICKS = 50
"""Hundredths of a second of CPU time by which a process is known to compute."""
CANCEL = "cancel, seconds until the cores are free"
RATIO = "seconds to PyTorch's best"
TORCH_WAYS = [
    (processes, threads, layout)
    for processes, threads in ((1, 2), (2, 1))
    for layout in ("contiguous", "channels_last")
]


def main(arguments: list[str]) -> int:
    """Print the figures, with --json as one document."""
    parser = argparse.ArgumentParser(prog="dev.py bench training", description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--mnist", type=Path, help="folder of the four IDX files")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    report: dict[str, Any] = throughput(options.rounds, options.seconds) if options.rounds else {}
    if options.mnist is not None:
        report["mnist"] = to_accuracy(options.mnist, options.seeds)
    if options.json:
        print(json.dumps(report))
    else:
        show(report)
    return 0


def throughput(rounds: int, seconds: float) -> dict[str, Any]:
    """Images a second by "arch who", medians over the rounds, and the ratios that matter."""
    found: dict[str, list[float]] = {}

    def measure(name: str, processes: int, **asked: Any) -> None:
        rate, cpu_rate = side_by_side(processes, {"seconds": seconds, **asked})
        note(name, rate)
        note(f"{name}, of CPU time", cpu_rate)

    def note(name: str, rate: float) -> None:
        found.setdefault(name, []).append(rate)
        print(f"{name}: {rate:,.0f}", file=sys.stderr)

    with (
        tempfile.TemporaryDirectory(prefix="minka-bench-") as folder,
        LiveCluster(Path(folder), 1, CORES) as cluster,
        cluster.client() as client,
    ):
        files = upload_made_up(client)
        for _ in range(rounds):
            for arch in TEXTS:
                measure(f"{arch} minka 1 process", 1, who="minka", arch=arch)
                measure(f"{arch} minka 2 processes", 2, who="minka", arch=arch)
                note(f"{arch} minka worker", _job_rate(client, files, arch, seconds))
                for processes, threads, layout in TORCH_WAYS[:: 1 if arch == "cnn" else 2]:
                    name = f"{arch} torch {processes} x {threads} {layout}"
                    measure(name, processes, who="torch", arch=arch, threads=threads, layout=layout)
            measure("mlp sklearn", 1, who="sklearn")
        cancel_s = statistics.median(_seconds_to_cancel(cluster, client, files) for _ in range(5))
    report: dict[str, Any] = {name: statistics.median(rates) for name, rates in found.items()}
    report[CANCEL] = cancel_s
    for arch in TEXTS:
        torch = {name: rate for name, rate in report.items() if name.startswith(f"{arch} torch")}
        best = max(rate for name, rate in torch.items() if not name.endswith("CPU time"))
        best_of_cpu = max(rate for name, rate in torch.items() if name.endswith("CPU time"))
        worker = report[f"{arch} minka worker"]
        report[f"{arch}: worker to PyTorch's best"] = worker / best
        one = report[f"{arch} minka 1 process, of CPU time"]
        report[f"{arch}: one process to PyTorch's best, of CPU time"] = one / best_of_cpu
        report[f"{arch}: worker to two side by side"] = worker / report[f"{arch} minka 2 processes"]
    return report


def _seconds_to_cancel(cluster: LiveCluster, client: ClusterClient, files: dict[str, int]) -> float:
    """From the request until the processes that compute an endless round are gone."""
    wanted = TrainSpec(**files, arch=TEXTS["cnn"], epochs=10_000, shards=CORES, steps_per_round=1_000_000)
    model = str(client.command(lambda ticket: Train(ticket, wanted)).header["model"])

    node = cluster.processes["w1"].pid
    idle = {child: _cpu_ticks(child) for child in _trainers(node)}
    wait_for(
        "all trainers compute", lambda: all(_cpu_ticks(child) > idle[child] + BUSY_TICKS for child in idle)
    )
    began = time.perf_counter()
    client.command(lambda ticket: Cancel(ticket, model))
    wait_for("the cores are free", lambda: not idle.keys() & _trainers(node))
    return time.perf_counter() - began


def _trainers(node: int) -> set[int]:
    """The process ids of this node's trainers, as Linux tells them."""
    children = Path(f"/proc/{node}/task/{node}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline") for child in children}
    return {child for child, line in lines.items() if b"worker.training.trainer" in line.read_bytes()}


def _cpu_ticks(process: int) -> int:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def side_by_side(processes: int, asked: dict[str, Any]) -> tuple[float, float]:
    """Images a second that so many processes reach together, and for each second of CPU time that they take."""
    threads = str(asked.get("threads", CORES))
    environment = dict(os.environ)
    if asked["who"] == "minka":
        environment = child_environment(environment)
    else:
        environment |= {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    started = [_rival(environment, asked) for _ in range(processes)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in started]
    rate = sum(answer["images_per_second"] for answer in answers)
    return rate, statistics.mean(answer["images_per_cpu_second"] for answer in answers)


def _rival(environment: dict[str, str], asked: dict[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.rivals"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps(asked) + "\n")
    process.stdin.flush()
    return process


def upload_made_up(client: ClusterClient) -> dict[str, int]:
    images, labels = made_up()
    files = {}
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as folder:
        for role, array in (("inputs", images[..., 0]), ("outputs", labels)):
            path = Path(folder, f"{role}.npy")
            np.save(path, array)
            files[role] = int(upload(client, path, path.name, lambda done, total: None)["id"])
    return files


def _job_rate(client: ClusterClient, files: dict[str, int], arch: str, seconds: float) -> float:
    """What a job of about so many seconds reaches."""
    guess = {"mlp": 200_000, "cnn": 25_000}[arch]
    epochs = max(1, round(seconds * guess / EXAMPLES))
    return float(_job(client, files, arch=TEXTS[arch], epochs=epochs, lr=0.01)["images_per_second"])


def _job(client: ClusterClient, files: dict[str, int], **spec: Any) -> dict[str, Any]:
    wanted = TrainSpec(**files, **spec)
    model = str(client.command(lambda ticket: Train(ticket, wanted)).header["model"])

    def ended() -> dict[str, Any] | None:
        row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
        return row if row["status"] not in ("queued", "training") else None

    row = wait_for(f"{model} ends", ended, JOB_S)
    assert row["status"] == "done", row["error"]
    return row


def to_accuracy(folder: Path, seeds: int) -> dict[str, Any]:
    """Seconds and accuracy of each seed, Minka's and PyTorch's in turn."""
    found: dict[str, list[dict[str, float]]] = {"minka cnn": []}
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as scratch:
        sources = [SourceFile(folder / name, name) for name in ROLES.values()]
        data = Path(scratch, "set")
        prepare(sources[0], sources[1], sources[2], sources[3], data)
        with LiveCluster(Path(scratch, "cluster"), 1, CORES) as cluster, cluster.client() as client:
            files = {
                role: int(upload(client, folder / name, name, lambda done, total: None)["id"])
                for role, name in ROLES.items()
            }
            for seed in range(seeds):
                row = _job(client, files, arch="cnn", seed=seed)
                found["minka cnn"].append({key: row[key] for key in ("seconds", "test_accuracy")})
                for layout in ("contiguous", "channels_last"):
                    asked = {"data": str(data), "layout": layout, "threads": CORES, "epochs": 3, "seed": seed}
                    process = _rival(dict(os.environ) | {"OMP_NUM_THREADS": str(CORES)}, asked)
                    found.setdefault(f"torch {layout}", []).append(json.loads(process.communicate()[0]))
                print({name: each[-1] for name, each in found.items()}, file=sys.stderr)
    medians = {
        name: {key: statistics.median(one[key] for one in each) for key in each[0]}
        for name, each in found.items()
    }
    best = min(each["seconds"] for name, each in medians.items() if name.startswith("torch"))
    ratio = medians["minka cnn"]["seconds"] / best
    return {"runs": found, "medians": medians, RATIO: ratio}


def show(report: dict[str, Any]) -> None:
    for name, value in report.items():
        if name == "mnist":
            for who, each in value["medians"].items():
                print(f"{who:40} {each['seconds']:8.1f} s  {100 * each['test_accuracy']:.2f} %")
            print(f"{RATIO:40} {value[RATIO]:8.2f}")
        else:
            print(f"{name:50} {value:12,.2f}" if value < 100 else f"{name:50} {value:12,.0f} images/s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
