"""What the page may do with a trained model: evaluate it, let aliases point to it, take its weights home."""

import base64
import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from backend.client import ClusterClient
from backend.desktop.board import Board
from backend.desktop.handles import FileHandles
from backend.desktop.link import REQUEST_S, TRANSFER_S, ClusterLink
from backend.exports import check_format, export, trained_model
from backend.transfers import download
from shared.errors import Refused
from shared.evaluations import WORST_KEPT
from shared.messages import Operation, Promote, RollBack, Ticket

PICTURE_SIDE = 96
"""Pixels of an error's picture; a larger image is shown smaller."""


class SaveDialog(Protocol):
    """Asks the person at this computer for a place."""

    def save_as(self, name: str) -> Path | None:
        """Where a file called `name` goes; None when the person thinks better of it."""


class ModelDesk:
    """Called in threads that may wait. Everything raises `Refused`, and as `ClusterClient`."""

    def __init__(
        self,
        board: Board,
        link: ClusterLink,
        handles: FileHandles,
        dialog: SaveDialog,
        committed: Callable[[], None],
    ) -> None:
        """`committed` is called after each command that the cluster has taken."""
        self._board = board
        self._link = link
        self._handles = handles
        self._dialog = dialog
        self._committed = committed

    def evaluate(self, model: str, inputs: Any, outputs: Any) -> dict[str, Any]:
        """Compare what the model says of `inputs` with the labels in `outputs`, and keep that with the model.

        Each is the id of a file in the cluster, or a handle of one on this computer. The answer is a receipt and the
        evaluation; each of the worst errors has its `picture`, a PNG as a data URL, if the inputs are images.
        """
        from backend.evaluation import evaluate_files, note  # brings numpy: only where it is needed

        client = self._link.client(TRANSFER_S)
        with tempfile.TemporaryDirectory(prefix="minka-") as scratch:
            # A folder for each: what a file is may be told from its name, and both may have the same.
            images = self._place(client, inputs, Path(scratch, "inputs"))
            labels = self._place(client, outputs, Path(scratch, "outputs"))
            receipt, found = evaluate_files(client, model, images, labels, WORST_KEPT)
            worst = with_pictures(found.worst, images)
            index = note(client, receipt["model"], images.name, found)
        self._committed()
        return receipt | found.public() | {"inputs": images.name, "worst": worst, "index": index}

    def promote(self, model: str, alias: Any) -> dict[str, Any]:
        """Let the alias of the model's name point to it: {"alias", "model", "before"}."""
        checked = _text(alias)
        return self._point(lambda ticket: Promote(ticket, model, checked))

    def roll_back(self, alias: Any) -> dict[str, Any]:
        """Let the alias, "name@alias", point where it did before: as `promote`."""
        checked = _text(alias)
        return self._point(lambda ticket: RollBack(ticket, checked))

    def export(self, model: str, format: Any) -> dict[str, Any]:
        """Write the weights where the person says: as `backend.exports.export`, or {"path": None} if nowhere."""
        checked = _text(format)
        check_format(checked)
        client = self._link.client(TRANSFER_S)
        row = trained_model(client, model)
        target = self._dialog.save_as(f"{row['name'] or row['id']}.{checked}".replace("/", "-"))
        return {"path": None} if target is None else export(client, row, target, checked)

    def _point(self, make: Callable[[Ticket], Operation]) -> dict[str, Any]:
        answer = self._link.client(REQUEST_S).command(make).header
        self._committed()
        return {key: answer[key] for key in ("alias", "model", "before")}

    def _place(self, client: ClusterClient, wanted: Any, folder: Path) -> Path:
        """Where the bytes of a file in the cluster, or of a handle, are on this computer."""
        if isinstance(wanted, str):
            return self._handles.path(wanted)
        row = next((row for row in self._board.get("files") or () if row["id"] == wanted), None)
        if row is None:
            raise Refused("This file is not in the cluster any more.", "Choose another.")
        folder.mkdir()
        return download(client, row, folder / str(row["name"]).replace("\\", "/").rsplit("/", 1)[-1]).path


def with_pictures(worst: list[dict[str, Any]], inputs: Path) -> list[dict[str, Any]]:
    """Each of these errors, with its image if `inputs` are images."""
    from PIL import Image

    from shared.datasets import load_inputs
    from shared.tables import load_vectors

    if load_vectors(inputs, inputs.name) is not None:
        return worst
    images = load_inputs(inputs, inputs.name)
    shown = []
    for error in worst:
        image = images[error["image"]]
        thumb = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        thumb.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
        file = io.BytesIO()
        thumb.save(file, "PNG")
        picture = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
        shown.append(error | {"picture": picture})
    return shown


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("An alias, and a format, must be a text.")
    return value
