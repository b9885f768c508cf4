"""The first minute: a cluster of three workers on this machine trains on real images and shows what it learnt.

Everything goes through the command line that people use, so that the demonstration shows nothing that they cannot do.
"""

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import digits
import environment
from interruptions import Interruptions
from terminal import Terminal

WORKERS = 3
EPOCHS = 20
SEED = 7
SHOWN, SHOWN_IN_A_ROW = 8, 4
DIGEST_LETTERS = 12
SAMPLES = environment.ROOT / "packaging" / "samples"
FILES = {
    "--inputs": "mnist-train-images.idx.gz",
    "--outputs": "mnist-train-labels.idx.gz",
    "--test-inputs": "mnist-test-images.idx.gz",
    "--test-outputs": "mnist-test-labels.idx.gz",
}


class DemoFailed(Exception):
    """A step of the demonstration did not do what it should; the text says which."""


def has_screen() -> bool:
    """Whether a window can be opened here."""
    if sys.platform == "linux":
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return "SSH_CONNECTION" not in os.environ


def run(terminal: Terminal, *, window: bool, keep: bool) -> None:
    """Show it all. Whatever happens, the cluster is stopped at the end unless `keep`. Raises `DemoFailed`."""
    with _cluster(terminal, keep=keep) as cluster:
        model = _train(terminal, cluster)
        _predict(terminal, cluster, model)
        _verify(terminal, cluster, model)
        _say_where(terminal, cluster)
        if window:
            terminal.heading("The desktop window is open: close it to end the demonstration")
            _minka(cluster, "desktop", answers=False)
    if keep:
        _say_how_to_go_on(terminal, cluster)


class _Cluster:
    """The running workers, and the environment in which `minka` finds them."""

    def __init__(self, folder: Path, interruptions: Interruptions) -> None:
        self.folder = folder
        self.data = str(folder / "data")
        self.interruptions = interruptions
        self.workers: list[dict[str, Any]] = []
        self.names: dict[str, str] = {}
        self.failed = False
        self.environment = dict(os.environ)

    def started(self, answer: dict[str, Any]) -> None:
        self.workers = answer["workers"]
        self.environment["MINKA_CLUSTER"] = ",".join(worker["address"] for worker in self.workers)
        self.environment["MINKA_KEYS"] = answer["keys"]


@contextlib.contextmanager
def _cluster(terminal: Terminal, *, keep: bool) -> Iterator[_Cluster]:
    """Workers on loopback, their data in a temporary folder; both end with the block, unless `keep` and all went well."""
    with Interruptions() as interruptions, contextlib.ExitStack() as ending:
        cluster = _Cluster(Path(tempfile.mkdtemp(prefix="minka-demo-")), interruptions)
        ending.callback(_stop, terminal, cluster)
        try:
            terminal.heading(f"A cluster of {WORKERS} workers on this machine")
            answer = _minka(cluster, "cluster", "up", "--workers", str(WORKERS), "--data", cluster.data)
            cluster.started(answer)
            for worker in cluster.workers:
                role = "leads" if worker["id"] == answer["leader"] else "follows"
                terminal.line(f"  {worker['id']}  {worker['address']:<21} {role}")
            yield cluster
            if keep:
                ending.pop_all()
        except DemoFailed:
            cluster.failed = True
            raise


def _stop(terminal: Terminal, cluster: _Cluster) -> None:
    """Stop the workers, if they were started, and remove what they wrote, unless it is needed to see what went wrong."""
    cluster.interruptions.ignore()
    if Path(cluster.data, "cluster.json").exists():
        with terminal.timed("stopping the cluster"):
            _minka(cluster, "cluster", "down", "--data", cluster.data)
    if cluster.failed:
        terminal.line(f"  what the workers wrote is in {cluster.data}")
    else:
        shutil.rmtree(cluster.folder, ignore_errors=True)


def _train(terminal: Terminal, cluster: _Cluster) -> dict[str, Any]:
    """Upload the sample, train on it, and return the answer of `minka train`."""
    terminal.heading("Real images, uploaded: a part of MNIST, 6,000 to train on and 1,000 to test with")
    answer = _minka(cluster, "put", *(str(SAMPLES / name) for name in FILES.values()))
    for file in answer["files"]:
        cluster.names[str(file["id"])] = file["name"]
        terminal.line(f"  {file['name']:<27} {file['bytes']:>9,} bytes  {file['digest'][:DIGEST_LETTERS]}…")
    terminal.heading(f"Training on every core of every worker, {EPOCHS} epochs")
    ids = [str(file["id"]) for file in answer["files"]]
    options = [part for pair in zip(FILES, ids, strict=True) for part in pair]
    model = _minka(
        cluster, "train", *options, "--epochs", str(EPOCHS), "--seed", str(SEED), "--name", "digits"
    )
    terminal.line(f"  model {terminal.bold(model['model'])}  digest {model['digest'][:DIGEST_LETTERS]}…")
    accuracy = terminal.bold(f"{100 * model['test_accuracy']:.1f} %")
    terminal.line(
        f"  {accuracy} of the test images are read rightly, after "
        f"{model['seconds']:.1f} s at {model['images_per_second']:,.0f} images a second"
    )
    return model


