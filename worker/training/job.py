"""One training job as its leader drives it: prepare, rounds, checkpoints, the finished weights.

Nothing here need survive: whatever counts is a command in the log, and everything else is computed again, to the same
bits, by the next leader (DESIGN 6). The job only says what is to be done next; `Coordinator` finds who does it.

    queued --prepare--> [DatasetReady] --initial or checkpoint--> round, round, ... --weights--> [FinishModel]
                                                                   |  \\
                                                    every 2 s: [Checkpoint]   each epoch: evaluate
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from shared.errors import MinkaError, Refused, TaskFailed, failure_fields
from worker.connections import Done
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.examples import DataSetRow
from worker.registry.rows import FileRow, ModelRow, thinned
from worker.training import chain, plan
from worker.training.averaging import average

CHECKPOINT_S = 2.0
EVALUATIONS_LIMIT = 2
"""Rounds that are evaluated at once; training does not run further ahead of what is known of it."""


class Cluster(Protocol):
    """What a job needs of the worker that leads it."""

    def now(self) -> float: ...

    def time_ms(self) -> int: ...

    def propose(self, command: Command, answered: Callable[[dict[str, Any] | MinkaError], None]) -> None: ...

    def compute(self, op: str, fields: dict[str, Any], body: bytes, done: Done) -> None:
        """Run a task on a trainer process of this very worker, before those that wait."""

    def file_path(self, row: FileRow | DataSetRow, found: Callable[[str | MinkaError], None]) -> None:
        """Where the bytes of this file lie on this worker's disk."""

    def scratch_path(self, name: str) -> str:
        """A place for a file that a task writes."""

    def adopt(self, path: str, kept: Callable[[Blob | MinkaError], None]) -> None:
        """Take a finished file into the blob store, held by a majority."""

    def keep(self, data: bytes, kept: Callable[[Blob | MinkaError], None]) -> None:
        """The same for bytes."""

    def blob_path(self, blob: Blob, found: Callable[[str | MinkaError], None]) -> None:
        """Where this blob lies here, pulled first if it must be."""

    def read_blob(self, blob: Blob, found: Callable[[bytes | MinkaError], None]) -> None: ...

    def worked(self) -> None:
        """There are shards to give out, or something to show."""


@dataclass(slots=True)
class ShardResult:
    state: bytes
    loss: float
    worker: str
    computing_s: float = 0.0
    travelling_s: float = 0.0
    """From the moment it was given until its answer was here, without the computing."""


@dataclass(slots=True)
class Shard:
    """One shard of the present round: who computes it since when, until the first answer."""

    number: int
    running: dict[str, float] = field(default_factory=dict)
    """Worker id -> when it was given to it."""
    refusals: int = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """The state after a round that is to become a checkpoint; `seconds` is the training time up to it."""

    round: int
    state: bytes
    chain: str
    seconds: float


