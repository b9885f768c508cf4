"""Workers that follow a script: real sockets, real handshakes and frames, a cluster of a few lines behind them."""

import hashlib
import itertools
import queue
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from backend.addresses import Address, format_address
from shared import fields
from shared.errors import MinkaError, NotLeader, Refused, SessionExpired, failure_fields
from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType
from shared.handshake import ServerHandshake, refusal
from shared.messages import ANY_WORKER, INLINE_BYTES, OPERATIONS, PredictInput

KEY = bytes(range(32))


class HangUp(Exception):
    """A script's way to close the connection instead of answering."""


_SAME = {"digest": "d" * 64, "chain": "c" * 64}
AUDIT: dict[str, Any] = {
    "from_round": 4,
    "to_round": 9,
    "seconds": 1.5,
    "equal": True,
    "expected": _SAME,
    "found": _SAME,
    "computed_on": {"numpy": "2", "blas": "b", "blas_kernel": "k", "simd": ["AVX2"], "machine": "m"},
    "unlike": [],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it reached a worker."""

    worker: "FakeWorker"
    request: Any
    body: bytes


Reply = tuple[dict[str, Any], bytes]
Script = Callable[[Asked], Reply | None]
"""Sees a request first: answers it, raises (`MinkaError`, `HangUp`), or leaves it to the cluster with None."""


@dataclass
class FakeCluster:
    """State that all workers of it share, as if consensus were free."""

    workers: list["FakeWorker"] = field(default_factory=list)
    leader: int | None = 0
    asked: list[Asked] = field(default_factory=list)
    scripts: dict[str, list[Script]] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    blobs: dict[str, bytearray] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=lambda: dict(AUDIT))
    """What an audit of any model finds."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    applied: dict[tuple[int, int], Reply] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _numbers: Any = field(default_factory=lambda: itertools.count(100))

    @classmethod
    def of(cls, count: int) -> "FakeCluster":
        cluster = cls()
        cluster.workers = [FakeWorker(cluster, f"w{number + 1}") for number in range(count)]
        return cluster

    @property
    def addresses(self) -> list[Address]:
        return [worker.address for worker in self.workers]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()

    def on(self, op: str, script: Script, times: int = 1) -> None:
        """Let `script` see the next so many requests `op` before the cluster does."""
        self.scripts.setdefault(op, []).extend([script] * times)

    def operations(self) -> list[str]:
        return [type(asked.request).op for asked in self.asked]

    def requests(self, op: str) -> list[Any]:
        return [asked.request for asked in self.asked if type(asked.request).op == op]

    def answer(self, asked: Asked) -> Reply:
        op = type(asked.request).op
        with self.lock:
            self.asked.append(asked)
            script = self.scripts[op].pop(0) if self.scripts.get(op) else None
        if script is not None and (reply := script(asked)) is not None:
            return reply
        with self.lock:
            anyone = type(asked.request) in ANY_WORKER
            if self.leader is None or not (anyone or self.workers[self.leader] is asked.worker):
                leader = None if self.leader is None else format_address(self.workers[self.leader].address)
                raise NotLeader(f"{asked.worker.id} does not lead.", leader=leader)
            ticket = getattr(asked.request, "ticket", None)
            if ticket is None:
                return self._read(op, asked)
            if ticket.session not in self.sessions:
                raise SessionExpired(f"Session {ticket.session} is not open any more.")
            known = (ticket.session, ticket.sequence)
            if known not in self.applied:
                self.applied[known] = self._apply(op, asked)
            return self.applied[known]

    def _apply(self, op: str, asked: Asked) -> Reply:
        request, number = asked.request, next(self._numbers)
        match op:
            case "put":
                if request.size_bytes <= INLINE_BYTES:
                    self.blobs[request.digest] = bytearray(asked.body)
                row = {"id": number, "name": request.name, "bytes": request.size_bytes}
                row |= {"digest": request.digest, "index": number}
                holders = [worker.id for worker in self.workers]
                self.files.append({**row, "created": 1_700_000_000.0, "holders": holders})
                return {"file": row}, b""
            case "example":
                with_bytes = request.size_bytes <= INLINE_BYTES
                self.blobs[request.digest] = (
                    bytearray(asked.body) if with_bytes else self.blobs[request.digest]
                )
                self.examples.setdefault(request.dataset, []).append(request.label)
                return {"record": len(self.examples[request.dataset]), "index": number}, b""
            case "remove":
                (row,) = [row for row in self.files if row["id"] == request.file]
                self.files.remove(row)
                return {"file": {"id": row["id"], "name": row["name"]}}, b""
            case "train":
                model = f"m{number}"
                self.models[model] = model_row(model, request.spec)
                return {"model": model}, b""
            case "evaluated":
                return {"model": request.model, "index": number}, b""
            case "cancel":
                self.models[request.model]["status"] = "cancelled"
                return {"model": request.model, "status": "cancelled"}, b""
        raise Refused(f"The script does not know {op}.")

    def _read(self, op: str, asked: Asked) -> Reply:
        request = asked.request
        match op:
            case "session":
                session = next(self._numbers)
                self.sessions.add(session)
                return {"session": session}, b""
            case "status":
                return self._status(), b""
            case "upload":
                held = self.blobs.setdefault(request.digest, bytearray())
                return {"offset": len(held)}, b""
            case "chunk":
                held = self.blobs[request.digest]
                if request.offset == len(held):
                    held += asked.body
                return {"offset": len(held)}, b""
            case "finish":
                if hashlib.sha256(self.blobs[request.digest]).hexdigest() != request.digest:
                    raise Refused("The bytes do not have the digest that was announced.")
                return {}, b""
            case "files":
                later = [row for row in self.files if row["id"] > request.after]
                return {"files": later[:2], "more": len(later) > 2}, b""
            case "file":
                found = [row for row in self.files if request.file in (str(row["id"]), row["name"])]
                if len(found) != 1:
                    raise Refused(f"No file {request.file!r} is in the cluster.", 'See "minka ls".')
                return {"file": found[0]}, b""
            case "read":
                held = self.blobs[request.digest]
                return {"size_bytes": len(held)}, bytes(
                    held[request.offset : request.offset + request.length]
                )
            case "dataset":
                if request.dataset not in self.examples:
                    raise Refused(f"There is no data set {request.dataset!r}.")
                return {"dataset": {"id": 77, "name": request.dataset}}, b""
            case "models":
                rows = [row for id, row in self.models.items() if id > request.after]
                return {"models": rows, "more": False}, b""
            case "model":
                if request.model not in self.models:
                    raise Refused(f"No model {request.model} is in the cluster.", 'See "minka models".')
                return {"model": self.models[request.model]}, b""
            case "audit":
                return {"audit": self.audit | {"model": request.model, "worker": asked.worker.id}}, b""
            case "records":
                return {"records": [], "last": 0}, b""
            case "predict":
                receipt = {"model": request.model, "digest": "d" * 64, "term": 3, "index": 9}
                rows = struct.pack("<2f", 0.1, 0.9) * predicted(request.inputs)
                return {**receipt, "worker": asked.worker.id, "labels": ["1", "7"]}, rows
            case "verify":
                holders = {worker.id: "ok" for worker in self.workers}
                rows = [
                    {key: row[key] for key in ("id", "name", "digest")} | {"holders": holders}
                    for row in self.files
                ]
                return {"equal": True, "files": rows, "after": ""}, b""
        raise Refused(f"The script does not know {op}.")

    def _status(self) -> dict[str, Any]:
        rows = [
            {
                "id": worker.id,
                "address": format_address(worker.address),
                "monitor": "127.0.0.1:1",
                "role": "leader" if position == self.leader else "follower",
                "reachable": worker.alive,
                "term": 3,
                "commit_index": 9,
                "applied_index": 9,
                "state_digest": "5" * 64,
                "files": len(self.files),
                "models": len(self.models),
                "cores": 1,
            }
            for position, worker in enumerate(self.workers)
        ]
        assert self.leader is not None
        return {"leader": self.workers[self.leader].id, "term": 3, "commit_index": 9, "workers": rows}


def predicted(inputs: tuple[PredictInput, ...]) -> int:
    return sum(piece.shape[0] if piece.form == "array" else 1 for piece in inputs)


def model_row(model: str, spec: Any) -> dict[str, Any]:
    """A model that has just been trained."""
    return {
        "id": model,
        "name": spec.name,
        "status": "done",
        "arch": spec.arch,
        "digest": "a" * 64,
        "test_accuracy": 0.975,
        "progress": 1.0,
        "aliases": [f"{spec.name}@best"] if spec.name else [],
        "evaluation": {"images": 1_000, "accuracy": 0.975, "inputs": "test.npz", "time": 1_700_000_000.0},
        "version": 1,
        "epochs": spec.epochs or 1,
        "rounds": 2,
        "round": 2,
        "seconds": 1.5,
        "images_per_second": 40_000.0,
        "history": [
            {"round": 1, "loss": 0.9, "test_accuracy": None},
            {"round": 2, "loss": 0.5, "test_accuracy": 0.975},
        ],
        "spec": fields.encode(spec),
        "lineage": {},
        "error": None,
        "created": 1_700_000_000.0,
        "index": 5,
    }


class FakeWorker:
    """One listening socket, one thread for each connection."""

    def __init__(self, cluster: FakeCluster, id: str, key: bytes = KEY) -> None:
        self.id = id
        self.alive = True
        self._cluster = cluster
        self._key = key
        self._running = threading.Event()
        self._running.set()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: Address = self._listener.getsockname()[:2]
        self._accepted: queue.Queue[threading.Thread] = queue.Queue()
        self._thread = threading.Thread(target=self._accept, name=f"fake {id}")
        self._thread.start()

    def freeze(self) -> None:
        """As SIGSTOP does: connections are still made by the system, and nothing is answered."""
        self._running.clear()

    def kill(self) -> None:
        """As SIGKILL does: all connections break, and nobody listens."""
        self.alive = False
        self._running.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if threading.current_thread() in self._accepted.queue:
            return
        self._thread.join()
        while not self._accepted.empty():
            self._accepted.get().join()

    def _accept(self) -> None:
        while self.alive:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name=f"fake {self.id} serving")
            self._accepted.put(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with connection, suppress(OSError, HangUp):
            self._converse(connection)
        self._open.discard(connection)

    def _converse(self, connection: socket.socket) -> None:
        decoder, encoder = FrameDecoder(), FrameEncoder()
        handshake = ServerHandshake(self.id, "c1", {"client": self._key})
        while data := connection.recv(1 << 18):
            self._running.wait()
            if not self.alive:
                return
            decoder.receive(data)
            while (frame := decoder.next_frame()) is not None:
                if handshake.done:
                    connection.sendall(encoder.encode(self._answer(frame)))
                    continue
                try:
                    connection.sendall(encoder.encode(handshake.receive(frame)))
                except MinkaError as error:
                    connection.sendall(encoder.encode(refusal(error)))
                    return
                if handshake.done:
                    encoder.seal(handshake.keys.send)
                    decoder.seal(handshake.keys.receive)

    def _answer(self, frame: Frame) -> Frame:
        number = frame.header["id"]
        try:
            request = fields.decode(OPERATIONS[frame.header["op"]], frame.header)
            header, body = self._cluster.answer(Asked(self, request, frame.body))
        except MinkaError as error:
            return Frame(FrameType.FAILURE, {"id": number, **failure_fields(error)})
        self._running.wait()
        return Frame(FrameType.REPLY, {"id": number, **header}, body)
