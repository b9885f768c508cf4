"""`minka show MODEL --audit`: the rounds between two checkpoints are computed again, and must give the same bits.

The tasks are those of training, but one worker computes all of them, on its own processes, behind the shards that wait. The
first checkpoint is the fresh state, the last the finished weights; between them are those that the registry has kept.
"""

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shared import messages
from shared.errors import Busy, MinkaError, Refused
from worker.connections import Request
from worker.registry.commands import Blob
from worker.registry.rows import ModelRow
from worker.training import chain
from worker.training.averaging import Compute, average

if TYPE_CHECKING:
    from worker.node import Node

ENVIRONMENT = ("numpy", "blas", "blas_kernel", "simd", "machine")
"""Of a lineage: what may make other bits."""


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint as the registry names it. `state` is None at round 0, the digest that of the weights at the end."""

    round: int
    state: Blob | None
    digest: str
    chain: str


def points(model: ModelRow) -> list[Point]:
    """From the fresh state to the newest checkpoint, or the weights."""
    found = [Point(0, None, "", "")]
    found += [Point(kept.round, kept.state, kept.state.digest, kept.chain) for kept in model.kept]
    if model.weights is not None:
        found.append(Point(model.rounds, None, model.weights.digest, str(model.lineage.get("chain", ""))))
    return found


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the computing led to."""

    digest: str
    chain: str
    lineage: dict[str, Any]
    """Of this worker, as `lineage.describe`."""


class Replay:
    """One stretch computed again: state by state, each the average of all shards' states."""

    def __init__(
        self,
        model: ModelRow,
        end: Point,
        dataset_path: str,
        compute: Compute,
        wanted: Callable[[], bool],
        done: Callable[[Reached | MinkaError], None],
    ) -> None:
        """`wanted` says before each round whether somebody still waits for `done`, which hears once."""
        assert model.dataset is not None
        self._model, self._end, self._dataset_path = model, end, dataset_path
        self._compute_task, self._wanted, self._done = compute, wanted, done
        self._origin = chain.origin(model.dataset.digest, model.spec)
        self._round = 0
        self._chain = ""
        self._over = False

    def fresh(self) -> None:
        """Begin at round 0."""

        def made(answer: dict[str, Any] | MinkaError, state: bytes) -> None:
            if self._holds(answer):
                digest = hashlib.sha256(state).hexdigest()
                self._chain = chain.link(self._origin, digest)
                self._next(state, digest)

        self._compute("initial", {"dataset": self._dataset_path}, b"", made)

    def go_on(self, start: Point, state: bytes) -> None:
        """Begin at a checkpoint, whose state this is."""
        self._round, self._chain = start.round, start.chain
        self._next(state, start.digest)

    def _compute(self, op: str, fields: dict[str, Any], body: bytes, done: Any) -> None:
        given = {"model": self._model.id, "spec": self._model.spec}
        self._compute_task(op, given | fields, body, done)

    def _next(self, state: bytes, digest: str) -> None:
        if not self._wanted():
            self._over = True
            self._done(Refused("Nobody waits for this audit any more."))
        elif self._round == self._end.round:
            self._weigh(state, digest)
        else:
            self._compute_round(state, digest)

    def _compute_round(self, state: bytes, digest: str) -> None:
        shards = self._model.spec["shards"]
        states: dict[int, bytes] = {}

        def computed(shard: int, answer: dict[str, Any] | MinkaError, after: bytes) -> None:
            if not self._holds(answer):
                return
            states[shard] = after
            if len(states) == shards:
                average(self._compute, [states[number] for number in range(shards)], averaged, self._holds)

        def averaged(mean: bytes, digest: str) -> None:
            self._round += 1
            self._chain = chain.link(self._chain, digest)
            self._next(mean, digest)

        for shard in range(shards):
            where = {
                "dataset": self._dataset_path,
                "round": self._round,
                "shard": shard,
                "state_digest": digest,
            }
            self._compute("shard", where, state, partial(computed, shard))

    def _weigh(self, state: bytes, state_digest: str) -> None:
        """The digest of the model itself, if this is its end, and on what it was computed here."""

        def weighed(answer: dict[str, Any] | MinkaError, weights: bytes) -> None:
            if self._holds(answer):
                assert isinstance(answer, dict)
                at_end = self._round == self._model.rounds
                digest = hashlib.sha256(weights).hexdigest() if at_end else state_digest
                self._done(Reached(digest, self._chain, answer["lineage"]))

        self._compute("weights", {}, state, weighed)

    def _holds(self, answer: object) -> bool:
        if isinstance(answer, MinkaError) and not self._over:
            self._over = True
            self._done(answer)
        return not self._over


