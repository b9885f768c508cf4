"""Keeps the board true: a thread that asks the cluster what is new, and says so when it cannot.

Each turn asks for the status; only when the commit index or the leader has moved are files, models and records asked
for. When no worker answers, the state is "connecting" with the reason, and the thread goes on trying: the page needs no
button for it. States: connecting, online, refused (the key is not theirs), unset (no cluster is known here).
"""

import threading
from collections import deque
from typing import Any

from backend.client import ClusterClient
from backend.desktop.board import Board
from backend.desktop.link import WATCH_S, ClusterLink, NoCluster
from shared.errors import AccessDenied, MinkaError, Unreachable
from shared.messages import PAGE_ROWS, Datasets, Files, Models, Records, Status

INTERVAL_S = 0.7
RECORDS_KEPT = 1_000
FILES_KEPT = 100_000


class ClusterWatch:
    """Polls in `run`, until `stop`."""

    def __init__(self, link: ClusterLink, board: Board, interval_s: float) -> None:
        self._link = link
        self._board = board
        self._interval_s = interval_s
        self._wake = threading.Event()
        self._stopping = False
        self._seen: tuple[Any, ...] | None = None
        self._records: deque[dict[str, Any]] = deque(maxlen=RECORDS_KEPT)
        self._last_record = 0
        self._tell("connecting")

    def run(self) -> None:
        """Turns until `stop`."""
        while not self._stopping:
            self.turn()
            self._wake.wait(self._interval_s)
            self._wake.clear()

    def stop(self) -> None:
        """Ends `run` after the request that is under way."""
        self._stopping = True
        self._wake.set()

    def soon(self) -> None:
        """Something was just changed from here: look without waiting."""
        self._wake.set()

    def turn(self) -> None:
        """One look at the cluster."""
        try:
            self._link.renew()
        except MinkaError as error:
            absent = isinstance(error, Unreachable) and not isinstance(error, NoCluster)
            self._tell("connecting" if absent else "unset", error)
            return
        try:
            client = self._link.client(WATCH_S)
            status = client.call(Status()).header
            self._refresh(client, status)
        except MinkaError as error:
            self._seen = None
            # A wrong key will not heal by waiting: the words must not promise that.
            self._tell("refused" if isinstance(error, AccessDenied) else "connecting", error)
            return
        self._board.put("cluster", status)
        self._tell("online", leader=status.get("leader"))

    def _tell(self, state: str, error: MinkaError | None = None, leader: str | None = None) -> None:
        code, reason, advice = ("", "", "") if error is None else (error.code, error.reason, error.advice)
        self._board.put(
            "connection",
            {"state": state, "code": code, "reason": reason, "advice": advice, "leader": leader},
        )

    def _refresh(self, client: ClusterClient, status: dict[str, Any]) -> None:
        # The holders of a file change as its bytes spread, without an entry in the log.
        spread = tuple(
            (row.get("id"), row.get("applied_index"), row.get("files")) for row in status["workers"]
        )
        seen = (status.get("leader"), status.get("term"), status.get("commit_index"), spread)
        if seen == self._seen:
            return
        self._board.put("models", _models(client))
        self._board.put("files", _files(client))
        self._board.put("datasets", _datasets(client))
        self._refresh_records(client)
        self._seen = seen

    def _refresh_records(self, client: ClusterClient) -> None:
        last_known = self._last_record
        request = Records(after=last_known) if last_known else Records(tail=RECORDS_KEPT)
        while True:
            answer = client.call(request).header
            rows = list(answer.get("records", ()))
            last = int(answer.get("last", 0))
            if last < self._last_record:
                # Another cluster, or one that began anew: what was shown is not its history.
                self._records.clear()
                self._last_record = 0
                request = Records(tail=RECORDS_KEPT)
                continue
            self._records.extend(row for row in rows if row["record"] > self._last_record)
            if rows:
                self._last_record = int(rows[-1]["record"])
            if not rows or self._last_record >= last:
                break
            request = Records(after=self._last_record)
        self._board.put("records", tuple(self._records))


def _files(client: ClusterClient) -> tuple[dict[str, Any], ...]:
    rows: list[dict[str, Any]] = []
    while len(rows) < FILES_KEPT:
        page = client.call(Files(after=int(rows[-1]["id"]) if rows else 0)).header
        rows.extend(page["files"])
        if not page.get("more") or not page["files"]:
            break
    return tuple(rows)


def _datasets(client: ClusterClient) -> tuple[dict[str, Any], ...]:
    rows: list[dict[str, Any]] = []
    while len(rows) < PAGE_ROWS * 10:
        page = client.call(Datasets(after=int(rows[-1]["id"]) if rows else 0)).header
        rows.extend(page["datasets"])
        if not page.get("more") or not page["datasets"]:
            break
    return tuple(rows)


def _models(client: ClusterClient) -> tuple[dict[str, Any], ...]:
    rows: list[dict[str, Any]] = []
    while len(rows) < PAGE_ROWS * 10:
        page = client.call(Models(after=str(rows[-1]["id"]) if rows else "")).header
        rows.extend(page["models"])
        if not page.get("more") or not page["models"]:
            break
    return tuple(rows)
