"""Whoever holds a key may say anything: a worker answers or hangs up, and goes on for everyone else."""

import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.transfers import fetch, upload
from shared.errors import MinkaError, Unreachable
from shared.frames import Frame, FrameType, ProtocolMisuse
from shared.handshake import Introduction
from shared.messages import OPERATIONS
from shared.stream import FrameStream, connect
from tests.live.cluster import LiveCluster

ROUNDS = 12
ANSWER_S = 10.0
LAST = 10**9
DIGEST = "ab" * 32
TEXTS = ["", "x", "1" * 5_000, "²", "m1", DIGEST, "\x01" * 60_000, "🎈" * 20_000, "../../etc/passwd"]
NUMBERS = [-(2**63), -1, 0, 1, 7, 65_537, 2**31, 2**62, 2**63 - 1]
TICKETS = [
    {"session": 1, "sequence": 1, "waiting_from": 0},
    {"session": 4, "sequence": 2**62, "waiting_from": 2**62},
]
SPECS = [
    {"inputs": 1, "outputs": 1, "shards": 256},
    {"inputs": 1, "outputs": 1, "epochs": 10_000, "lr": 1e308, "name": "\x7f" * 60_000},
]
BODIES = [b"", b"x", bytes(70_000), b"[" * 300_000]


class Attacker:
    """Speaks the protocol correctly, and sense only now and then."""

    def __init__(self, cluster: LiveCluster, role: str, channel: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.cluster = cluster
        self.about = Introduction(role, "w2" if role == "worker" else "mallory\n", channel, "")
        keys = json.loads((cluster.directory / "cluster.keys").read_text())
        self.key = bytes.fromhex(keys["cluster" if role == "worker" else "client"])
        self.stream = self._connect()

    def _connect(self) -> FrameStream:
        return connect(("127.0.0.1", self.cluster.ports["w1"]), self.about, self.key, 10.0)

    def value(self, depth: int = 2) -> Any:
        choice = self.random.randrange(9 if depth else 7)
        if choice == 7:
            return [self.value(depth - 1) for _ in range(self.random.randrange(4))]
        if choice == 8:
            return {name: self.value(depth - 1) for name in ("form", "size_bytes", "shape")}
        atoms = [None, True, 0.5, -1e300, *self.random.sample(TEXTS, 2), *self.random.sample(NUMBERS, 3)]
        return self.random.choice(atoms)

    def fields(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Some of these fields, with values that are wrong, or just possible."""
        chosen: dict[str, Any] = {}
        for name in names:
            if name == "ticket" and self.random.random() < 0.8:
                chosen[name] = self.random.choice(TICKETS)
            elif name == "spec" and self.random.random() < 0.8:
                chosen[name] = self.random.choice(SPECS)
            elif name == "digest" and self.random.random() < 0.5:
                chosen[name] = DIGEST
            elif name == "wait_s":
                chosen[name] = self.random.choice([0, 0.1, -5, "long", None])
            elif self.random.random() < 0.9:
                chosen[name] = self.value()
        return chosen

    def send(self, frame: Frame) -> None:
        """Send it, if a frame can hold it; when the worker hangs up, which it may, come back."""
        try:
            self.stream.send(frame, ANSWER_S)
        except ProtocolMisuse:
            return
        except MinkaError:
            self.stream.close()
            self.stream = self._connect()

    def request(self, number: int, op: str, names: tuple[str, ...]) -> None:
        header = {**self.fields(names), "id": number, "op": op}
        self.send(Frame(FrameType.REQUEST, header, self.random.choice(BODIES)))

    def heard_out(self) -> None:
        """All that was sent is taken: a last question is answered, or the worker has hung up."""
        try:
            self.stream.send(Frame(FrameType.REQUEST, {"id": LAST, "op": "read"}), ANSWER_S)
            while self.stream.receive(ANSWER_S).header["id"] != LAST:
                pass
        except Unreachable:
            self.stream.close()
            self.stream = self._connect()


@pytest.fixture
def cluster(start_cluster: Callable[..., LiveCluster]) -> Iterator[LiveCluster]:
    cluster = start_cluster(size=1)
    pid = cluster.processes["w1"].pid
    with cluster.client() as client:
        row = upload(client, b"content", "file", lambda done, total: None)
        yield cluster
        assert cluster.processes["w1"].poll() is None, cluster.log("w1")
        assert cluster.processes["w1"].pid == pid
        assert "Traceback" not in cluster.log("w1")
        assert fetch(client, row["digest"], row["bytes"]) == b"content"
    assert cluster.terminate("w1") == 0


def test_no_request_of_a_client_ends_a_worker(cluster: LiveCluster) -> None:
    attacker = Attacker(cluster, "client", "client", 1)
    for number in range(ROUNDS):
        for op, operation in OPERATIONS.items():
            if op not in ("member_add", "member_remove"):
                attacker.request(number, op, tuple(operation.__dataclass_fields__))
        attacker.request(number, "\x7f" * 900_000, ())
        attacker.request(number, attacker.random.choice(TEXTS), ("a", "b"))
        attacker.heard_out()
    attacker.stream.close()


def test_no_request_of_a_peer_ends_a_worker(cluster: LiveCluster) -> None:
    attacker = Attacker(cluster, "worker", "bulk", 2)
    operations = {
        "hold": ("digest", "size_bytes"),
        "read": ("digest", "offset", "length"),
        "audit": ("index", "ids", "after"),
        "records": ("after",),
        "needs": ("digests",),
        "shard": ("term", "model", "spec", "dataset", "size_bytes", "round", "shard", "state_digest"),
    }
    row = ("role", "term", "commit_index", "applied_index", "state_digest", "files", "models", "cores")
    for number in range(ROUNDS * 3):
        for op, names in operations.items():
            attacker.request(number, op, names)
        notice = {"about": "row", "row": attacker.fields((*row, "voters", "learners", "disks", "founders"))}
        attacker.send(Frame(FrameType.NOTICE, notice))
        attacker.heard_out()
    attacker.stream.close()


def test_no_consensus_message_ends_a_worker(cluster: LiveCluster) -> None:
    attacker = Attacker(cluster, "worker", "raft", 3)
    kinds = ("vote", "vote_reply", "append_reply", "heartbeat_reply", "read", "read_reply", "snapshot_reply")
    names = (
        *("last_index", "last_term", "index", "hint_index", "hint_term", "round", "received", "durable"),
        *("number", "offset", "granted", "pre", "rejected", "transfer"),
    )
    for _ in range(ROUNDS * 5):
        for kind in kinds:
            header = {**attacker.fields(names), "kind": kind, "term": attacker.random.choice([0, 1, "x"])}
            attacker.send(Frame(FrameType.RAFT, header))
        entry = struct.pack(">QBI", 1, attacker.random.randrange(4), 5) + b"bytes"
        header = {"kind": "append", "term": 0, "previous_index": 0, "previous_term": 0, "commit": 0}
        attacker.send(Frame(FrameType.RAFT, header, attacker.random.choice([entry, b"short", entry * 3])))
        attacker.heard_out()
    attacker.stream.close()
