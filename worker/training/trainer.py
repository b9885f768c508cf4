"""The trainer process: a node starts one for each core. `python -m worker.training.trainer`.

Operations: header fields -> header fields of the reply; a *state* is laid out in `worker.training.state`.

| op | asks | answers |
|---|---|---|
| prepare | spec, target; inputs, outputs, test_inputs, test_outputs: {path, name} or null | its header, digest, bytes |
| initial | spec, dataset | rounds, digest; body: the state of round 0 |
| shard | spec, dataset, round, shard, state_digest; body: that state, or nothing | loss, seconds, examples; body: a state |
| average | spec, sizes; body: the states in shard order | digest; body: their mean |
| evaluate | spec, dataset; body: a state | test_accuracy (null without test examples) |
| weights | spec; body: a state | digest, lineage; body: the parameters alone |

A shard whose state is neither sent nor cached fails with code "state_needed": send it.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from shared.errors import Refused
from worker.child import join_node
from worker.training import plan, state
from worker.training.dataset import Dataset, SourceFile, open_dataset, prepare
from worker.training.environment import lower_priority
from worker.training.lineage import describe
from worker.training.requests import Answer, Work, answer_requests
from worker.training.shared_memory import SharedMemory
from worker.training.task import Permutations, Workbench, lay_out

KEPT_DATASETS = 4
KEPT_BENCHES = 4


class Trainer:
    """Makes requests ready (on the receiving thread) and computes them (on the other).

    What it keeps between requests saves time only: no answer depends on it.
    """

    def __init__(self) -> None:
        self._datasets: OrderedDict[str, Dataset] = OrderedDict()
        self._benches: OrderedDict[str, Workbench] = OrderedDict()
        self._permutations = Permutations()
        self._states = state.StateCache()
        self._operations: Mapping[str, Callable[[Mapping[str, Any], bytes], Work]] = {
            "prepare": self._prepare,
            "initial": self._initial,
            "shard": self._shard,
            "average": self._average,
            "evaluate": self._evaluate,
            "weights": self._weights,
        }

    def prepare(self, op: str, header: Mapping[str, Any], body: bytes) -> Work:
        """The work that this request asks for. Raises Refused for an unknown operation or what cannot be done."""
        if op not in self._operations:
            raise Refused(f"a trainer has no operation {op!r}.")
        return self._operations[op](header, body)

    def _prepare(self, header: Mapping[str, Any], _body: bytes) -> Work:
        roles = ("inputs", "outputs", "test_inputs", "test_outputs")
        inputs, outputs, test_inputs, test_outputs = (_source(header.get(role)) for role in roles)
        if inputs is None or outputs is None:
            raise Refused("a data set needs inputs and outputs.")
        target, spec = Path(header["target"]), header["spec"]
        wishes = (spec["normalise"], spec["loss"])
        return lambda: (prepare(inputs, outputs, test_inputs, test_outputs, target, *wishes), b"")

    def _initial(self, header: Mapping[str, Any], _body: bytes) -> Work:
        spec, dataset = header["spec"], self._dataset(header["dataset"])

        def work() -> Answer:
            fresh = state.initial(spec)
            rounds = plan.round_count(spec, len(dataset.training.inputs))
            return {"rounds": rounds, "digest": self._states.keep(fresh)}, fresh

        return work

    def _shard(self, header: Mapping[str, Any], body: bytes) -> Work:
        spec, dataset = header["spec"], self._dataset(header["dataset"])
        if body:
            state.weights(spec, body)
        work = lay_out(spec, dataset, header["round"], header["shard"], self._permutations)

        def compute() -> Answer:
            before = self._states.find(header["state_digest"], body)
            result = self._bench(spec).train_shard(dataset, work, before)
            return {"loss": result.loss, "seconds": result.seconds, "examples": result.examples}, result.state

        return compute

    def _average(self, header: Mapping[str, Any], body: bytes) -> Work:
        def work() -> Answer:
            mean = state.average(body, header["sizes"])
            return {"digest": self._states.keep(mean)}, mean

        return work

    def _evaluate(self, header: Mapping[str, Any], body: bytes) -> Work:
        spec, dataset = header["spec"], self._dataset(header["dataset"])
        return lambda: ({"test_accuracy": self._bench(spec).accuracy(dataset, body)}, b"")

    def _weights(self, header: Mapping[str, Any], body: bytes) -> Work:
        def work() -> Answer:
            parameters = state.weights(header["spec"], body)
            return {"digest": state.digest_of(parameters), "lineage": describe()}, parameters

        return work

    def _dataset(self, path: str) -> Dataset:
        if path not in self._datasets:
            self._datasets[path] = open_dataset(Path(path))
        self._datasets.move_to_end(path)
        while len(self._datasets) > KEPT_DATASETS:
            self._datasets.popitem(last=False)
        return self._datasets[path]

    def _bench(self, spec: Mapping[str, Any]) -> Workbench:
        key = json.dumps(spec, sort_keys=True)
        if key not in self._benches:
            self._benches[key] = Workbench(spec)
        self._benches.move_to_end(key)
        while len(self._benches) > KEPT_BENCHES:
            self._benches.popitem(last=False)
        return self._benches[key]


def _source(given: Mapping[str, str] | None) -> SourceFile | None:
    return None if given is None else SourceFile(Path(given["path"]), given["name"])


def main() -> None:
    """Join the node and answer it until it is gone."""
    stream, settings = join_node()
    lower_priority()
    path = settings.get("memory")
    with stream:
        answer_requests(stream, Trainer().prepare, None if path is None else SharedMemory.open(path))


if __name__ == "__main__":
    main()
