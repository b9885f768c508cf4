"""The JSON requests of the page, as a table: method, path, and what answers.

What the board knows is answered at once, in the server's loop; what asks the cluster or the disk is answered by a small
pool of threads. An error is {"code", "reason", "advice"} with a matching status.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

from backend.desktop.board import Board
from backend.desktop.calls import NAME, NUMBER, Call, Route, route
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

    def open_folder(self) -> list[Path]:
        """The folder to upload; none when the person thinks better of it."""

    def save_as(self, name: str) -> Path | None:
        """Where a file called `name` goes; None when the person thinks better of it."""


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
        others: Iterable[Route],
    ) -> None:
        """`committed` is called after each command that the cluster has taken; `others` are answered elsewhere."""
        self._board = board
        self._link = link
        self._queue = queue
        self._desk = desk
        self._models = models
        self._handles = handles
        self._spool = spool
        self._chooser = chooser
        self._committed = committed
        self.routes = [
            route("GET", "/api/versions", lambda _: board.versions(), waits=False),
            route("GET", "/api/connection", lambda _: board.get("connection"), waits=False),
            route("GET", "/api/cluster", lambda _: board.get("cluster"), waits=False),
            route("GET", "/api/transfers", lambda _: queue.summary(), waits=False),
            route("GET", "/api/(files|models)", self._rows),
            route("GET", "/api/records", self._records),
            route("POST", "/api/files/choose", self._choose),
            route("DELETE", f"/api/files/{NUMBER}", self._remove),
            route("POST", "/api/uploads", self._begin_upload),
            route("PUT", f"/api/uploads/{NUMBER}", self._go_on),
            route("POST", "/api/uploads/handles", self._upload_handles),
            route("GET", f"/api/handles/{NAME}", self._read_handle),
            route("POST", f"/api/files/{NUMBER}/download", self._download),
            route("POST", f"/api/transfers/{NUMBER}/cancel", self._cancel_transfer, waits=False),
            route("POST", f"/api/transfers/{NUMBER}/retry", self._retry_transfer, waits=False),
            route("POST", "/api/transfers/(stop|again|clear)", self._all_transfers, waits=False),
            route("POST", "/api/models", self._train),
            route("GET", f"/api/models/{NAME}", self._show_model),
            route("POST", f"/api/models/{NAME}/cancel", self._cancel_model),
            route("POST", f"/api/models/{NAME}/predict", self._predict),
            route("POST", f"/api/models/{NAME}/evaluate", self._evaluate),
            route("POST", f"/api/models/{NAME}/promote", self._promote),
            route("POST", f"/api/models/{NAME}/export", self._export),
            route("POST", "/api/aliases/roll_back", self._roll_back),
            *others,
        ]

    def route(self, request: Request) -> tuple[Route, Call]:
        """Who answers. Raises `NotFound`, `MethodNotAllowed`."""
        allowed = []
        for each in self.routes:
            match = each.pattern.fullmatch(request.path)
            if match is None:
                continue
            if each.method == request.method:
                return each, Call(match.groups(), dict(request.head.query), request.body)
            allowed.append(each.method)
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

    def _choose(self, call: Call) -> Any:
        ask = self._chooser.open_folder if call.query.get("what") == "folder" else self._chooser.open_files
        offers = self._handles.offer(ask())
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

    def _all_transfers(self, call: Call) -> Any:
        {"stop": self._queue.stop, "again": self._queue.again, "clear": self._queue.clear}[call.groups[0]]()
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
