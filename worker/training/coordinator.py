"""Who computes which shard: the leader's half of distributed training.

Every worker has as many places as it has trainer processes. A free place takes the next shard of the next job in turn, so
that fast workers do more and jobs share the cluster fairly. A worker that is lost gives its shards back; one that is late
has them given again to an idle place, and the first answer wins: answers are equal (DESIGN 6).
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from shared import fields
from shared.errors import MinkaError, ProtocolViolation, Refused, TaskFailed
from worker.connections import Done
from worker.loop import Loop
from worker.registry.rows import UNFINISHED, ModelRow
from worker.training.job import Cluster, Job, Shard, ShardResult

LATE_S = 1.0
LATE_TIMES = 3.0
"""A shard is late after `LATE_S`, or after so many times what a shard of its job took of late, whichever is longer."""
COPIES_LIMIT = 2
LOOK_S = 0.25
RESUME_S = 1.0
REST_S = 0.5
"""A worker that could not take or answer a shard is given none for so long."""
REFUSALS_LIMIT = 3
"""A shard that was refused so often ends its job with the reason."""

STATE_NEEDED = "state_needed"
"""In the reason of a worker that was given a shard without the state, and has not got it."""


@dataclass(frozen=True, slots=True)
class ShardAnswer:
    """What a worker says of a shard that it has computed; the new state is the body."""

    loss: float
    seconds: float
    examples: int


class Workshop(Cluster, Protocol):
    """What jobs need of this worker, and the workers as places for shards."""

    def places(self) -> dict[str, int]:
        """Worker id -> trainer processes, for every worker that is reachable now."""

    def give(self, worker: str, fields: dict[str, Any], state: bytes, done: Done) -> None:
        """Have this worker compute a shard; `state` may be empty if it was sent there before."""


class Coordinator:
    """Drives all unfinished jobs while this worker leads; idle otherwise."""

    def __init__(self, loop: Loop, workshop: Workshop) -> None:
        self.jobs: dict[str, Job] = {}
        self._loop = loop
        self._workshop = workshop
        self._term: int | None = None
        self._busy: dict[str, int] = {}
        self._sent: dict[str, deque[str]] = {}
        """Worker id -> digests of the states that it was sent last."""
        self._resting: dict[str, float] = {}
        """Worker id -> until when it is given nothing."""
        self._turn = 0
        self._took_s: dict[str, float] = {}
        self._look()

    # --- who leads, and which jobs there are

    def lead(self, term: int, models: Iterable[ModelRow]) -> None:
        """This worker leads, and has applied all that was committed before its term."""
        self.follow()
        self._term = term
        for model in models:
            self.changed(model)

    def follow(self) -> None:
        """Another leads, or nobody."""
        self._term = None
        for job in self.jobs.values():
            job.stop()
        self.jobs.clear()
        self._sent.clear()

    def changed(self, model: ModelRow) -> None:
        """A model's row was written by a command."""
        if self._term is None:
            return
        job = self.jobs.get(model.id)
        if model.status not in UNFINISHED:
            self._took_s.pop(model.id, None)
            if job is not None:
                job.stop()
                del self.jobs[model.id]
        elif job is None:
            self.jobs[model.id] = job = Job(model, self._workshop, self._term)
            job.start()

    def lost(self, worker: str) -> None:
        """The connection to this worker broke; what it computed fails by itself, what it had is forgotten."""
        self._sent.pop(worker, None)

    # --- giving out

    def assign(self) -> None:
        """Fill every free place. Called once a turn of the loop."""
        waiting = [job for job in self.jobs.values() if any(not s.running for s in job.open.values())]
        if not waiting:
            return
        free = self._free_places()
        while free and waiting:
            self._turn += 1
            job = waiting[self._turn % len(waiting)]
            shard = next((shard for shard in job.open.values() if not shard.running), None)
            if shard is None:
                waiting.remove(job)
                continue
            worker = max(free, key=lambda name: (free[name], name))
            self._give(job, shard, worker)
            free[worker] -= 1
            if not free[worker]:
                del free[worker]

    def _free_places(self) -> dict[str, int]:
        places = self._workshop.places()
        self._resting = {worker: until for worker, until in self._resting.items() if until > self._loop.now}
        free = {worker: cores - self._busy.get(worker, 0) for worker, cores in places.items()}
        return {
            worker: number for worker, number in free.items() if number > 0 and worker not in self._resting
        }

    def _give(self, job: Job, shard: Shard, worker: str, *, whole: bool = False) -> None:
        began = self._loop.now
        shard.running[worker] = began
        self._busy[worker] = self._busy.get(worker, 0) + 1
        round_, number, state_digest = job.round, shard.number, job.state_digest
        sent = self._sent.setdefault(worker, deque(maxlen=4))
        state = b"" if state_digest in sent and not whole else job.state
        if state:
            sent.append(state_digest)
        order = {
            "term": job.term,
            "model": job.model.id,
            "spec": job.spec,
            "dataset": job.dataset.digest,
            "size_bytes": job.dataset.size_bytes,
            "round": round_,
            "shard": number,
            "state_digest": state_digest,
        }

        def done(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            self._busy[worker] -= 1
            self._workshop.worked()
            if job.stopped or round_ != job.round:
                return
            shard.running.pop(worker, None)
            if isinstance(answer, Refused) and answer.reason == STATE_NEEDED and not whole:
                if number in job.open:
                    self._give(job, shard, worker, whole=True)
                return
            took_s = self._loop.now - began
            result = _result(answer, body, worker, len(job.state), took_s)
            if isinstance(result, ShardResult):
                self._took_s[job.model.id] = took_s
                job.computed(round_, number, result)
            else:
                self._not_computed(job, shard, worker, result)

        self._workshop.give(worker, order, state, done)

    def _not_computed(self, job: Job, shard: Shard, worker: str, error: MinkaError) -> None:
        """The shard waits for another place, unless it is the shard that is to blame."""
        self._resting[worker] = self._loop.now + REST_S
        if isinstance(error, (Refused, ProtocolViolation)):
            shard.refusals += 1
        if isinstance(error, TaskFailed) or shard.refusals >= REFUSALS_LIMIT:
            job.failed(error)

    # --- late shards, and jobs that lost their footing

    def _look(self) -> None:
        self._loop.call_later(LOOK_S, self._look)
        if self._term is None:
            return
        for model, job in list(self.jobs.items()):
            if job.stopped:
                del self.jobs[model]
                self._loop.call_later(RESUME_S, lambda row=job.model: self.changed(row))  # type: ignore[misc]
        places, free = self._workshop.places(), self._free_places()
        for job in list(self.jobs.values()):
            patience_s = max(LATE_S, LATE_TIMES * self._took_s.get(job.model.id, 0.0))
            for shard in list(job.open.values()):
                at_work = [since for name, since in shard.running.items() if name in places]
                if not shard.running or len(at_work) >= COPIES_LIMIT:
                    continue
                idle = next((name for name in free if name not in shard.running), None)
                late = not at_work or self._loop.now - min(at_work) > patience_s
                if idle is not None and late:
                    self._give(job, shard, idle)
                    free[idle] -= 1
                    if not free[idle]:
                        del free[idle]
        self.assign()


def _result(
    answer: dict[str, Any] | MinkaError, body: bytes, worker: str, state_bytes: int, took_s: float
) -> ShardResult | MinkaError:
    """What the job is told of an answer, which came from another machine; or what is wrong with it."""
    if isinstance(answer, MinkaError):
        return answer
    try:
        told = fields.decode(ShardAnswer, answer)
    except ProtocolViolation as violation:
        return violation
    if len(body) != state_bytes:
        return ProtocolViolation(f"{worker} answered a shard with {len(body)} bytes, not {state_bytes}.")
    return ShardResult(body, told.loss, worker, told.seconds, max(0.0, took_s - told.seconds))
