"""Where a worker takes in the shards that a leader gives it: it fetches the data set, keeps the state, and asks its pool."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared import fields
from shared.errors import MinkaError, Refused
from worker.connections import Done
from worker.registry.commands import Blob
from worker.training.coordinator import STATE_NEEDED
from worker.training.pool import TrainerPool

STATES_LIMIT = 8

FindBlob = Callable[[Blob, Callable[[str | MinkaError], None]], None]


@dataclass(frozen=True, slots=True)
class ShardTask:
    """A shard to compute, as the leader sends it; the body is the state unless this worker was sent it before."""

    term: int
    model: str
    spec: dict[str, Any]
    dataset: str
    size_bytes: int
    round: int
    shard: int
    state_digest: str


class Desk:
    """Shards in, new states out."""

    def __init__(self, pool: TrainerPool, blob_path: FindBlob) -> None:
        self._pool = pool
        self._blob_path = blob_path
        self._states: OrderedDict[str, bytes] = OrderedDict()

    def compute(self, header: dict[str, Any], state: bytes, done: Done) -> None:
        """Compute one shard; `done` hears {"loss", "seconds", "examples"} and the new state, or the error."""
        task = fields.decode(ShardTask, header)
        if state:
            self._states[task.state_digest] = state
            while len(self._states) > STATES_LIMIT:
                self._states.popitem(last=False)
        elif task.state_digest not in self._states:
            done(Refused(STATE_NEEDED), b"")
            return
        self._states.move_to_end(task.state_digest)
        state = self._states[task.state_digest]

        def found(path: str | MinkaError) -> None:
            if isinstance(path, MinkaError):
                done(path, b"")
                return
            order = {
                "model": task.model,
                "spec": task.spec,
                "dataset": path,
                "round": task.round,
                "shard": task.shard,
                "state_digest": task.state_digest,
            }
            self._pool.submit("shard", order, state, done)

        self._blob_path(Blob(task.dataset, task.size_bytes), found)
