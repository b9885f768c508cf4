"""What the page asks about data sets: those that grow in the cluster, and what is in files."""

from collections.abc import Callable
from typing import Any

from backend.desktop.board import Board
from backend.desktop.calls import NUMBER, Call, Route, route
from backend.desktop.gallery import Gallery
from backend.desktop.link import REQUEST_S, ClusterLink
from backend.transfers import add_example
from shared.errors import Refused
from shared.http_responses import Response
from shared.messages import NAME_CHARACTERS, PREDICT_BYTES, Examples, FindDataset

DIGEST = r"([0-9a-f]{64})"


class DatasetRequests:
    """Answers them, in threads that may wait."""

    def __init__(self, board: Board, link: ClusterLink, committed: Callable[[], None]) -> None:
        """`committed` is called after each example that the cluster has taken."""
        self._board = board
        self._link = link
        self._committed = committed
        self._gallery = Gallery(link)

    @property
    def routes(self) -> list[Route]:
        return [
            route("GET", "/api/datasets", self._list, waits=False),
            route("GET", "/api/datasets/one", self._one),
            route("GET", "/api/datasets/examples", self._examples),
            route("POST", "/api/datasets/examples", self._add),
            route("GET", f"/api/pictures/{DIGEST}", self._picture),
            route("GET", f"/api/files/{NUMBER}/look", self._look),
        ]

    def _list(self, _call: Call) -> Any:
        rows = self._board.get("datasets")
        return {"datasets": rows, "known": rows is not None}

    def _one(self, call: Call) -> Any:
        return self._link.client(REQUEST_S).call(FindDataset(_name(call))).header["dataset"]

    def _examples(self, call: Call) -> Any:
        before = call.number("before", 2**63 - 1) if "before" in call.query else None
        label = call.query.get("label") or None
        answer = self._link.client(REQUEST_S).call(Examples(_name(call), before, label)).header
        return {"examples": answer["examples"], "more": answer["more"]}

    def _add(self, call: Call) -> Any:
        """The body is one image; what is none is refused here, before anything is sent."""
        from shared.images import decode  # brings numpy: only where it is needed

        if not 0 < len(call.body) <= PREDICT_BYTES:
            raise Refused("An image has 1 byte to 16 MiB.")
        decode(call.body)
        client = self._link.client(REQUEST_S)
        added = add_example(client, call.body, _name(call), call.query.get("label", "").strip())
        self._committed()
        return added

    def _picture(self, call: Call) -> Response:
        picture = self._gallery.picture(call.groups[0], call.number("bytes"))
        headers = (("Content-Type", "image/png"), ("Cache-Control", "private, max-age=86400, immutable"))
        return Response(200, headers, picture)

    def _look(self, call: Call) -> Any:
        file = int(call.groups[0])
        row = next((row for row in self._board.get("files") or () if row["id"] == file), None)
        if row is None:
            raise Refused("This file is not in the cluster any more.")
        return self._gallery.look_into(row)


def _name(call: Call) -> str:
    name = call.query.get("dataset", "").strip()
    if not 0 < len(name) <= NAME_CHARACTERS:
        raise Refused(f"The name of a data set has 1 to {NAME_CHARACTERS} characters.")
    return name
