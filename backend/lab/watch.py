"""Looks at the monitors of a local cluster, as a browser would, and notes what has changed: who leads, who is equal."""

import json
import socket
import time
from collections import deque
from typing import Any

from backend.addresses import Address

ANSWER_BYTES = 4 * 1_048_576
ASK_S = 1.0
KEPT = 300


def ask(monitor: Address, path: str) -> Any:
    """The JSON that a monitor answers with. Raises OSError and ValueError."""
    with socket.create_connection(monitor, ASK_S) as sock:
        sock.settimeout(ASK_S)
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: {monitor[0]}\r\n\r\n".encode())
        received = bytearray()
        while data := sock.recv(65536):
            received += data
            if len(received) > ANSWER_BYTES:
                raise ValueError("too long an answer")
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise ValueError("no answer")
    return json.loads(body)


class Story:
    """What was done and what was seen, in order, the last `KEPT` of it. Not thread-safe."""

    def __init__(self) -> None:
        self.lines: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._number = 0
        self._leader: str | None = None
        self._whole: bool | None = None
        self._heard: dict[str, tuple[str, int]] = {}
        """Worker id -> the process that its notices are of, and the last notice heard."""

    def add(self, kind: str, **facts: Any) -> None:
        """`kind` is the key of a text of the page, `facts` its values."""
        self._number += 1
        self.lines.append({"line": self._number, "time": time.time(), "kind": kind, **facts})

    def saw(self, rows: dict[str, dict[str, Any] | None], workers: int) -> None:
        """The status of each worker, None for one that does not answer."""
        known = [row for row in rows.values() if row is not None]
        newest = max((int(row["term"]) for row in known), default=0)
        leading = [row["id"] for row in known if row["role"] == "leader" and row["term"] == newest]
        leader = leading[0] if leading else None
        if leader != self._leader:
            self._leader = leader
            self.add("noLeader" if leader is None else "leads", worker=leader, term=newest)
        indexes = {row["applied_index"] for row in known}
        equal = (
            len(known) == workers and len(indexes) == 1 and len({row["state_digest"] for row in known}) == 1
        )
        if equal and self._whole is False:
            self.add("whole", index=next(iter(indexes)))
        if equal or len(known) < workers or len(indexes) == 1:
            self._whole = equal

    def heard(self, worker: str, process: str, notices: list[dict[str, Any]]) -> None:
        """Notices of one worker, which begins to count anew when it is started anew."""
        known, last = self._heard.get(worker, (process, 0))
        if known != process:
            last = 0
        for notice in notices:
            if notice["notice"] > last and notice["kind"] in ("damage", "repair", "space"):
                told = {"what": notice["kind"], "text": notice["text"], "id": notice.get("id")}
                self.add("notice", worker=worker, **told)
        self._heard[worker] = (process, max([last, *(notice["notice"] for notice in notices)]))
