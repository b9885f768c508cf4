"""models · show · cancel."""

import argparse
from collections.abc import Iterator
from typing import Any

from backend.cli.console import Console, Outcome, listing, moment, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect
from backend.cli.train import show_model
from backend.client import ClusterClient
from shared.messages import Cancel, Models

SUMMARY = ("id", "name", "status", "arch", "digest", "test_accuracy", "progress", "aliases")


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    models = add_command(commands, "models", "list the models")
    models.set_defaults(run=run_models)
    show = add_command(commands, "show", "show all that is known of a model")
    show.add_argument("model", metavar="MODEL")
    show.set_defaults(run=run_show)
    cancel = add_command(commands, "cancel", "stop the training of a model")
    cancel.add_argument("model", metavar="MODEL")
    cancel.set_defaults(run=run_cancel)


def run_models(options: argparse.Namespace, _console: Console) -> Outcome:
    """All models, those in training too."""
    with connect(options) as client:
        rows = list(all_models(client))
    shown = [
        (
            row["id"],
            ", ".join((row["name"], *row["aliases"])),
            f"{row['status']} {100 * row['progress']:.0f} %"
            if row["status"] == "training"
            else row["status"],
            row["arch"],
            percent(row["test_accuracy"]),
            short(row["digest"]),
        )
        for row in rows
    ]
    text = (
        table(("MODEL", "NAME", "STATUS", "ARCH", "ACCURACY", "SHA-256"), shown) if rows else "no models yet"
    )
    return Outcome({"models": [{key: row[key] for key in SUMMARY} for row in rows]}, text)


def run_show(options: argparse.Namespace, _console: Console) -> Outcome:
    """The row of `models`, the job's record, and where the model comes from."""
    with connect(options) as client:
        row = show_model(client, options.model)
    spec = [(f"  {name}", _plain(value)) for name, value in row["spec"].items()]
    lineage = [(f"  {name}", _plain(value)) for name, value in row["lineage"].items()]
    pairs = [
        ("model", row["id"]),
        ("name", row["name"] or None),
        ("aliases", ", ".join(row["aliases"]) or None),
        ("status", row["status"]),
        ("error", row["error"]),
        ("created", moment(row["created"])),
        ("round", f"{row['round']} of {row['rounds']}" if row["rounds"] else None),
        ("test accuracy", percent(row["test_accuracy"])),
        ("evaluated", _evaluated(row["evaluation"])),
        ("seconds", f"{row['seconds']:.2f}" if row["seconds"] else None),
        ("images per second", f"{row['images_per_second']:,.0f}" if row["images_per_second"] else None),
        ("SHA-256", row["digest"]),
        *([("spec", ""), *spec] if spec else []),
        *([("lineage", ""), *lineage] if lineage else []),
    ]
    text = listing(pairs)
    if row.get("traceback"):
        text += "\n\n" + "\n".join(printable(line) for line in row["traceback"].splitlines())
    return Outcome(row, text)


def run_cancel(options: argparse.Namespace, _console: Console) -> Outcome:
    """A job that has ended already is refused."""
    with connect(options) as client:
        answer = client.command(lambda ticket: Cancel(ticket, options.model)).header
    document = {"model": answer["model"], "status": answer["status"]}
    return Outcome(document, f"{answer['model']} {answer['status']}")


def all_models(client: ClusterClient) -> Iterator[dict[str, Any]]:
    """The rows of all models, page by page."""
    after, more = "", True
    while more:
        answer = client.call(Models(after)).header
        yield from answer["models"]
        more = answer["more"] and bool(answer["models"])
        after = answer["models"][-1]["id"] if answer["models"] else after


def _evaluated(found: dict[str, Any] | None) -> str | None:
    if found is None:
        return None
    return f"{percent(found['accuracy'])} of {found['images']:,} ({found['inputs']}, {moment(found['time'])})"


def _plain(value: Any) -> str | None:
    if isinstance(value, list | tuple):
        return " ".join(str(each) for each in value)
    return None if value is None else str(value)