class Replays:
    """Answers clients; one at a time, since each keeps the cores of this worker busy."""

    def __init__(self, node: "Node", compute: Compute) -> None:
        self._node = node
        self._compute = compute
        self._busy = False

    def answer(self, request: Request, asked: messages.Audit) -> None:
        """Choose a checkpoint, compute from there to the next, and say whether the bits are the same."""
        if self._busy:
            raise Busy("This worker is at work on another audit.", "Try again later.")

        def readable(error: MinkaError | None) -> None:
            try:
                if error is not None:
                    raise error
                if self._busy:
                    raise Busy("This worker is at work on another audit.", "Try again later.")
                self._begin(request, self._node.registry.find_model(asked.model), asked.round)
            except MinkaError as refusal:
                self._node.requests.fail(request, refusal)

        self._node.driver.read(readable)

    def _begin(self, request: Request, model: ModelRow, wanted_round: int | None) -> None:
        start, end = _stretch(model, wanted_round)
        self._busy = True
        began = self._node.loop.now

        def done(reached: Reached | MinkaError) -> None:
            self._busy = False
            if isinstance(reached, MinkaError):
                self._node.requests.fail(request, reached)
            else:
                seconds = self._node.loop.now - began
                worker = {"worker": self._node.settings.id, "seconds": seconds}
                request.reply({"audit": worker | verdict(model, start, end, reached)})

        def found(path: str | MinkaError) -> None:
            if isinstance(path, MinkaError):
                done(path)
                return
            replay = Replay(model, end, path, self._compute, lambda: request.connected, done)
            if start.state is None:
                replay.fresh()
            else:
                self._node.workshop.read_blob(
                    start.state,
                    lambda data: done(data) if isinstance(data, MinkaError) else replay.go_on(start, data),
                )

        assert model.dataset is not None
        self._node.workshop.blob_path(model.dataset, found)


def _stretch(model: ModelRow, wanted_round: int | None) -> tuple[Point, Point]:
    """Where to begin and to end; at random where nothing is asked for. Raises Refused."""
    known = points(model)
    if len(known) < 2 or not known[-1].chain:
        why = (
            f"is {model.status}, and has no checkpoint yet"
            if model.weights is None
            else "was trained by a release without a hash chain"
        )
        raise Refused(f"{model.id} cannot be audited: it {why}.")
    starts = [point.round for point in known[:-1]]
    if wanted_round is None:
        wanted_round = random.choice(starts)
    if wanted_round not in starts:
        raise Refused(
            f"{model.id} has no checkpoint of round {wanted_round} with another after it.",
            f"There are: {', '.join(map(str, starts))}.",
        )
    at = starts.index(wanted_round)
    return known[at], known[at + 1]


def verdict(model: ModelRow, start: Point, end: Point, reached: Reached) -> dict[str, Any]:
    """What `Audit` answers of a stretch that was computed again."""
    differs = [name for name in ENVIRONMENT if model.lineage.get(name) not in (None, reached.lineage[name])]
    return {
        "model": model.id,
        "from_round": start.round,
        "to_round": end.round,
        "equal": (reached.digest, reached.chain) == (end.digest, end.chain),
        "expected": {"digest": end.digest, "chain": end.chain},
        "found": {"digest": reached.digest, "chain": reached.chain},
        "computed_on": {name: reached.lineage[name] for name in ENVIRONMENT},
        "unlike": differs,
    }
