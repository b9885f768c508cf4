"""A plan uses every example at most once an epoch, gives every shard as much, and refuses nonsense."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from worker.training import plan

FACTS = {
    "loss": "cross-entropy",
    "examples": 1_000,
    "input_shape": [28, 28, 1],
    "labels": ["a", "b"],
    "normalise": "plain",
    "mean": [1.0],
    "deviation": [2.0],
}


def test_a_resolved_spec_says_everything_and_resolves_to_itself() -> None:
    spec = plan.resolve({"arch": "mlp"}, cores=3)
    assert spec["shards"] == 3
    assert plan.resolve(json.loads(json.dumps(spec)), cores=8) == spec
    fitted = plan.fit_to_data(spec, FACTS)
    assert plan.resolve(json.loads(json.dumps(fitted)), cores=8) == fitted
    assert plan.fit_to_data(fitted, FACTS) == fitted


def test_what_is_not_set_takes_the_default_and_what_is_set_is_kept() -> None:
    spec = plan.resolve({"arch": "mlp", "epochs": None, "lr": 0.5, "batch": 7, "seed": 9}, cores=1)
    assert (spec["epochs"], spec["lr"], spec["batch"], spec["seed"]) == (5, 0.5, 7, 9)


@pytest.mark.parametrize(
    "field",
    [
        {"arch": "transformer"},
        {"arch": 3},
        {"epochs": 0},
        {"epochs": 1.5},
        {"epochs": True},
        {"batch": -1},
        {"batch": plan.MAX_BATCH + 1},
        {"lr": 0},
        {"lr": float("nan")},
        {"lr": float("inf")},
        {"lr": "fast"},
        {"seed": -1},
        {"shards": plan.MAX_SHARDS + 1},
        {"steps_per_round": 0},
        {"layers": "dense 0"},
        {"hidden": [128]},
        {"optimiser": "magic"},
        {"weight_decay": -1},
        {"label_smoothing": 1.0},
        {"schedule": "cosine"},
        {"averaging": 2},
        {"shift": 0.5},
        {"rotation": 180},
        {"thickness": 1.5},
        {"momentum": 1.0},
        {"normalise": "sharp"},
        {"normalise": ["ink"]},
        {"learning_rate": 0.1},
    ],
)
def test_nonsense_is_refused_with_advice(field: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refusal:
        plan.resolve(field, cores=2)
    assert refusal.value.advice


def test_few_examples_get_fewer_shards_and_smaller_batches() -> None:
    spec = plan.resolve({"batch": 64, "shards": 8}, cores=2)
    few = plan.fit_to_data(spec, FACTS | {"examples": 30})
    assert (few["shards"], few["batch"]) == (8, 3)
    fewer = plan.fit_to_data(spec, FACTS | {"examples": 3})
    assert (fewer["shards"], fewer["batch"]) == (3, 1)
    with pytest.raises(Refused, match="too few"):
        plan.step_count(spec, 30)
    with pytest.raises(Refused, match="no examples"):
        plan.fit_to_data(spec, FACTS | {"examples": 0})
    with pytest.raises(Refused, match="1 label"):
        plan.fit_to_data(spec, FACTS | {"labels": ["a"]})


def test_a_round_is_at_most_an_epoch_unless_its_length_was_given() -> None:
    spec = plan.resolve({"batch": 50, "shards": 2}, cores=2)
    assert plan.fit_to_data(spec, FACTS)["steps_per_round"] == 10
    many = FACTS | {"examples": 60_000, "labels": list("0123456789")}
    assert plan.fit_to_data(plan.resolve({}, cores=2), many)["steps_per_round"] == 300
    assert plan.fit_to_data(plan.resolve({"arch": "cnn"}, cores=2), many)["steps_per_round"] == 57
    given = plan.resolve({"batch": 50, "shards": 2, "steps_per_round": 999}, cores=2)
    assert plan.fit_to_data(given, FACTS)["steps_per_round"] == 999


@pytest.mark.parametrize(
    ("arch", "steps"), [("mlp", [300, 300, 133, 75, 19, 15, 15]), ("cnn", [57, 57, 38, 29, 15, 15, 15])]
)
def test_the_more_shards_the_shorter_is_a_round(arch: str, steps: list[int]) -> None:
    many = FACTS | {"examples": 600_000, "labels": list("0123456789")}
    found = [
        plan.fit_to_data(plan.resolve({"arch": arch}, cores), many)["steps_per_round"]
        for cores in (1, 2, 3, 4, 8, 16, 64)
    ]
    assert found == steps


def test_a_large_network_has_rounds_of_few_steps_with_any_number_of_shards() -> None:
    large = {"arch": "conv 64 5x5, pool 2, conv 128 5x5, dense"}
    many = FACTS | {"examples": 60_000, "labels": list("0123456789")}
    found = {plan.fit_to_data(plan.resolve(large, cores), many)["steps_per_round"] for cores in (1, 2, 8, 64)}
    assert found == {2}


def test_a_model_that_does_not_fit_a_frame_is_refused() -> None:
    spec = plan.resolve({"arch": "dense 4096, dense"}, cores=2)
    with pytest.raises(Refused, match=r"3,223,554 parameters, the most is 2,097,152"):
        plan.fit_to_data(spec, FACTS)


@given(
    examples=st.integers(1, 5_000),
    shards=st.integers(1, 9),
    batch=st.integers(1, 64),
    steps_per_round=st.integers(1, 90),
    epochs=st.integers(1, 4),
)
def test_shards_are_equal_and_disjoint_and_rounds_cover_the_epochs(
    examples: int, shards: int, batch: int, steps_per_round: int, epochs: int
) -> None:
    asked = {"shards": shards, "batch": batch, "steps_per_round": steps_per_round, "epochs": epochs}
    spec = plan.fit_to_data(plan.resolve(asked, cores=1), FACTS | {"examples": examples})
    per_epoch = plan.steps_per_epoch(spec, examples)
    used: dict[int, list[int]] = {epoch: [] for epoch in range(epochs)}
    for round_ in range(plan.round_count(spec, examples)):
        steps = plan.steps_in_round(spec, examples, round_)
        for shard in range(spec["shards"]):
            pieces = plan.slices(spec, examples, round_, shard)
            assert sum(piece.stop - piece.start for piece in pieces) == steps * spec["batch"]
            for piece in pieces:
                used[piece.epoch] += range(piece.start, piece.stop)
    for places in used.values():
        assert sorted(places) == list(range(per_epoch * spec["shards"] * spec["batch"]))
    assert examples - per_epoch * spec["shards"] * spec["batch"] < spec["shards"] * spec["batch"]


def test_a_constant_rate_stays_after_its_warm_up() -> None:
    spec = plan.resolve({"lr": 0.3, "schedule": "constant", "warmup": 0.5, "batch": 50, "shards": 2}, cores=1)
    rates = [plan.learning_rate(spec, 1_000, step) for step in range(plan.step_count(spec, 1_000))]
    assert rates[: len(rates) // 2] == sorted(rates[: len(rates) // 2])
    assert set(rates[len(rates) // 2 :]) == {0.3}


def test_the_last_part_of_the_rounds_is_averaged() -> None:
    spec = plan.resolve({"averaging": 0.3, "batch": 50, "shards": 2, "steps_per_round": 5}, cores=1)
    assert plan.round_count(spec, 1_000) == 10
    counts = [plan.rounds_averaged(spec, 1_000, round_) for round_ in range(10)]
    assert counts == [-1] * 7 + [0, 1, 2]
    assert plan.rounds_averaged(plan.resolve({}, cores=1), 60_000, 3) == -1


@given(warmup=st.floats(0, 1), epochs=st.integers(1, 30))
def test_the_learning_rate_rises_then_falls_and_stays_above_zero(warmup: float, epochs: int) -> None:
    spec = plan.resolve({"lr": 0.3, "warmup": warmup, "epochs": epochs, "batch": 50, "shards": 2}, cores=1)
    rates = [plan.learning_rate(spec, 1_000, step) for step in range(plan.step_count(spec, 1_000))]
    assert all(0 < rate <= 0.3 * (1 + 1e-12) for rate in rates)
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


@pytest.mark.parametrize(("round_", "shard"), [(-1, 0), (10_000, 0), (0, 2), (0, -1)])
def test_a_round_or_shard_that_is_not_there_is_refused(round_: int, shard: int) -> None:
    spec = plan.resolve({"shards": 2, "batch": 10, "steps_per_round": 9}, cores=1)
    with pytest.raises(Refused):
        plan.slices(spec, 1_000, round_, shard)
