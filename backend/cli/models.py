"""models · show · cancel."""

import argparse
from collections.abc import Iterator
from typing import Any

from backend.cli.console import Console, Outcome, listing, moment, percent, printable, short, table
from backend.cli.options import Commands, add_command, connect
from backend.cli.train import show_model
from backend.client import ClusterClient
from shared.messages import Audit, Cancel, Models

AUDIT_ANSWER_S = 3_600.0

SUMMARY = ("id", "name", "status", "arch", "digest", "test_accuracy", "progress", "aliases")


def add_commands(commands: Commands) -> None:
    """Add this family to the parser."""
    models = add_command(commands, "models", "list the models")
    models.set_defaults(run=run_models)
    show = add_command(commands, "show", "show all that is known of a model")
    show.add_argument("model", metavar="MODEL")
    show.add_argument(
        "--audit",
        action="store_true",
        help="have some worker compute the rounds from one of its checkpoints to the next again, and compare the bits",
    )
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
    """The row of `models`, the job's record, and where the model comes from; with --audit, whether that can be repeated."""
    with connect(options) as client:
        row = show_model(client, options.model)
        if options.audit:
            row["audit"] = client.call_any(Audit(row["id"]), answer_s=AUDIT_ANSWER_S).header["audit"]
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
        *(audit_lines(row["audit"]) if "audit" in row else []),
    ]
    text = listing(pairs)
    if row.get("traceback"):
        text += "\n\n" + "\n".join(printable(line) for line in row["traceback"].splitlines())
    failure = None
    if "audit" in row and not row["audit"]["equal"]:
        failure = (
            f"The audit of {row['id']} failed: computing it again gives other bits. {_why(row['audit'])}"
        )
    return Outcome(row, text, failure)


def audit_lines(audit: dict[str, Any]) -> list[tuple[str, str | None]]:
    """What an audit has found, as lines of a listing."""
    stretch = f"rounds {audit['from_round'] + 1} to {audit['to_round']}, computed again on {audit['worker']}"
    computed_on = [(f"  {name}", _plain(value)) for name, value in audit["computed_on"].items()]
    found: list[tuple[str, str | None]] = [
        ("audit", "confirmed: the same bits" if audit["equal"] else "NOT confirmed: other bits"),
        ("  what", f"{stretch} in {audit['seconds']:.1f} s"),
    ]
    for name in ("digest", "chain"):
        expected, got = audit["expected"][name], audit["found"][name]
        found.append((f"  {name}", expected if got == expected else f"{got} instead of {expected}"))
    return found + computed_on


def _why(audit: dict[str, Any]) -> str:
    if audit["unlike"]:
        return f"{audit['worker']} is unlike where it was trained: {', '.join(audit['unlike'])}."
    return "A worker has computed wrongly, or a checkpoint is forged."


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