def _predict(terminal: Terminal, cluster: _Cluster, model: dict[str, Any]) -> None:
    """Show a few images that the model was not trained on, and what it takes them for."""
    terminal.heading("Images that it has never seen")
    path = SAMPLES / FILES["--test-inputs"]
    answer = _minka(cluster, "predict", model["model"], "--inputs", str(path), "--limit", str(SHOWN))
    images = [digits.draw(image, terminal.unicode) for image in digits.read_images(path, SHOWN)]
    labels = digits.read_labels(SAMPLES / FILES["--test-outputs"], SHOWN)
    outputs = answer["outputs"]
    for start in range(0, SHOWN, SHOWN_IN_A_ROW):
        row = slice(start, start + SHOWN_IN_A_ROW)
        for line in digits.side_by_side(images[row], gap="    "):
            terminal.line("  " + line)
        width = len(images[0][0])
        captions = []
        for output, label in zip(outputs[row], labels[row], strict=True):
            right = output["label"] == label
            text = f"{output['label']} {'✓' if right else '✗'} {100 * output['probabilities'][output['label']]:.1f} %"
            if not right:
                text += f" ({label})"
            captions.append((terminal.green if right else terminal.red)(text.center(width)))
        terminal.line("  " + "    ".join(captions))
    terminal.line(
        f"  answered by {answer['worker']}, true at log index {answer['index']} of term {answer['term']}"
    )


def _verify(terminal: Terminal, cluster: _Cluster, model: dict[str, Any]) -> None:
    """Have every worker hash again what it holds, and show it. Raises `DemoFailed` when they differ."""
    terminal.heading("Every file and model, hashed again on every worker")
    answer = _minka(cluster, "verify")
    names = cluster.names | {model["model"]: f"model {model['model']}"}
    workers = [worker["id"] for worker in cluster.workers]
    columns = "  ".join(f"{worker:<7}" for worker in workers)
    terminal.line("  " + terminal.dim(f"{'name':<27}  {'digest':<{DIGEST_LETTERS + 1}}  {columns}"))
    for file in answer["files"]:
        states = "  ".join(f"{file['holders'].get(worker, 'missing'):<7}" for worker in workers)
        terminal.line(
            f"  {names.get(str(file['id']), file['id']):<27}  {file['digest'][:DIGEST_LETTERS]}…  {states}"
        )
    silent = [worker for worker in workers if any(worker not in file["holders"] for file in answer["files"])]
    if silent:
        raise DemoFailed(f"{', '.join(silent)} did not say what it holds")
    if not answer["equal"]:
        raise DemoFailed("the workers do not hold the same bytes")


def _say_where(terminal: Terminal, cluster: _Cluster) -> None:
    terminal.heading("Each worker's monitor, for any browser")
    for worker in cluster.workers:
        address = worker["monitor"]
        terminal.line(f"  {worker['id']}  {address if '://' in address else f'http://{address}/'}")


def _say_how_to_go_on(terminal: Terminal, cluster: _Cluster) -> None:
    """What to type to use the cluster that was left running, and to end it."""
    minka = environment.program("minka")
    setting = "set " if os.name == "nt" else "export "
    terminal.heading("The cluster goes on")
    for name in ("MINKA_CLUSTER", "MINKA_KEYS"):
        terminal.line(f"  {setting}{name}={cluster.environment[name]}")
    terminal.line(f"  {minka} status")
    terminal.line(f"  {minka} cluster down --data {cluster.data}")


def _minka(cluster: _Cluster, *arguments: str, answers: bool = True) -> dict[str, Any]:
    """Run the command line; its progress and its errors go to the terminal. Raises `DemoFailed`.

    Returns its JSON answer, or nothing from a command that gives none (`answers` false).
    """
    command = [environment.program("minka"), *arguments, *(["--json"] if answers else [])]
    code, output = cluster.interruptions.run(command, cluster.environment)
    if code != 0:
        raise DemoFailed(f"minka {' '.join(arguments[:2])} ended with exit code {code}")
    if not answers:
        return {}
    answer: dict[str, Any] = json.loads(output)
    return answer
