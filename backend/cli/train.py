"""train: upload what is local, start the job, watch it to its end."""

import argparse
import math
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from backend.cli.console import Console, Outcome, listing, percent, printable
from backend.cli.files import checked_file, find_file
from backend.cli.options import (
    Commands,
    add_command,
    connect,
    natural_number,
    positive_integer,
    positive_number,
)
from backend.cli.progress import TransferMeter, bar
from backend.client import ClusterClient
from backend.folders import pack
from backend.transfers import digest_of, upload
from shared.errors import Refused, TimedOut, Unreachable
from shared.messages import FindDataset, ShowModel, Train, TrainSpec

ENDED = ("done", "failed", "cancelled")
WATCH_S = 2.0
"""How long one question for news of a job waits: also how soon a silent leader is noticed."""
MEASURED_ROUNDS = 3
TRAVELLING_PART = 0.1
"""Of a round, that the way of the states may take before longer rounds are suggested."""
CHECK_LIMIT_BYTES = 256 * 1_048_576
"""Files up to this size are read here before they are uploaded."""
FIELDS = (
    *("arch", "epochs", "batch", "lr", "seed", "shards", "steps_per_round"),
    *("optimiser", "momentum", "weight_decay", "label_smoothing", "schedule", "averaging"),
    *("shift", "rotation", "thickness", "loss"),
)
"""Options that go into the spec as they are."""
ROLES = ("inputs", "outputs", "test_inputs", "test_outputs")


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    train = add_command(commands, "train", "train a model on all cores of all workers")
    for role in ROLES:
        option = f"--{role.replace('_', '-')}"
        what = "inputs" if role.endswith("inputs") else "outputs"
        purpose = f"{what} to {'measure accuracy with' if role.startswith('test') else 'learn from'}"
        train.add_argument(
            option,
            metavar="F",
            required=not role.startswith("test"),
            help=f"{purpose}: a local file, a folder of images by class, or a file or data set in the cluster",
        )
    train.add_argument(
        "--arch",
        metavar="mlp|cnn|TEXT",
        default="mlp",
        help='or layer by layer: "conv 8 5x5, pool 2, norm, dropout 0.5, dense" (default: mlp)',
    )
    train.add_argument("--epochs", metavar="N", type=positive_integer)
    train.add_argument("--batch", metavar="B", type=positive_integer, help="examples in a mini-batch")
    train.add_argument("--lr", metavar="X", type=positive_number, help="learning rate")
    train.add_argument("--seed", metavar="S", type=natural_number, default=0, help="default: 0")
    train.add_argument(
        "--shards", metavar="K", type=positive_integer, help="default: the cores of the cluster"
    )
    train.add_argument(
        "--steps-per-round", metavar="H", type=positive_integer, help="steps between two averages"
    )
    _add_methods(train)
    train.add_argument(
        "--name", metavar="TEXT", default="", help="a name for people; the id comes from the cluster"
    )
    train.add_argument("--detach", action="store_true", help="do not wait for the end")
    train.set_defaults(run=run_train)


def _add_methods(train: argparse.ArgumentParser) -> None:
    methods = train.add_argument_group("how it learns")
    methods.add_argument("--optimiser", choices=("sgd", "nesterov", "adam"))
    methods.add_argument("--momentum", metavar="M", type=float, help="default: 0.9")
    methods.add_argument("--weight-decay", metavar="W", type=float, help="default: 0")
    methods.add_argument("--label-smoothing", metavar="E", type=float, help="default: 0")
    methods.add_argument(
        "--schedule", choices=("one-cycle", "constant"), help="of the learning rate (default: one-cycle)"
    )
    methods.add_argument(
        "--averaging", metavar="PART", type=float, help="average the weights of this last part of the rounds"
    )
    methods.add_argument(
        "--loss",
        choices=("cross-entropy", "squared"),
        help="outputs are classes, or numbers (default: numbers if any is a fraction)",
    )
    methods.add_argument("--shift", metavar="PIXELS", type=natural_number, help="move images at random")
    methods.add_argument("--rotation", metavar="DEGREES", type=float, help="turn images at random")
    methods.add_argument(
        "--thickness", metavar="PART", type=float, help="draw this part of the signs with thicker strokes"
    )


