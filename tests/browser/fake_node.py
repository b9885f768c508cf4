"""Plays the node's part for one monitor process: starts it, joins it over a socket, and tells it a story.

By hand: ``python tests/browser/fake_node.py`` serves an invented cluster, with training and transactions going on,
until Ctrl-C, and prints its address.
"""

import hashlib
import itertools
import json
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from shared.frames import Frame, FrameType
from shared.handshake import ServerHandshake
from shared.stream import FrameStream
from worker.storage.disk import OsDisk
from worker.storage.records import RecordFile

JOIN_S = 30.0
PEOPLE = ("lab-07", "ana-laptop", "office", "aula-3")


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class FakeNode:
    """One monitor process with this script as its node; `address` is where its page opens.

    Raises OSError when the monitor says that it cannot listen.
    """

    def __init__(self, records: Path, listen_port: int = 0, password: str | None = None) -> None:
        """`records`: the folder for the node's records."""
        self.records = RecordFile(OsDisk(), records)
        token = secrets.token_bytes(32)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(JOIN_S)
            host, port = listener.getsockname()
            settings = {
                "host": host,
                "port": port,
                "token": token.hex(),
                "id": "w1",
                "name": "monitor",
                "listen_host": "127.0.0.1",
                "listen_port": listen_port,
                "static": None,
                "records": str(records),
                "data": str(records),
                "password": password,
            }
            self.process = subprocess.Popen([sys.executable, "-m", "worker.monitor"], stdin=subprocess.PIPE)
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(settings).encode() + b"\n")
            self.process.stdin.flush()
            connection, _ = listener.accept()
        self.stream = FrameStream(connection, "the monitor")
        handshake = ServerHandshake("w1", "", {"child": token})
        while not handshake.done:
            self.stream.send(handshake.receive(self.stream.receive(JOIN_S)), JOIN_S)
        self.stream.seal(handshake.keys)
        notice = self.stream.receive(JOIN_S).header
        if notice["about"] != "listening":
            self.close()
            raise OSError(notice["reason"])
        self.address = f"http://{notice['address']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def tell(self, about: str, **fields: Any) -> None:
        """Sends one notice."""
        self.stream.send(Frame(FrameType.NOTICE, {"about": about}, json.dumps(fields).encode()), JOIN_S)

    def close(self) -> None:
        """Ends as a node does: the connection and the pipe break, and the monitor goes."""
        self.stream.close()
        self.records.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(JOIN_S)


