"""Models for other programs: their weights, fetched and written to a file of one of several formats."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.client import ClusterClient
from backend.transfers import Progress, fetch, no_progress
from shared.errors import Refused
from shared.messages import ShowModel

FORMATS = ("npz", "onnx")


def trained_model(client: ClusterClient, model: str) -> dict[str, Any]:
    """All that is known of a model that has weights. Raises `Refused` for another, and as `ClusterClient.call`."""
    row: dict[str, Any] = client.call(ShowModel(model)).header["model"]
    if row["digest"] is None:
        raise Refused(
            f"{row['id']} is {row['status']}: it has no weights yet.", f'See "minka show {row["id"]}".'
        )
    return row


def check_format(format: str) -> None:
    """Raises `Refused` for one that is not among `FORMATS`."""
    if format not in FORMATS:
        raise Refused(f"There is no format {format[:20]!r}.", f"Choose one of: {', '.join(FORMATS)}.")


def export(
    client: ClusterClient,
    row: Mapping[str, Any],
    target: Path,
    format: str,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Write the weights of the model in `row` (of `trained_model`) to `target`, whole or not at all.

    {"path", "format", "bytes", "digest": that of the weights, not of the file, "arrays": their names}. Raises `Refused`
    when the file cannot be written, or the model not in this format; and as `fetch`.
    """
    check_format(format)
    blob = fetch(client, row["digest"], row["bytes"], progress)
    from backend.onnx_model import write_onnx  # these bring numpy: only where it is needed
    from backend.weights import write_npz

    arrays = (write_onnx if format == "onnx" else write_npz)(row, blob, target)
    size_bytes = target.stat().st_size
    about = {"path": str(target), "format": format, "bytes": size_bytes}
    return {**about, "digest": row["digest"], "arrays": arrays}
