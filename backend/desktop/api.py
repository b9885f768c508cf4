"""The JSON requests of the page, as a table: method, path, and what answers.

What the board knows is answered at once, in the server's loop; what asks the cluster or the disk is answered by a small
pool of threads. An error is {"code", "reason", "advice"} with a matching status.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backend.desktop.board import Board
from backend.desktop.handles import FileHandles
from backend.desktop.jobs import TransferDesk
from backend.desktop.link import REQUEST_S, ClusterLink
from backend.desktop.model_desk import ModelDesk
from backend.desktop.spool import Arrival, Spool
from backend.desktop.transfer_queue import TransferQueue
from backend.predictions import read
from shared.errors import MinkaError, Refused
from shared.fields import decode
from shared.http1 import Request
from shared.http_errors import MethodNotAllowed, NotFound
from shared.http_responses import Response, json_response
from shared.messages import (
    NAME_CHARACTERS,
    PREDICT_BYTES,
    Cancel,
    Predict,
    PredictInput,
    Remove,
    ShowModel,
    Train,
    TrainSpec,
)

MAX_FILE_BYTES = 1 << 40

STATUSES = {
    "refused": 422,
    "no_space": 507,
    "violation": 502,
    "access_denied": 502,
    "unreachable": 503,
    "not_leader": 503,
    "busy": 503,
    "timed_out": 504,
    "outcome_unknown": 504,
}


class Chooser(Protocol):
    """Asks the person at this computer for places; in a thread that may wait."""

    def open_files(self) -> list[Path]:
        """The files to upload; none when the person thinks better of it."""

    def save_as(self, name: str) -> Path | None:
        """Where a file called `name` goes; None when the person thinks better of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the page: the groups of its path, its query, its body."""

    groups: tuple[str, ...]
    query: dict[str, str]
    body: bytes

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `Refused`."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Refused("The body is not JSON.") from error
        if not isinstance(value, dict):
            raise Refused("The body is not a JSON object.")
        return value

    def number(self, name: str, most: int = MAX_FILE_BYTES) -> int:
        """A whole number of the query. Raises `Refused`."""
        text = self.query.get(name, "")
        if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > most:
            raise Refused(f"{name!r} must be a whole number up to {most}.")
        return int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a method at a path; `waits` is for what asks the cluster, the disk or the person."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Call], Any]
    waits: bool


class Api:
    """What the page may ask. `answer` gives a value for JSON, or a `Response`."""

    def __init__(
        self,
        board: Board,
        link: ClusterLink,
        queue: TransferQueue,
        desk: TransferDesk,
        models: ModelDesk,
        handles: FileHandles,
        spool: Spool,
        chooser: Chooser,
        committed: Callable[[], None],
    ) -> None:
        """`committed` is called after each command that the cluster has taken."""
        self._board = board
        self._link = link
        self._queue = queue
        self._desk = desk
        self._models = models
        self._handles = handles
        self._spool = spool
        self._chooser = chooser
        self._committed = committed
        number, name = r"(\d{1,15})", r"([\w.:\-]{1,128})"
        self._routes = [
            Route(method, re.compile(path), answer, waits)
            for method, path, answer, waits in (
                ("GET", "/api/versions", lambda _: board.versions(), False),
                ("GET", "/api/(connection|cluster)", lambda call: board.get(call.groups[0]), False),
                ("GET", "/api/transfers", lambda _: queue.summary(), False),
                ("GET", "/api/(files|models)", self._rows, True),
                ("GET", "/api/records", self._records, True),
                ("POST", "/api/files/choose", self._choose, True),
                ("DELETE", f"/api/files/{number}", self._remove, True),
                ("POST", "/api/uploads", self._begin_upload, True),
                ("PUT", f"/api/uploads/{number}", self._go_on, True),
                ("POST", "/api/uploads/handles", self._upload_handles, True),
                ("GET", f"/api/handles/{name}", self._read_handle, True),
                ("POST", f"/api/files/{number}/download", self._download, True),
                ("POST", f"/api/transfers/{number}/cancel", self._cancel_transfer, False),
                ("POST", f"/api/transfers/{number}/retry", self._retry_transfer, False),
                ("POST", "/api/transfers/clear", self._clear_transfers, False),
                ("POST", "/api/models", self._train, True),
                ("GET", f"/api/models/{name}", self._show_model, True),
                ("POST", f"/api/models/{name}/cancel", self._cancel_model, True),
                ("POST", f"/api/models/{name}/predict", self._predict, True),
                ("POST", f"/api/models/{name}/evaluate", self._evaluate, True),
                ("POST", f"/api/models/{name}/promote", self._promote, True),
                ("POST", f"/api/models/{name}/export", self._export, True),
                ("POST", "/api/aliases/roll_back", self._roll_back, True),
            )
        ]

    def route(self, request: Request) -> tuple[Route, Call]:
        """Who answers. Raises `NotFound`, `MethodNotAllowed`."""
        allowed = []
        for route in self._routes:
            match = route.pattern.fullmatch(request.path)
            if match is None:
                continue
            if route.method == request.method:
                return route, Call(match.groups(), dict(request.head.query), request.body)
            allowed.append(route.method)
        if allowed:
            raise MethodNotAllowed(tuple(allowed))
        raise NotFound("There is no such request.")

    # --- what the board knows

    def _rows(self, call: Call) -> Any:
        topic = "files" if call.groups[0] == "files" else "models"
        rows = self._board.get("files" if topic == "files" else "models")
        return {topic: rows, "known": rows is not None}

    def _records(self, call: Call) -> Any:
        after = call.number("after") if "after" in call.query else 0
        rows = self._board.get("records")
        return {"records": [row for row in rows or () if row["record"] > after], "known": rows is not None}

    # --- files

    def _choose(self, _call: Call) -> Any:
        offers = self._handles.offer(self._chooser.open_files())
        return {"handles": [offer.row() for offer in offers]}

    def _remove(self, call: Call) -> Any:
        file = int(call.groups[0])
        answer = self._link.client(REQUEST_S).command(lambda ticket: Remove(ticket, file))
        self._committed()
        return answer.header["file"]

    def _begin_upload(self, call: Call) -> Any:
        name = call.query.get("name", "")
        if not 0 < len(name) <= NAME_CHARACTERS:
            raise Refused(f"The name of a file has 1 to {NAME_CHARACTERS} characters.")
        arrival = self._spool.begin(name, call.number("bytes"))
        return self._receive(arrival, 0, call.body)

    def _go_on(self, call: Call) -> Any:
        return self._receive(self._spool.find(int(call.groups[0])), call.number("offset"), call.body)

    def _receive(self, arrival: Arrival, offset: int, data: bytes) -> Any:
        try:
            self._spool.append(arrival, offset, data)
        except OSError as error:
            raise Refused(
                f"{arrival.name!r} cannot be kept here: {error.strerror}.", "Make room on the disk."
            ) from error
        row = self._desk.upload_arrival(arrival) if arrival.whole else None
        return {"upload": arrival.id, "offset": arrival.received, "transfer": row}

    def _upload_handles(self, call: Call) -> Any:
        handles = call.fields().get("handles")
        if not isinstance(handles, list) or not all(isinstance(handle, str) for handle in handles):
            raise Refused("'handles' must be an array of texts.")
        paths = [self._handles.path(handle) for handle in handles]
        return {"transfers": sum(len(self._desk.upload_path(path)) for path in paths)}

    def _read_handle(self, call: Call) -> Response:
        path = self._handles.path(call.groups[0])
        try:
            with path.open("rb") as file:
                data = file.read(PREDICT_BYTES + 1)
        except OSError as error:
            raise Refused(f"{path.name!r} cannot be read: {error.strerror}.") from error
        if len(data) > PREDICT_BYTES:
            raise Refused(f"{path.name!r} is too large to be one image.")
        headers = (("Content-Type", "application/octet-stream"), ("Cache-Control", "no-store"))
        return Response(200, headers, data)

    def _download(self, call: Call) -> Any:
        file = int(call.groups[0])
        row = next((row for row in self._board.get("files") or () if row["id"] == file), None)
        if row is None:
            raise Refused("This file is not in the cluster any more.")
        target = self._chooser.save_as(str(row["name"]).rsplit("/", 1)[-1])
        return {"transfer": None if target is None else self._desk.download(row, target)}

    def _cancel_transfer(self, call: Call) -> Any:
        self._queue.cancel(int(call.groups[0]))
        return {}

    def _retry_transfer(self, call: Call) -> Any:
        self._queue.retry(int(call.groups[0]))
        return {}

    def _clear_transfers(self, _call: Call) -> Any:
        self._queue.clear()
        return {}

    # --- models

    def _train(self, call: Call) -> Any:
        spec = decode(TrainSpec, call.fields())
        answer = self._link.client(REQUEST_S).command(lambda ticket: Train(ticket, spec))
        self._committed()
        return {"model": answer.header["model"]}

    def _show_model(self, call: Call) -> Any:
        return self._link.client(REQUEST_S).call(ShowModel(call.groups[0])).header["model"]

    def _cancel_model(self, call: Call) -> Any:
        model = call.groups[0]
        answer = self._link.client(REQUEST_S).command(lambda ticket: Cancel(ticket, model))
        self._committed()
        return {"model": answer.header["model"], "status": answer.header["status"]}

    def _predict(self, call: Call) -> Any:
        if not 0 < len(call.body) <= PREDICT_BYTES:
            raise Refused("An image has 1 byte to 16 MiB.")
        request = Predict(call.groups[0], (PredictInput("image", len(call.body)),))
        found = read(self._link.client(REQUEST_S).call_any(request, call.body))
        return {**found.receipt, "outputs": found.outputs()}

    def _evaluate(self, call: Call) -> Any:
        asked = call.fields()
        return self._models.evaluate(call.groups[0], asked.get("inputs"), asked.get("outputs"))

    def _promote(self, call: Call) -> Any:
        return self._models.promote(call.groups[0], call.fields().get("alias"))

    def _roll_back(self, call: Call) -> Any:
        return self._models.roll_back(call.fields().get("alias"))

    def _export(self, call: Call) -> Any:
        return self._models.export(call.groups[0], call.fields().get("format", "npz"))


def error_answer(error: MinkaError) -> Response:
    """What the page is told of a failure."""
    told = {"code": error.code, "reason": error.reason, "advice": error.advice}
    return json_response(told, STATUSES.get(error.code, 500))
