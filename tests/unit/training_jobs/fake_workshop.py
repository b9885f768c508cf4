"""A cluster that trains by arithmetic: what each task would compute is a pure function of a few bytes."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import MinkaError, Refused
from shared.messages import Ticket
from tests.unit.node.fakes import FakeLoop
from worker.connections import Done
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.registry import Registry
from worker.registry.rows import UNFINISHED, FileRow, ModelRow
from worker.training import plan
from worker.training.coordinator import STATE_NEEDED, Coordinator

STATE_BYTES = 64
EXAMPLES = 100
LINEAGE = {"numpy": "2", "blas": "none", "blas_kernel": "Fake", "simd": [], "machine": "any"}
FACTS = {
    "examples": EXAMPLES,
    "test_examples": 10,
    "input_shape": [2, 2, 1],
    "labels": ["a", "b"],
    "normalise": "plain",
    "mean": [0.5],
    "deviation": [0.5],
}


def initial_state(size_bytes: int = STATE_BYTES) -> bytes:
    return bytes(range(256)) * (size_bytes // 256) + bytes(range(size_bytes % 256))


def shard_state(state: bytes, round_: int, shard: int) -> bytes:
    """What one shard makes of a state."""
    return bytes([(value * 7 + round_ * 3 + shard * 11) % 251 for value in state])


def mean_state(states: list[bytes]) -> bytes:
    return bytes([sum(values) // len(states) for values in zip(*states, strict=True)])


def expected_weights(spec: dict[str, Any], state: bytes) -> bytes:
    """The weights that an undisturbed job ends with."""
    for round_ in range(plan.round_count(spec, EXAMPLES)):
        state = mean_state([shard_state(state, round_, shard) for shard in range(spec["shards"])])
    return state[: len(state) // 2]


@dataclass
class Order:
    """A shard that was given to a worker."""

    worker: str
    fields: dict[str, Any]
    state: bytes
    done: Done
    over: bool = False


class FakeWorkshop:
    """The workers of a cluster whose only coordinator is here; time and answers are in the test's hands.

    Own tasks (`compute`) are done when the loop settles; shards wait in `orders` until `work` or the test answers them.
    """

    def __init__(self, places: dict[str, int], state_bytes: int = STATE_BYTES) -> None:
        self.loop = FakeLoop()
        self.registry = Registry()
        self.workers = places
        self.orders: list[Order] = []
        self.held: dict[str, bytes] = {}
        self.tasks: list[str] = []
        self.proposals: list[Command] = []
        self.refuse: dict[str, MinkaError] = {}
        """Operation or kind of command -> what it fails with."""
        self.slow: set[str] = set()
        """Operations that are not answered by themselves; they wait in `waiting`."""
        self.waiting: list[Callable[[], None]] = []
        self.state_bytes = state_bytes
        self._states: dict[str, dict[str, bytes]] = {}
        self._index = 0
        self.new_leader()

    def new_leader(self) -> None:
        """What happens when leadership moves to a worker that knows the log alone."""
        self.orders.clear()
        self.waiting.clear()
        loop: Any = self.loop
        self.coordinator = Coordinator(loop, self)
        self.coordinator.lead(self._index + 1, list(self.registry.models.values()))

    # --- the log

    def commit(self, command: Command) -> dict[str, Any] | MinkaError:
        self._index += 1
        outcome = self.registry.apply(self._index, commands.encode(command))
        for change in outcome.changes:
            if change.set == "models":
                self.coordinator.changed(self.registry.models[str(change.id)])
        if "failure" in outcome.answer:
            return Refused(outcome.answer["failure"]["reason"])
        answer: dict[str, Any] = outcome.answer["answer"]
        return answer

    def create(self, **spec: Any) -> ModelRow:
        """A job on two small files."""
        session = self.commit(commands.OpenSession("test", 1))
        assert isinstance(session, dict)
        ticket = Ticket(session["session"], 1, 0)
        files = []
        for sequence in (1, 2):
            data = f"file {sequence}".encode()
            digest = hashlib.sha256(data).hexdigest()
            named = Ticket(session["session"], sequence, 0)
            put = self.commit(commands.PutFile(named, f"f{sequence}", digest, len(data), 1))
            assert isinstance(put, dict)
            files.append(put["file"]["id"])
        spec = plan.resolve({"shards": 3, "epochs": 4, "batch": 5, "steps_per_round": 3} | spec, 4)
        ticket = Ticket(session["session"], 3, 0)
        sources = {"inputs": files[0], "outputs": files[1]}
        created = self.commit(commands.CreateModel(ticket, "test", spec, sources, 1))
        assert isinstance(created, dict)
        self.loop.settle()
        return self.registry.models[created["model"]]

    # --- Cluster

    def now(self) -> float:
        return self.loop.now

    def time_ms(self) -> int:
        return int(self.loop.now * 1000)

    def propose(self, command: Command, answered: Callable[[dict[str, Any] | MinkaError], None]) -> None:
        self.proposals.append(command)
        error = self.refuse.get(command.kind)
        self._later(command.kind, lambda: answered(error or self.commit(command)))

    def compute(self, op: str, fields: dict[str, Any], body: bytes, done: Done) -> None:
        self.tasks.append(op)

        def work() -> None:
            if op in self.refuse:
                done(self.refuse[op], b"")
            else:
                done(*self._compute(op, fields, body))

        self._later(op, work)

    def _compute(self, op: str, fields: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        match op:
            case "prepare":
                self.held["dataset"] = b"the data set"
                return dict(FACTS), b""
            case "initial":
                return {}, initial_state(self.state_bytes)
            case "shard":
                assert hashlib.sha256(body).hexdigest() == fields["state_digest"]
                return {}, shard_state(body, fields["round"], fields["shard"])
            case "average":
                sizes = fields["sizes"]
                assert sum(sizes) == len(body)
                return {}, mean_state([body[at : at + sizes[0]] for at in range(0, len(body), sizes[0])])
            case "evaluate":
                return {"test_accuracy": body[0] / 256}, b""
            case "weights":
                return {"lineage": dict(LINEAGE)}, body[: len(body) // 2]
        raise AssertionError(op)

    def file_path(self, row: FileRow, found: Callable[[str | MinkaError], None]) -> None:
        self._later("file_path", lambda: found(self.refuse.get("file_path") or f"files/{row.name}"))

    def scratch_path(self, name: str) -> str:
        return f"scratch/{name}"

    def adopt(self, path: str, kept: Callable[[Blob | MinkaError], None]) -> None:
        self.keep(self.held["dataset"], kept)

    def keep(self, data: bytes, kept: Callable[[Blob | MinkaError], None]) -> None:
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        self.held[blob.digest] = data
        self._later("keep", lambda: kept(self.refuse.get("keep") or blob))

    def blob_path(self, blob: Blob, found: Callable[[str | MinkaError], None]) -> None:
        self._later("blob_path", lambda: found(f"blobs/{blob.digest}"))

    def read_blob(self, blob: Blob, found: Callable[[bytes | MinkaError], None]) -> None:
        self._later("read_blob", lambda: found(self.held[blob.digest]))

    def worked(self) -> None: ...

    # --- Workshop

    def places(self) -> dict[str, int]:
        return dict(self.workers)

    def give(self, worker: str, fields: dict[str, Any], state: bytes, done: Done) -> None:
        self.orders.append(Order(worker, fields, state, done))

    # --- what the test does

    def open_orders(self, worker: str | None = None) -> list[Order]:
        return [order for order in self.orders if not order.over and worker in (None, order.worker)]

    def answer(self, order: Order, error: MinkaError | None = None) -> None:
        """Let the worker compute the shard, or fail."""
        order.over = True
        if error is not None:
            order.done(error, b"")
            return
        states = self._states.setdefault(order.worker, {})
        if order.state:
            assert hashlib.sha256(order.state).hexdigest() == order.fields["state_digest"]
            states[order.fields["state_digest"]] = order.state
        if order.fields["state_digest"] not in states:
            order.done(Refused(STATE_NEEDED), b"")
            return
        state = states[order.fields["state_digest"]]
        new = shard_state(state, order.fields["round"], order.fields["shard"])
        order.done({"id": 1, "loss": 0.5, "seconds": 0.1, "examples": 15}, new)

    def forget_states(self, worker: str) -> None:
        self._states.pop(worker, None)

    def work(self, rounds: int = 1_000, step_s: float = 0.01) -> None:
        """Let every worker answer what it has, and time pass, until nothing is left to do or so many rounds are over."""
        for _ in range(rounds):
            self.loop.advance(step_s)
            self.coordinator.assign()
            orders = self.open_orders()
            for order in orders:
                self.answer(order)
            if all(model.status not in UNFINISHED for model in self.registry.models.values()):
                return

    def _later(self, what: str, call: Callable[[], None]) -> None:
        if what in self.slow:
            self.waiting.append(call)
        else:
            self.loop.post(call)