class Story:
    """An invented cluster of three, told to a fake node step by step. Seeded, so that pictures are comparable."""

    def __init__(self, node: FakeNode, seed: int = 7) -> None:
        self.random = random.Random(seed)
        self.node = node
        self.leader, self.term, self.index, self.record, self.files = "w2", 4, 0, 0, 0
        self.models: dict[str, dict[str, Any]] = {}
        self.offline: set[str] = set()
        self.different: set[str] = set()
        self.lag: dict[str, int] = {}
        self.now = time.time() - 5

    def row(self, id: str) -> dict[str, Any]:
        """One row of `minka status`."""
        number = int(id[1:])
        index = self.index - self.lag.get(id, 0)
        return {
            "id": id,
            "address": f"192.168.1.{20 + number}:7400",
            "monitor": f"192.168.1.{20 + number}:7500",
            "role": "leader" if id == self.leader else "follower",
            "reachable": id not in self.offline,
            "term": self.term,
            "commit_index": index,
            "applied_index": index,
            "state_digest": digest("different" if id in self.different else "state", index),
            "files": self.files,
            "models": len(self.models),
            "cores": (4, 8, 2)[number - 1],
        }

    def status(self, workers: int = 3) -> None:
        """Tells how things stand now."""
        rows = [self.row(f"w{number}") for number in range(1, workers + 1)]
        self.node.tell("status", row=rows[0], peers=rows[1:])

    def entry(self, kind: str, summary: str, size_bytes: int = 220) -> int:
        """One more log entry, committed."""
        self.index += 1
        self.node.tell("applied", rows=[[self.index, self.term, kind, size_bytes, summary]])
        return self.index

    def note(self, index: int, kind: str, summary: str) -> None:
        """One more record."""
        self.record += 1
        self.now += self.random.random()
        record = {
            "record": self.record,
            "index": index,
            "time": self.now,
            "client": self.random.choice(PEOPLE),
            "kind": kind,
            "summary": summary,
        }
        self.node.records.append([record])
        self.node.tell("records", records=[record])

    def put(self, name: str, size_bytes: int) -> int:
        """A client uploads a file."""
        index = self.entry("put", name, min(size_bytes, 65536))
        self.files += 1
        value = {
            "id": index,
            "name": name,
            "bytes": size_bytes,
            "digest": digest(name, size_bytes),
            "index": index,
            "created": self.now,
        }
        self.node.tell("changes", index=index, changes=[{"set": "files", "id": index, "value": value}])
        self.note(index, "put", f"{name} ({size_bytes} bytes)")
        return index

    def remove(self, file: int) -> None:
        """A client removes a file."""
        index = self.entry("remove", f"file {file}")
        self.files -= 1
        self.node.tell("changes", index=index, changes=[{"set": "files", "id": file, "value": None}])
        self.note(index, "remove", f"file {file}")

    def train(self, name: str, arch: str, status: str, progress: float, accuracy: float | None) -> str:
        """A model, or news of it when it exists."""
        known = next((model for model in self.models.values() if model["name"] == name), None)
        index = self.entry("train" if known is None else "checkpoint", f"{name} at {progress:.0%}", 96)
        model = {
            "id": known["id"] if known is not None else f"m{index}",
            "name": name,
            "status": status,
            "arch": arch,
            "digest": digest(name) if status == "done" else None,
            "bytes": 407_080 if status == "done" else None,
            "test_accuracy": accuracy,
            "progress": progress,
            "created": self.now,
        }
        self.models[model["id"]] = model
        self.node.tell("changes", index=index, changes=[{"set": "models", "id": model["id"], "value": model}])
        if known is None or status == "done":
            self.note(index, "train" if known is None else "model", f"{model['id']} {name} ({arch})")
        return str(model["id"])

    def evaluate(self, model: str, evaluation: dict[str, Any]) -> None:
        """Somebody has compared a model with known labels."""
        index = self.entry("note_evaluation", f"{model}: {evaluation['accuracy']:.2%} right")
        row = self.models[model] = self.models[model] | {"evaluation": evaluation}
        self.node.tell("changes", index=index, changes=[{"set": "models", "id": model, "value": row}])

    def begin(self) -> None:
        """A cluster that has been in use for a while."""
        self.entry("noop", "")
        for name, size_bytes in (
            ("train-images-idx3-ubyte.gz", 9_912_422),
            ("train-labels-idx1-ubyte.gz", 28_881),
            ("t10k-images-idx3-ubyte.gz", 1_648_877),
            ("t10k-labels-idx1-ubyte.gz", 4_542),
            ("hojas del huerto, 3º B.zip", 48_210_334),
            ("notas <b>de</b> campo & medidas.csv", 18_422),
        ):
            self.put(name, size_bytes)
        self.train("digits, first try", "mlp", "done", 1.0, 0.9774)
        self.train("leaves", "cnn", "failed", 0.35, None)
        self.train("digits, convolution", "cnn", "training", 0.42, 0.9821)
        for number in range(12):
            self.put(f"hoja-{number:03}.png", 9_000 + number * 731)
        self.status()

    def step(self, number: int) -> None:
        """What goes on while one watches."""
        if number % 3 == 0:
            self.put(f"hoja-{100 + number:03}.png", self.random.randrange(4_000, 90_000))
        if number % 10 == 5:
            progress = min(1.0, 0.42 + number / 400)
            state = "done" if progress == 1.0 else "training"
            self.train("digits, convolution", "cnn", state, progress, 0.98 + progress / 100)
        self.lag["w3"] = self.random.choice((0, 0, 0, 1, 2))
        self.status()


def main() -> None:
    """Serves the story until it is interrupted."""
    with tempfile.TemporaryDirectory() as records, FakeNode(Path(records)) as node:
        print(node.address, flush=True)
        story = Story(node)
        story.begin()
        ended = node.process
        for number in itertools.count():
            story.step(number)
            try:
                ended.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            return


if __name__ == "__main__":
    main()