class Job:
    """The volatile half of an unfinished model."""

    def __init__(self, model: ModelRow, cluster: Cluster, term: int) -> None:
        self.model = model
        self.term = term
        self.spec = model.spec
        self.round = 0
        self.rounds = model.rounds
        self.state = b""
        self.state_digest = ""
        self.open: dict[int, Shard] = {}
        """Shards of the present round that have no answer yet."""
        self.stopped = False
        self.work: dict[str, int] = {}
        """Worker id -> shards that it has computed, for people to see."""
        self.live: dict[str, Any] = {}
        """The newest loss, accuracy and rate, ahead of the log; and where the time of a round goes."""
        self.computing_s = self.travelling_s = 0.0
        """Of the slowest shard in each round of this term, together."""
        self._rounds_before = model.round
        self._cluster = cluster
        self._dataset_path = ""
        self._results: dict[int, ShardResult] = {}
        self._rows: list[dict[str, Any]] = []
        self._evaluating: set[int] = set()
        self._ahead: tuple[bytes, str] | None = None
        """The state, and its digest, from which the next round begins once fewer rounds are being evaluated."""
        self._due: Reached | None = None
        self._checkpointing = False
        self._parent = ""
        self._chain = ""
        """The link of the present round's state."""
        self._started = 0.0
        self._seconds_before = 0.0
        self._checkpointed = 0.0
        self._stop_seconds = 0.0
        self._finishing = False

    def __repr__(self) -> str:
        return f"<Job {self.model.id} round {self.round}/{self.rounds}>"

    def start(self) -> None:
        """Go on from what the log knows of this model."""
        if self.model.status == "queued":
            self._find_sources(dict(self.model.sources), {})
        else:
            self._find_dataset()

    def stop(self) -> None:
        """Leadership or the job has ended: whatever still comes back is dropped."""
        self.stopped = True
        self.open.clear()

    @property
    def dataset(self) -> Blob:
        assert self.model.dataset is not None
        return self.model.dataset

    def _compute(self, op: str, fields: dict[str, Any], body: bytes, done: Done) -> None:
        self._cluster.compute(op, {"model": self.model.id, **fields}, body, done)

    # --- preparing

    def _find_sources(self, left: dict[str, FileRow | DataSetRow], paths: dict[str, dict[str, str]]) -> None:
        if not left:
            self._prepare(paths)
            return
        role, row = left.popitem()

        def found(path: str | MinkaError) -> None:
            if self._holds(path):
                paths[role] = {"path": str(path), "name": row.name}
                self._find_sources(left, paths)

        self._cluster.file_path(row, found)

    def _prepare(self, paths: dict[str, dict[str, str]]) -> None:
        # Not the name that an earlier term used: its task may still be writing there.
        target = self._cluster.scratch_path(f"{self.model.id}-{self.term}.dataset")
        roles = ("inputs", "outputs", "test_inputs", "test_outputs")
        fields = {role: paths.get(role) for role in roles} | {"target": target, "spec": self.spec}

        def prepared(facts: dict[str, Any] | MinkaError, _: bytes) -> None:
            if not self._holds(facts):
                return
            assert isinstance(facts, dict)
            try:
                spec = plan.fit_to_data(self.spec, facts)
                rounds = plan.round_count(spec, facts["examples"])
            except Refused as refused:
                self._fail(refused)
                return
            facts = {name: value for name, value in facts.items() if name not in ("id", "digest", "bytes")}
            self._cluster.adopt(target, lambda blob: self._dataset_kept(blob, spec, facts, rounds))

        self._compute("prepare", fields, b"", prepared)

    def _dataset_kept(
        self, blob: Blob | MinkaError, spec: dict[str, Any], facts: dict[str, Any], rounds: int
    ) -> None:
        if self._holds(blob):
            assert isinstance(blob, Blob)
            time_ms = self._cluster.time_ms()
            ready = commands.DatasetReady(self.model.id, blob, spec, facts, rounds, time_ms)
            self._cluster.propose(
                ready, lambda answer: self._find_dataset() if self._agreed(answer) else None
            )

    # --- the starting point

    def _find_dataset(self) -> None:
        self.spec, self.rounds = self.model.spec, self.model.rounds

        def found(path: str | MinkaError) -> None:
            if self._holds(path):
                self._dataset_path = str(path)
                self._find_state()

        self._cluster.blob_path(self.dataset, found)

    def _find_state(self) -> None:
        self._seconds_before = self.model.seconds
        self.round = self.model.round
        if self.model.state is not None:
            self._parent = self.model.state.digest
            self._chain = self.model.chain
            self._cluster.read_blob(self.model.state, lambda data: self._begin(data, b""))
        else:
            fields = {"spec": self.spec, "dataset": self._dataset_path}
            self._compute("initial", fields, b"", self._begin)

    def _begin(self, answer: bytes | dict[str, Any] | MinkaError, body: bytes) -> None:
        if not self._holds(answer):
            return
        state = answer if isinstance(answer, bytes) else body
        digest = hashlib.sha256(state).hexdigest()
        if self.round == 0:
            self._chain = chain.link(chain.origin(self.dataset.digest, self.spec), digest)
        self._started = self._checkpointed = self._cluster.now()
        self._begin_round(state, digest)

    # --- rounds

    @property
    def seconds(self) -> float:
        """Time from the first task on, without the time that no leader drove the job."""
        return self._seconds_before + (self._stop_seconds or self._cluster.now()) - self._started

    def _begin_round(self, state: bytes, digest: str) -> None:
        self.state, self.state_digest = state, digest
        if self.round == self.rounds:
            self._stop_seconds = self._cluster.now()
            self._maybe_finish()
            return
        self._results.clear()
        self.open = {number: Shard(number) for number in range(self.spec["shards"])}
        self._cluster.worked()

    def computed(self, round_: int, number: int, result: ShardResult) -> None:
        """The first answer to a shard; a later one, of equal bits, changes nothing."""
        if self.stopped or round_ != self.round or number not in self.open:
            return
        del self.open[number]
        self._results[number] = result
        self.work[result.worker] = self.work.get(result.worker, 0) + 1
        if not self.open:
            self._average()

    def failed(self, error: MinkaError) -> None:
        """A shard's task ended with an error of its own: the job ends with it."""
        self._fail(error)

    def _average(self) -> None:
        """The mean of the shards' states, in shard order; each position by itself, so that pieces give the same bits."""
        results = [self._results[number] for number in sorted(self._results)]
        self._results.clear()
        loss = sum(result.loss for result in results) / len(results)
        self.computing_s += max(result.computing_s for result in results)
        self.travelling_s += max(result.travelling_s for result in results)
        states = [result.state for result in results]
        average(
            self._compute, states, lambda state, digest: self._round_done(loss, state, digest), self._holds
        )

    def _round_done(self, loss: float, state: bytes, digest: str) -> None:
        self.round += 1
        self._chain = chain.link(self._chain, digest)
        row = {"round": self.round, "loss": loss, "test_accuracy": None}
        self._rows.append(row)
        self.live = {
            "round": self.round,
            "loss": loss,
            "test_accuracy": self.live.get("test_accuracy", self.model.test_accuracy),
            "images_per_second": self._images_done() / max(self.seconds, 1e-9),
            "computing_s": self.computing_s / (self.round - self._rounds_before),
            "travelling_s": self.travelling_s / (self.round - self._rounds_before),
        }
        if self._evaluates_after(self.round):
            self._evaluate(row, state)
        self._plan_checkpoint(state)
        if len(self._evaluating) < EVALUATIONS_LIMIT or self.round == self.rounds:
            self._begin_round(state, digest)
        else:
            self._ahead = (state, digest)
        self._maybe_checkpoint()

    def _images_done(self) -> int:
        examples = self.model.facts["examples"]
        steps = min(self.round * self.spec["steps_per_round"], plan.step_count(self.spec, examples))
        return int(steps * self.spec["shards"] * self.spec["batch"])

    def _evaluates_after(self, round_: int) -> bool:
        """After the first round that has finished an epoch, and after the last."""
        if not self.model.facts.get("test_examples"):
            return False
        per_epoch = plan.steps_per_epoch(self.spec, self.model.facts["examples"])
        steps = self.spec["steps_per_round"]
        return round_ == self.rounds or (round_ * steps) // per_epoch > ((round_ - 1) * steps) // per_epoch

    def _evaluate(self, row: dict[str, Any], state: bytes) -> None:
        self._evaluating.add(row["round"])

        def evaluated(answer: dict[str, Any] | MinkaError, _: bytes) -> None:
            if not self._holds(answer):
                return
            assert isinstance(answer, dict)
            self._evaluating.discard(row["round"])
            row["test_accuracy"] = self.live["test_accuracy"] = answer["test_accuracy"]
            self._cluster.worked()
            if self._ahead is not None:
                ahead, self._ahead = self._ahead, None
                self._begin_round(*ahead)
            self._maybe_checkpoint()
            self._maybe_finish()

        fields = {"spec": self.spec, "dataset": self._dataset_path}
        self._compute("evaluate", fields, state, evaluated)

    def fresh_history(self) -> list[dict[str, Any]]:
        """The rounds that the log does not know yet."""
        return [row for row in self._rows if row["round"] > self.model.round]

    # --- what goes through the log

    def _plan_checkpoint(self, state: bytes) -> None:
        """Let this round become the next checkpoint, if it is time for one."""
        if self.round == self.rounds:
            self._due = None  # the finished weights are better
        elif self._due is None and self._cluster.now() - self._checkpointed >= CHECKPOINT_S:
            self._due = Reached(self.round, state, self._chain, self.seconds)

    def _maybe_checkpoint(self) -> None:
        """Commit the round that is due, once all is known of it and of those before."""
        due = self._due
        if due is None or self._checkpointing or any(round_ <= due.round for round_ in self._evaluating):
            return
        self._due, self._checkpointing = None, True
        rows = self._rows_until(due.round)

        def kept(blob: Blob | MinkaError) -> None:
            if self._holds(blob):
                assert isinstance(blob, Blob)
                time_ms = self._cluster.time_ms()
                checkpoint = commands.Checkpoint(
                    self.model.id, due.round, self._parent, blob, rows, due.seconds, time_ms, due.chain
                )
                self._cluster.propose(checkpoint, lambda answer: committed(answer, blob.digest))

        def committed(answer: dict[str, Any] | MinkaError, digest: str) -> None:
            if self._agreed(answer):
                self._parent = digest
                self._rows = [row for row in self._rows if row["round"] > due.round]
                self._checkpointing = False
                self._checkpointed = self._cluster.now()
                self._maybe_finish()

        self._cluster.keep(due.state, kept)

    def _rows_until(self, round_: int) -> tuple[dict[str, Any], ...]:
        return tuple(thinned([row for row in self._rows if row["round"] <= round_]))

    def _maybe_finish(self) -> None:
        if self.round < self.rounds or self._checkpointing or self._evaluating or self._finishing:
            return
        self._finishing = True

        def weighed(answer: dict[str, Any] | MinkaError, weights: bytes) -> None:
            if self._holds(answer):
                assert isinstance(answer, dict)
                lineage = answer.get("lineage", {})
                self._cluster.keep(weights, lambda blob: self._weights_kept(blob, lineage))

        self._compute("weights", {"spec": self.spec}, self.state, weighed)

    def _weights_kept(self, blob: Blob | MinkaError, lineage: dict[str, Any]) -> None:
        if not self._holds(blob):
            return
        assert isinstance(blob, Blob)
        seconds = self.seconds
        finish = commands.FinishModel(
            model=self.model.id,
            parent=self._parent,
            weights=blob,
            history=self._rows_until(self.rounds),
            seconds=seconds,
            images_per_second=self._images_done() / max(seconds, 1e-9),
            test_accuracy=self.live.get("test_accuracy"),
            lineage=lineage
            | {"dataset": self.dataset.digest, "seed": self.spec["seed"], "chain": self._chain},
            time_ms=self._cluster.time_ms(),
        )

        def finished(answer: dict[str, Any] | MinkaError) -> None:
            self._agreed(answer)  # the coordinator has let go of the job when the command was applied

        self._cluster.propose(finish, finished)

    def _holds(self, answer: object) -> bool:
        """Whether the job still goes on after this answer; an error ends it, as what the error means asks for."""
        if self.stopped:
            return False
        if isinstance(answer, (TaskFailed, Refused)):
            self._fail(answer)
        elif isinstance(answer, MinkaError):
            self._pause()
        return not isinstance(answer, MinkaError)

    def _agreed(self, answer: object) -> bool:
        """Whether the log has taken a command of this job, which still goes on."""
        if not self.stopped and isinstance(answer, MinkaError):
            self._pause()
        return not self.stopped

    def _pause(self) -> None:
        """Too few workers, another leader, or one that was first: the job is taken up again from the log."""
        self.stop()
        self._cluster.worked()

    def _fail(self, error: MinkaError) -> None:
        if self.stopped:
            return
        self.stop()
        told = failure_fields(error)
        reason = f"{told['reason']} {told['advice']}".strip()
        command = commands.FailModel(
            self.model.id, reason, told.get("traceback", ""), self._cluster.time_ms()
        )
        self._cluster.propose(command, lambda answer: None)