def run_train(options: argparse.Namespace, console: Console) -> Outcome:
    """Local files are checked before anything is uploaded; Ctrl-C leaves the job to the cluster."""
    if (options.test_inputs is None) != (options.test_outputs is None):
        raise Refused("Test inputs and test outputs belong together.", "Give both, or neither.")
    with tempfile.TemporaryDirectory(prefix="minka-") as scratch:
        for role in ROLES:
            setattr(options, role, _packed(getattr(options, role), Path(scratch)))
        _check_locally(options)
        return _train(options, console)


def _train(options: argparse.Namespace, console: Console) -> Outcome:
    with connect(options) as client:
        files = {role: _file_id(client, getattr(options, role), console) for role in ROLES}
        spec = TrainSpec(
            **files,  # type: ignore[arg-type]  # inputs and outputs are required, so they are not None
            name=options.name,
            **{field: getattr(options, field) for field in FIELDS},
        )
        model: str = client.command(lambda ticket: Train(ticket, spec)).header["model"]
        row = show_model(client, model)
        if not options.detach:
            console.say(f"training model {model}; Ctrl-C leaves it to the cluster.")
            row = watch(client, row, console)
    return training_outcome(row)


def watch(client: ClusterClient, row: dict[str, Any], console: Console) -> dict[str, Any]:
    """The model's row once its job has ended, or at Ctrl-C; until then its progress is shown."""
    model, suggestion = row["id"], ""
    try:
        while row["status"] not in ENDED:
            suggestion = _suggestion(row) or suggestion
            console.progress.update(_progress_text(row))
            row = client.call(ShowModel(model, row["version"], WATCH_S)).header["model"]
    except (Unreachable, TimedOut) as error:
        advice = f'The job is safe in the log: "minka show {model}" once the cluster is back.'
        raise type(error)(error.reason, advice) from error
    except KeyboardInterrupt:
        console.say(f'left. The cluster goes on training; "minka show {model}" tells how far it is.')
    if row["status"] == "done":
        console.progress.update(_progress_text(row))
    if suggestion:
        console.say(suggestion)
    return row


def suggested_steps(row: dict[str, Any]) -> int | None:
    """Steps of a round with which the states' way would take a tenth of the time; None if it does so already.

    `row` is that of a model in training: the way is measured, shard by shard, by the worker that leads.
    """
    computing_s, travelling_s = row.get("computing_s", 0.0), row.get("travelling_s", 0.0)
    if row["round"] < MEASURED_ROUNDS or travelling_s <= TRAVELLING_PART * (computing_s + travelling_s):
        return None
    longer: float = travelling_s / TRAVELLING_PART * (1 - TRAVELLING_PART) / max(computing_s, 1e-3)
    steps: int = row["spec"]["steps_per_round"]
    return math.ceil(longer * steps)


def _suggestion(row: dict[str, Any]) -> str:
    steps = suggested_steps(row)
    if steps is None:
        return ""
    part = row["travelling_s"] / (row["computing_s"] + row["travelling_s"])
    return (
        f"{100 * part:.0f} % of each round went to the states' way between the workers. With --steps-per-round {steps} it "
        "would be about a tenth; the accuracy may be a little lower."
    )


def show_model(client: ClusterClient, model: str) -> dict[str, Any]:
    """All that is known of a model. Raises `Refused` for an unknown one."""
    row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
    return row


def training_outcome(row: dict[str, Any]) -> Outcome:
    """What `minka train` answers about a model, whatever became of it."""
    history = [{key: each.get(key) for key in ("round", "loss", "test_accuracy")} for each in row["history"]]
    keys = ("status", "digest", "test_accuracy", "epochs", "rounds", "seconds", "images_per_second")
    document = {"model": row["id"], **{key: row[key] for key in keys}, "history": history}
    speed = row["images_per_second"]
    text = listing(
        [
            ("model", row["id"]),
            ("name", row["name"] or None),
            ("status", row["status"]),
            ("test accuracy", percent(row["test_accuracy"])),
            ("time", f"{row['seconds']:.1f} s, {speed:,.0f} images/s" if row["seconds"] and speed else None),
            ("SHA-256", row["digest"]),
        ]
    )
    failure = None
    if row["status"] == "failed":
        failure = f'Training {row["id"]} failed: {row["error"]} ("minka show {row["id"]}" has the traceback.)'
    elif row["status"] == "cancelled":
        failure = f"Training {row['id']} was cancelled."
    return Outcome(document, text, failure)


