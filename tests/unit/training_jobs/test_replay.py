"""An audit computes a stretch of rounds again: it confirms what was computed, and nothing else."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from shared.errors import MinkaError, Refused, TaskFailed
from tests.unit.training_jobs.fake_workshop import LINEAGE, FakeWorkshop
from worker.registry.commands import Checkpoint, Command
from worker.registry.rows import KEPT_STATES, ModelRow
from worker.training import chain
from worker.training.replay import Point, Reached, Replay, points, verdict

PLACES = {"w1": 2, "w2": 1}
SPEC: dict[str, Any] = {"epochs": 12, "steps_per_round": 3}


def trained(workshop: FakeWorkshop, **spec: Any) -> ModelRow:
    """A finished job whose rounds took long enough for several checkpoints."""
    model = workshop.create(**SPEC | spec)
    workshop.work(step_s=0.5)
    assert model.status == "done"
    return model


def replayed(workshop: FakeWorkshop, model: ModelRow, start: Point, end: Point) -> dict[str, Any]:
    """The verdict about one stretch. Raises what ended it."""
    heard: list[Reached | MinkaError] = []
    replay = Replay(model, end, "path", workshop.compute, lambda: True, heard.append)
    if start.state is None:
        replay.fresh()
    else:
        replay.go_on(start, workshop.held[start.state.digest])
    workshop.loop.settle()
    (reached,) = heard
    if isinstance(reached, MinkaError):
        raise reached
    return verdict(model, start, end, reached)


def verdicts(workshop: FakeWorkshop, model: ModelRow) -> list[bool]:
    """Whether each stretch is confirmed."""
    known = points(model)
    return [replayed(workshop, model, start, end)["equal"] for start, end in pairwise(known)]


def forging(workshop: FakeWorkshop, forge: Callable[[Checkpoint], Checkpoint], number: int) -> None:
    """Let the checkpoint of that number be another than what was computed."""
    seen = 0
    commit = workshop.commit

    def forged(command: Command) -> dict[str, Any] | MinkaError:
        nonlocal seen
        if isinstance(command, Checkpoint):
            seen += 1
            if seen == number:
                command = forge(command)
        return commit(command)

    workshop.commit = forged  # type: ignore[method-assign]  # the log itself is what is forged here


def test_every_stretch_of_an_honest_job_is_confirmed() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = trained(workshop)
    known = points(model)
    assert known[0].round == 0
    assert known[-1].round == model.rounds
    assert 3 <= len(known) <= KEPT_STATES + 2
    assert verdicts(workshop, model) == [True] * (len(known) - 1)


def test_a_short_job_without_a_checkpoint_is_computed_again_as_a_whole() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = workshop.create()
    workshop.work()
    assert [point.round for point in points(model)] == [0, model.rounds]
    assert verdicts(workshop, model) == [True]


def test_a_large_state_is_averaged_in_pieces_here_too() -> None:
    size_bytes = 4 * 1024**2
    workshop = FakeWorkshop(dict(PLACES), size_bytes)
    model = workshop.create(epochs=1, steps_per_round=6)
    workshop.work()
    assert workshop.tasks.count("average") > model.rounds
    assert verdicts(workshop, model) == [True]


@pytest.mark.parametrize("number", [1, 3])
def test_a_forged_checkpoint_is_found(number: int) -> None:
    """The leader that wrote it goes on from the right state: the way to it and the way from it are both wrong."""
    workshop = FakeWorkshop(dict(PLACES))
    forged_digest = ""

    def forge(checkpoint: Checkpoint) -> Checkpoint:
        nonlocal forged_digest
        data = bytearray(workshop.held[checkpoint.state.digest])
        data[7] ^= 1
        forged_digest = hashlib.sha256(data).hexdigest()
        workshop.held[forged_digest] = bytes(data)
        return replace(checkpoint, state=replace(checkpoint.state, digest=forged_digest))

    forging(workshop, forge, number)
    model = workshop.create(**SPEC)
    workshop.work(200, step_s=0.5)
    known = points(model)
    at = [point.digest for point in known].index(forged_digest)
    assert replayed(workshop, model, known[at - 1], known[at])["equal"] is False


def test_a_model_that_went_on_from_a_forged_checkpoint_is_found() -> None:
    """A new leader takes the forged state for true: from there on everything fits, but not the way to it."""
    workshop = FakeWorkshop(dict(PLACES))

    def forge(checkpoint: Checkpoint) -> Checkpoint:
        data = bytes(len(workshop.held[checkpoint.state.digest]))
        digest = hashlib.sha256(data).hexdigest()
        workshop.held[digest] = data
        return replace(checkpoint, state=replace(checkpoint.state, digest=digest))

    forging(workshop, forge, 1)
    model = workshop.create(**SPEC)
    while model.state is None:
        workshop.work(1, step_s=0.5)
    workshop.coordinator.follow()
    workshop.new_leader()
    workshop.work(step_s=0.5)
    assert model.status == "done"
    found = verdicts(workshop, model)
    assert found[0] is False
    assert all(found[1:])


def test_weights_that_another_kernel_made_are_told_with_what_differs() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = workshop.create()
    workshop.work()
    model.lineage = model.lineage | {"blas_kernel": "Other"}
    start, end = points(model)
    found = replayed(workshop, model, start, replace(end, digest="ab" * 32))
    assert found["equal"] is False
    assert found["unlike"] == ["blas_kernel"]
    assert found["found"] == {"digest": end.digest, "chain": end.chain}
    assert found["expected"]["digest"] == "ab" * 32
    assert found["computed_on"] == LINEAGE


def test_the_chain_is_the_same_whoever_leads() -> None:
    quiet = FakeWorkshop(dict(PLACES))
    undisturbed = trained(quiet)
    workshop = FakeWorkshop({"w9": 1})
    model = workshop.create(**SPEC)
    while model.status != "done":
        workshop.work(9, step_s=0.5)
        workshop.coordinator.follow()
        workshop.new_leader()
    assert model.lineage["chain"] == undisturbed.lineage["chain"] != ""


def test_the_chain_commits_to_every_round() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = trained(workshop)
    assert model.dataset is not None
    origin = chain.origin(model.dataset.digest, model.spec)
    other = chain.origin(model.dataset.digest, model.spec | {"lr": 0.5})
    first = points(model)[1]
    assert origin != other
    assert chain.link(origin, first.digest) != chain.link(other, first.digest)
    assert chain.link("", first.digest) == ""


def test_a_task_that_fails_ends_the_audit_with_its_reason() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = trained(workshop)
    workshop.refuse["shard"] = TaskFailed("It broke.")
    start, end = points(model)[:2]
    with pytest.raises(TaskFailed, match="It broke"):
        replayed(workshop, model, start, end)


def test_an_audit_ends_when_nobody_waits_for_it() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    model = trained(workshop)
    heard: list[Reached | MinkaError] = []
    end = points(model)[-1]
    workshop.tasks.clear()
    Replay(model, end, "path", workshop.compute, lambda: len(workshop.tasks) < 5, heard.append).fresh()
    workshop.loop.settle()
    assert isinstance(heard[0], Refused)
    assert len(workshop.tasks) < 12


def test_a_job_that_an_older_release_began_goes_on_without_a_chain() -> None:
    workshop = FakeWorkshop(dict(PLACES))
    forging(workshop, lambda checkpoint: replace(checkpoint, chain=""), 1)
    model = workshop.create(**SPEC)
    while model.state is None:
        workshop.work(1, step_s=0.5)
    assert model.kept == []
    workshop.coordinator.follow()
    workshop.new_leader()
    workshop.work(step_s=0.5)
    assert model.status == "done"
    assert model.lineage["chain"] == ""
    assert not points(model)[-1].chain
