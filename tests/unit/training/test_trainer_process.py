"""The trainer process over its socket: every operation, failures that end nothing, the same bits in every process."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import MinkaError, Refused, TaskFailed
from shared.frames import FrameType
from tests.unit.training.child_process import ChildProcess
from tests.unit.training.conftest import Start
from tests.unit.training.test_task import SPECS
from worker.training import plan
from worker.training.dataset import SourceFile

MODULE = "worker.training.trainer"
Prepared = tuple[Path, dict[str, Any]]
Fitted = Callable[..., dict[str, Any]]


def train(child: ChildProcess, spec: dict[str, Any], path: Path) -> tuple[bytes, str]:
    """All rounds on one process: the last state and its digest."""
    where = {"spec": spec, "dataset": str(path)}
    answer, state = child.call("initial", where)
    assert answer["rounds"] == plan.round_count(spec, 1_000)
    digest = answer["digest"]
    for round_ in range(answer["rounds"]):
        states = []
        for shard in range(spec["shards"]):
            task = {**where, "round": round_, "shard": shard, "state_digest": digest}
            done, after = child.call("shard", task, b"" if shard else state)
            assert done["examples"] == plan.steps_in_round(spec, 1_000, round_) * spec["batch"]
            states.append(after)
        sizes = [len(one) for one in states]
        averaged, state = child.call("average", {"spec": spec, "sizes": sizes}, b"".join(states))
        digest = averaged["digest"]
    return state, digest


def test_a_job_from_files_to_weights(
    start_child: Start, sources: dict[str, SourceFile], tmp_path: Path, prepared: Prepared
) -> None:
    child = start_child(MODULE)
    files = {role: {"path": str(one.path), "name": one.name} for role, one in sources.items()}
    spec = plan.resolve({"batch": 16, "shards": 2, "steps_per_round": 12}, cores=2)
    facts, _ = child.call("prepare", {"spec": spec, "target": str(tmp_path / "set"), **files})
    assert (
        facts["digest"]
        == prepared[1]["digest"]
        == hashlib.sha256((tmp_path / "set").read_bytes()).hexdigest()
    )
    spec = plan.fit_to_data(spec, facts)
    state, digest = train(child, spec, tmp_path / "set")
    assert hashlib.sha256(state).hexdigest() == digest
    answer, _ = child.call("evaluate", {"spec": spec, "dataset": str(tmp_path / "set")}, state)
    assert answer["test_accuracy"] >= 0.95
    answer, weights = child.call("weights", {"spec": spec}, state)
    assert weights == state[: len(state) // 2]
    assert answer["digest"] == hashlib.sha256(weights).hexdigest()
    assert answer["lineage"]["numpy"] == np.__version__
    assert answer["lineage"]["blas_kernel"]


@pytest.mark.parametrize("name", SPECS)
def test_other_processes_and_instruction_sets_give_the_same_bits(
    name: str, start_child: Start, prepared: Prepared, fitted: Fitted
) -> None:
    spec = fitted(shards=2, steps_per_round=9, **SPECS[name])
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    beyond = [name for name in features if name in ("X86_V4", "AVX512_ICL", "AVX512_SPR")]
    narrow = {"NPY_DISABLE_CPU_FEATURES": " ".join(beyond)} if beyond else {}
    digests = {
        train(start_child(MODULE, environment), spec, prepared[0])[1] for environment in ({}, {}, narrow)
    }
    assert len(digests) == 1


def test_a_state_that_is_not_here_is_asked_for(
    start_child: Start, prepared: Prepared, fitted: Fitted
) -> None:
    spec = fitted(shards=2)
    child = start_child(MODULE)
    task = {"spec": spec, "dataset": str(prepared[0]), "round": 0, "shard": 0, "state_digest": "0" * 64}
    child.send("shard", task)
    failure = child.receive()
    assert (failure.type, failure.header["code"]) == (FrameType.FAILURE, "state_needed")
    _, state = child.call("initial", {"spec": spec, "dataset": str(prepared[0])})
    with pytest.raises(Refused, match="another digest"):
        child.call("shard", task, state)
    with pytest.raises(Refused, match="does not fit"):
        child.call("shard", task, b"nonsense")


def test_bad_requests_are_answered_and_end_nothing(
    start_child: Start, prepared: Prepared, fitted: Fitted
) -> None:
    child = start_child(MODULE)
    where = {"spec": fitted(), "dataset": str(prepared[0])}
    bad: list[tuple[str, dict[str, Any], type[MinkaError]]] = [
        ("fly", {}, Refused),
        ("initial", {}, TaskFailed),
        ("initial", {**where, "dataset": "/nowhere"}, Refused),
        ("shard", {**where, "round": 999, "shard": 0, "state_digest": ""}, Refused),
        ("average", {"sizes": [3, 4]}, Refused),
        ("evaluate", {**where, "spec": {}}, TaskFailed),
        ("prepare", {"spec": {"normalise": "auto"}, "target": "/nowhere/set"}, Refused),
    ]
    for op, fields, family in bad:
        with pytest.raises(family):
            child.call(op, fields, b"x")
    with pytest.raises(TaskFailed) as failure:
        child.call("initial", {})
    assert "KeyError" in failure.value.reason
    assert "trainer.py" in failure.value.traceback
    child.call("initial", where)


def test_the_next_requests_wait_their_turn_and_keep_their_ids(
    start_child: Start, prepared: Prepared, fitted: Fitted
) -> None:
    child = start_child(MODULE)
    where = {"spec": fitted(), "dataset": str(prepared[0])}
    sent = [child.send("initial" if number % 2 else "nothing", where) for number in range(8)]
    answers = [child.receive() for _ in sent]
    assert [answer.header["id"] for answer in answers] == sent
    assert {answer.type for answer in answers[1::2]} == {FrameType.REPLY}


def test_it_ends_with_its_node(start_child: Start) -> None:
    assert start_child(MODULE).end() == 0
    orphan = start_child(MODULE)
    assert orphan.process.stdin is not None
    orphan.process.stdin.close()
    assert orphan.process.wait(30) == 0
