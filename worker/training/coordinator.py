"""Who computes which shard: the leader's half of distributed training.

Every worker has as many places as it has trainer processes. A free place takes the next shard of the next job in turn, so
that fast workers do more and jobs share the cluster fairly. A worker that is lost gives its shards back; one that is late
has them given again to an idle place, and the first answer wins: answers are equal (DESIGN 6).
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

from shared.errors import MinkaError, Refused, TaskFailed
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

STATE_NEEDED = "state_needed"
"""In the reason of a worker that was given a shard without the state, and has not got it."""


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
        free = {worker: cores - self._busy.get(worker, 0) for worker, cores in places.items()}
        return {worker: number for worker, number in free.items() if number > 0}

    def _give(self, job: Job, shard: Shard, worker: str, *, whole: bool = False) -> None:
        began = self._loop.now
        shard.running[worker] = began
        self._busy[worker] = self._busy.get(worker, 0) + 1
        round_, number, state_digest = job.round, shard.number, job.state_digest
        sent = self._sent.setdefault(worker, deque(maxlen=4))
        state = b"" if state_digest in sent and not whole else job.state
        if state:
            sent.append(state_digest)
        fields = {
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
            if not isinstance(answer, MinkaError):
                self._took_s[job.model.id] = self._loop.now - began
                job.computed(round_, number, ShardResult(body, float(answer["loss"]), worker))
            elif isinstance(answer, Refused) and answer.reason == STATE_NEEDED:
                if number in job.open:
                    self._give(job, shard, worker, whole=True)
            elif isinstance(answer, TaskFailed):
                job.failed(answer)
            # else: that worker is gone or busy; the shard waits for another place

        self._workshop.give(worker, fields, state, done)

    # --- late shards, and jobs that lost their footing

    def _look(self) -> None:
        self._loop.call_later(LOOK_S, self._look)
        if self._term is None:
            return
        for model, job in list(self.jobs.items()):
            if job.stopped:
                del self.jobs[model]
                self._loop.call_later(RESUME_S, lambda row=job.model: self.changed(row))  # type: ignore[misc]
        free = self._free_places()
        for job in self.jobs.values():
            patience_s = max(LATE_S, LATE_TIMES * self._took_s.get(job.model.id, 0.0))
            for shard in job.open.values():
                if not shard.running or len(shard.running) >= COPIES_LIMIT or not free:
                    continue
                idle = next((name for name in free if name not in shard.running), None)
                if idle is not None and self._loop.now - min(shard.running.values()) > patience_s:
                    self._give(job, shard, idle)
                    free[idle] -= 1
                    if not free[idle]:
                        del free[idle]
        self.assign()