def _progress_text(row: dict[str, Any]) -> str:
    if not row["rounds"]:
        return f"{row['status']}: the cluster reads the data"
    parts = [f"round {row['round']} of {row['rounds']}  {bar(row['round'] / row['rounds'])}"]
    losses = [each["loss"] for each in row["history"] if each.get("loss") is not None]
    accuracies = [each["test_accuracy"] for each in row["history"] if each.get("test_accuracy") is not None]
    if losses:
        parts.append(f"loss {losses[-1]:.4f}")
    if accuracies:
        parts.append(f"accuracy {percent(accuracies[-1])}")
    if row["images_per_second"]:
        parts.append(f"{row['images_per_second']:,.0f} images/s")
    return "  ".join(parts)


def _check_locally(options: argparse.Namespace) -> None:
    """What can be seen from here alone: unreadable files, corrupt ones, as many labels as images."""
    for inputs, outputs in (ROLES[:2], ROLES[2:]):
        paths = [_local(getattr(options, role)) for role in (inputs, outputs)]
        if all(path is None or checked_file(path) <= CHECK_LIMIT_BYTES for path in paths):
            _check_pair(paths[0], paths[1], options.loss)


def _check_pair(inputs: Path | None, outputs: Path | None, loss: str | None) -> None:
    """Read what is local of a data set as the cluster will. Raises `Refused` as it would."""
    from shared.datasets import load_inputs, paired  # brings numpy: only where it is needed
    from shared.tables import load_outputs_as, load_vectors

    expected = None if outputs is None else load_outputs_as(loss, outputs, str(outputs))[1]
    if inputs is None or (zipfile.is_zipfile(inputs) and inputs.suffix.lower() != ".npz"):
        return  # images in an archive may be of any size, and are decoded by the cluster
    vectors = load_vectors(inputs, str(inputs))
    count = len(load_inputs(inputs, str(inputs)) if vectors is None else vectors[0])
    if expected is not None:
        paired(count, expected, str(outputs))


def _packed(file: str | None, scratch: Path) -> str | None:
    """`file`, or the archive that is made of it if it is a folder of images by class; of equal images, equal bytes."""
    folder = None if file is None else Path(file)
    if folder is None or not folder.is_dir():
        return file
    target = scratch / f"{folder.resolve().name}.zip"
    if not target.exists():
        pack(folder, target)
    return str(target)


def _local(file: str | None) -> Path | None:
    """The path that is meant, if it is one: a local file goes before a file of the cluster."""
    if file is None:
        return None
    path = Path(file)
    if path.exists():
        return path
    if path.suffix and path.parent != Path():
        raise Refused(
            f"{path} does not exist here.", 'Name a local file, or a file of the cluster ("minka ls").'
        )
    return None


def _file_id(client: ClusterClient, file: str | None, console: Console) -> int | None:
    """The id of the file that is meant, uploaded if it is local and the cluster has no such file yet."""
    if file is None:
        return None
    path = _local(file)
    if path is None:
        return _id_in_cluster(client, file)
    held = _held_already(client, path)
    if held is not None:
        return held
    row = upload(
        client, path, path.name, TransferMeter(console.progress, f"uploading {printable(path.name)}")
    )
    console.progress.end()
    return int(row["id"])


def _id_in_cluster(client: ClusterClient, file: str) -> int:
    """A file of the cluster, or a data set that grows there."""
    try:
        return int(find_file(client, file)["id"])
    except Refused as refusal:
        try:
            return int(client.call(FindDataset(file)).header["dataset"]["id"])
        except Refused:
            raise refusal from None


def _held_already(client: ClusterClient, path: Path) -> int | None:
    """The id of the cluster's only file of that name, if its bytes are those of `path`."""
    try:
        row = find_file(client, path.name)
    except Refused:
        return None
    return int(row["id"]) if row["name"] == path.name and row["digest"] == digest_of(path) else None
