"""A cluster in memory that answers as `ClusterClient` does; its time and its failures are in the test's hands."""

import hashlib
import io
import struct
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from PIL import Image

from backend.client import Answer, ClusterClient
from shared.errors import AccessDenied, MinkaError, Refused, Unreachable
from shared.messages import (
    PAGE_ROWS,
    AbandonUpload,
    AddExample,
    BeginUpload,
    Cancel,
    Datasets,
    Examples,
    Files,
    FindDataset,
    FinishUpload,
    Models,
    NoteEvaluation,
    Operation,
    Predict,
    Promote,
    Put,
    Read,
    Records,
    Remove,
    RollBack,
    ShowModel,
    Status,
    Ticket,
    Train,
    TrainSpec,
    UploadChunk,
)

START = 1_760_000_000.0
ADDRESS = ("127.0.0.1", 7400)


class FakeCluster(ClusterClient):
    """Three workers, of which one leads. `failure` is raised by every request while it is set."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.failure: MinkaError | None = None
        self.leader_id = "w1"
        self.also_leads = ""
        self.down: set[str] = set()
        self.term = 2
        self.index = 3
        self.files: dict[int, dict[str, Any]] = {}
        self.blobs: dict[str, bytes] = {}
        self.datasets: dict[str, list[dict[str, Any]]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.specs: list[TrainSpec] = []
        self.records: list[dict[str, Any]] = []
        self.predicted: list[bytes] = []
        self.pointed: dict[str, list[str]] = {}
        self.upload_gate: threading.Event | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        return (ADDRESS,)

    @property
    def leader(self) -> tuple[str, int]:
        return ADDRESS

    def close(self) -> None:
        if self.upload_gate is not None:
            self.upload_gate.set()

    def call(self, request: Operation, body: bytes = b"", **_patience: Any) -> Answer:
        return self._carry(request, body)

    def call_any(self, request: Operation, body: bytes = b"", **_patience: Any) -> Answer:
        return self._carry(request, body)

    def call_worker(
        self, address: tuple[str, int], request: Operation, *, answer_s: float | None = None
    ) -> Answer:
        return self._carry(request, b"")

    def command(self, make: Callable[[Ticket], Operation], body: bytes = b"", **_patience: Any) -> Answer:
        return self._carry(make(Ticket(1, 1, 1)), body)

    # --- what a test does to the cluster

    def go_offline(self) -> None:
        self.failure = Unreachable("No worker can be reached.", "Start the workers first.")

    def lock_out(self) -> None:
        self.failure = AccessDenied("The worker does not know this key.", "Use its client.keys.")

    def come_back(self) -> None:
        self.failure = None

    def elect(self, leader: str) -> None:
        with self.lock:
            self.leader_id, self.term = leader, self.term + 1

    def put(self, name: str, data: bytes) -> int:
        with self.lock:
            self.blobs[digest_of(data)] = data
            return int(self._put(name, digest_of(data), len(data))["id"])

    def add_example(self, dataset: str, label: str, data: bytes) -> None:
        with self.lock:
            self.blobs[digest_of(data)] = data
            self._add_example(AddExample(Ticket(1, 1, 1), dataset, label, digest_of(data), len(data)))

    def train_round(self, model: str, loss: float, accuracy: float | None) -> None:
        with self.lock:
            row = self.models[model]
            self.index += 1
            row["round"] += 1
            row["history"].append({"round": row["round"], "loss": loss, "test_accuracy": accuracy})
            row["progress"] = row["round"] / row["rounds"]
            row["test_accuracy"] = accuracy
            row["seconds"] = row["round"] * 1.3
            row["status"] = "training"
            row["work"] = {"w1": 5 * row["round"], "w2": 4 * row["round"], "w3": 3 * row["round"]}

    def finish(self, model: str) -> None:
        with self.lock:
            row = self.models[model]
            self.index += 1
            row.update(status="done", progress=1.0, digest=digest_of(model.encode()), bytes=407_050)
            row.update(
                images_per_second=118_400.0, lineage={"numpy": "2.4.6", "blas": "Haswell", "workers": 3}
            )
            self._note("model", f"{model} trained in {row['seconds']:.1f} s")

    def fail(self, model: str, reason: str) -> None:
        with self.lock:
            self.index += 1
            self.models[model].update(
                status="failed", error=reason, traceback="Traceback (most recent call last): …"
            )

    # --- answering

    def _carry(self, request: Operation, body: bytes) -> Answer:
        if self.failure is not None:
            raise self.failure
        if isinstance(request, Put | UploadChunk) and self.upload_gate is not None:
            self.upload_gate.wait()
        with self.lock:
            return self._answer(request, body)

    def _answer(self, request: Operation, body: bytes) -> Answer:
        found = b""
        header: dict[str, Any]
        match request:
            case Status():
                header = self._status()
            case Files():
                header = {
                    "files": [row for id, row in self.files.items() if id > request.after],
                    "more": False,
                }
            case Models():
                keys = (
                    "id",
                    "name",
                    "status",
                    "arch",
                    "digest",
                    "bytes",
                    "test_accuracy",
                    "progress",
                    "created",
                    "aliases",
                    "evaluation",
                )
                header = {
                    "models": [{key: row[key] for key in keys} for row in self.models.values()],
                    "more": False,
                }
            case Records():
                rows = [row for row in self.records if row["record"] > request.after]
                header = {"records": rows[-(request.tail or 1000) :], "last": len(self.records)}
            case ShowModel():
                if request.model not in self.models:
                    raise Refused(f"There is no model {request.model!r}.")
                header = {
                    "model": dict(
                        self.models[request.model], history=list(self.models[request.model]["history"])
                    )
                }
            case BeginUpload():
                held = len(self.blobs.get(request.digest, b""))
                header = {"offset": held, "complete": held == request.size_bytes}
            case UploadChunk():
                self.blobs[request.digest] = self.blobs.get(request.digest, b"") + body
                header = {"offset": len(self.blobs[request.digest])}
            case AbandonUpload():
                self.blobs.pop(request.digest, None)
                header = {}
            case FinishUpload():
                header = {}
            case Put():
                if body or not request.size_bytes:
                    self.blobs[request.digest] = body
                header = {"file": self._put(request.name, request.digest, request.size_bytes)}
            case Read():
                header, found = (
                    {},
                    self.blobs[request.digest][request.offset : request.offset + request.length],
                )
            case Remove():
                if request.file not in self.files:
                    raise Refused(f"There is no file {request.file}.")
                self.index += 1
                row = self.files.pop(request.file)
                self._note("remove", row["name"])
                header = {"file": {"id": row["id"], "name": row["name"]}}
            case AddExample():
                self.blobs[request.digest] = body or self.blobs[request.digest]
                header = self._add_example(request)
            case Datasets():
                header = {"datasets": [self._dataset(name) for name in self.datasets], "more": False}
            case FindDataset():
                header = {
                    "dataset": self._dataset(request.dataset) | {"labels": self._labels(request.dataset)}
                }
            case Examples():
                header = self._examples(request)
            case Train():
                header = {"model": self._train(request)}
            case Cancel():
                self.index += 1
                self.models[request.model]["status"] = "cancelled"
                header = {"model": request.model, "status": "cancelled"}
            case Predict():
                header, found = self._predict(request, body)
            case NoteEvaluation():
                self.index += 1
                kept = asdict(request.evaluation) | {
                    "client": "ana@lab-3",
                    "time": START,
                    "index": self.index,
                }
                self.models[request.model]["evaluation"] = kept
                self._note("evaluate", f"{request.model}: {request.evaluation.accuracy:.2%} right")
                header = {"model": request.model, "index": self.index}
            case Promote():
                header = self._point(f"{self.models[request.model]['name']}@{request.alias}", request.model)
            case RollBack():
                header = self._point(request.alias, self.pointed[request.alias][-2], back=True)
            case _:
                raise AssertionError(request)
        return Answer(header, found, ADDRESS)

    def _status(self) -> dict[str, Any]:
        workers = []
        for place, name in enumerate(("w1", "w2", "w3")):
            up = name not in self.down
            workers.append(
                {
                    "id": name,
                    "address": f"192.168.1.2{place}:7400",
                    "monitor": f"192.168.1.2{place}:7500",
                    "role": "leader" if name in (self.leader_id, self.also_leads) else "follower",
                    "reachable": up,
                    "term": self.term,
                    "commit_index": self.index,
                    "applied_index": self.index if up else None,
                    "state_digest": digest_of(str(self.index).encode()) if up else None,
                    "files": len(self.files),
                    "models": len(self.models),
                    "cores": 4,
                }
            )
        return {"leader": self.leader_id, "term": self.term, "commit_index": self.index, "workers": workers}

    def _put(self, name: str, digest: str, size: int) -> dict[str, Any]:
        self.index += 1
        row = {
            "id": self.index,
            "name": name,
            "bytes": size,
            "digest": digest,
            "index": self.index,
            "created": START + self.index * 7.0,
            "holders": [name for name in ("w1", "w2", "w3") if name not in self.down],
        }
        self.files[self.index] = row
        self._note("put", f"{name} ({size} bytes)")
        return row

    def _add_example(self, request: AddExample) -> dict[str, Any]:
        if not request.label or "/" in request.label:
            raise Refused(f"{request.label!r} is no label.", "Give 1 to 200 printable characters.")
        self.index += 1
        row = {
            "id": self.index,
            "label": request.label,
            "bytes": request.size_bytes,
            "digest": request.digest,
        }
        examples = self.datasets.setdefault(request.dataset, [])
        examples.append(row | {"created": START + self.index * 7.0})
        self._note("example", f"{request.dataset}: {request.label} ({len(examples)} examples)")
        return {"record": len(self.records), "index": self.index}

    def _labels(self, name: str) -> dict[str, int]:
        labels = [row["label"] for row in self.datasets[name]]
        return {label: labels.count(label) for label in dict.fromkeys(labels)}

    def _dataset(self, name: str) -> dict[str, Any]:
        rows = self.datasets.get(name)
        if rows is None:
            raise Refused(f"There is no data set {name!r}.")
        facts = {"id": rows[0]["id"], "name": name, "examples": len(rows), "created": rows[0]["created"]}
        return facts | {"digest": digest_of(str(rows).encode()), "classes": len(self._labels(name))}

    def _examples(self, request: Examples) -> dict[str, Any]:
        rows = [
            row
            for row in reversed(self.datasets[request.dataset])
            if request.label in (None, row["label"])
            and (request.before is None or row["id"] < request.before)
        ]
        return {"examples": rows[:PAGE_ROWS], "more": len(rows) > PAGE_ROWS}

    def _train(self, request: Train) -> str:
        spec = request.spec
        known = self.files | {rows[0]["id"]: {"id": rows[0]["id"]} for rows in self.datasets.values()}
        for file in (spec.inputs, spec.outputs):
            if file not in known:
                raise Refused(f"There is no file {file}.")
        self.specs.append(spec)
        self.index += 1
        model = f"m{self.index}"
        sources = {"inputs": known[spec.inputs], "outputs": known[spec.outputs]}
        self.models[model] = {
            "id": model,
            "name": spec.name,
            "status": "queued",
            "arch": spec.arch,
            "created": START + self.index * 7.0,
            "epochs": spec.epochs,
            "rounds": 24,
            "history": [],
            "aliases": [],
            "evaluation": None,
            "spec": {
                "batch": spec.batch or 64,
                "lr": spec.lr or 0.2,
                "seed": spec.seed,
                "shards": spec.shards or 12,
            },
            "sources": sources,
            "lineage": {},
            **dict.fromkeys(("progress", "round", "seconds", "images_per_second"), 0),
            **dict.fromkeys(("digest", "bytes", "test_accuracy", "error", "traceback")),
        }
        self._note("train", f"{model} {spec.name} ({spec.arch})")
        return model

    def _predict(self, request: Predict, body: bytes) -> tuple[dict[str, Any], bytes]:
        if request.model not in self.models or self.models[request.model]["digest"] is None:
            raise Refused(f"There is no trained model {request.model!r}.")
        self.predicted.append(body)
        probabilities = {str(label): 0.004 for label in range(10)} | {"7": 0.931, "1": 0.029, "9": 0.008}
        header = {
            "model": request.model,
            "digest": self.models[request.model]["digest"],
            "term": self.term,
            "index": self.index,
            "worker": self.leader_id,
            "labels": list(probabilities),
        }
        rows = sum(piece.shape[0] if piece.shape else 1 for piece in request.inputs)
        return header, struct.pack(f"<{len(probabilities)}f", *probabilities.values()) * rows

    def _point(self, alias: str, model: str, *, back: bool = False) -> dict[str, Any]:
        pointed = self.pointed.setdefault(alias, [])
        before = pointed[-1] if pointed else None
        if back:
            pointed.pop()
        else:
            pointed.append(model)
        for row in self.models.values():
            row["aliases"] = [each for each in row["aliases"] if each != alias]
        self.models[model]["aliases"].append(alias)
        self.index += 1
        self._note("promote", f"{alias} is {model}")
        return {"alias": alias, "model": model, "before": before}

    def _note(self, kind: str, summary: str) -> None:
        number = len(self.records) + 1
        self.records.append(
            {
                "record": number,
                "index": self.index,
                "time": START + self.index * 7.0,
                "client": "ana@lab-3",
                "kind": kind,
                "summary": summary,
            }
        )


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def picture(shade: int) -> bytes:
    """A small image of one grey, as PNG."""
    file = io.BytesIO()
    Image.new("L", (28, 28), shade).save(file, "PNG")
    return file.getvalue()


def furnish(cluster: FakeCluster) -> None:
    """A cluster that has been used for a while: data, a finished model, one in training."""
    for name, size in (
        ("train-images-idx3-ubyte.gz", 9_912_422),
        ("train-labels-idx1-ubyte.gz", 28_881),
        ("t10k-images-idx3-ubyte.gz", 1_648_877),
        ("t10k-labels-idx1-ubyte.gz", 4_542),
        ("sesión 3/foto del grupo.jpg", 2_310_442),
        ("apuntes.txt", 812),
        ("digits/seven.png", 312),
    ):
        id = cluster.put(name, name.encode())
        cluster.files[id]["bytes"] = size
    for number in range(12):
        cluster.add_example("digits", str(number % 3), picture(20 * number))
    first, second = list(cluster.files)[:2]
    for position, name in enumerate(("digits", "digits, longer")):
        model = cluster._train(Train(Ticket(1, 1, 1), TrainSpec(first, second, epochs=5, name=name)))
        for round_ in range(24 if position == 0 else 15):
            accuracy = 0.979 - 0.13 * 0.8**round_
            cluster.train_round(model, 0.06 + 0.62 * 0.82**round_, accuracy)
        if position == 0:
            cluster.finish(model)
