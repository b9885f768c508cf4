"""Training is a pure function: run twice, elsewhere, in another order or from the middle, it gives the same bits."""

import random
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from shared.errors import Refused, TaskFailed
from shared.images import Pixels
from worker.training import plan, state
from worker.training.augmentation import Augmentation
from worker.training.dataset import Dataset
from worker.training.randomness import Purpose, permutation, stream, uniform
from worker.training.task import Permutations, Workbench, lay_out

Fitted = Callable[..., dict[str, Any]]


def run(
    spec: dict[str, Any], dataset: Dataset, *, start: bytes = b"", first: int = 0, mixed: bool = False
) -> list[bytes]:
    """The state after each round from `first` on; `mixed`: every task on fresh buffers, shards in random order."""
    bench, permutations = Workbench(spec), Permutations()
    now, states = start or state.initial(spec), []
    for round_ in range(first, plan.round_count(spec, len(dataset.training.inputs))):
        shards = list(range(spec["shards"]))
        if mixed:
            random.Random(round_).shuffle(shards)
        results = {}
        for shard in shards:
            if mixed:
                bench, permutations = Workbench(spec), Permutations()
            results[shard] = bench.train_shard(
                dataset, lay_out(spec, dataset, round_, shard, permutations), now
            )
        after = [results[shard].state for shard in sorted(results)]
        now = state.average(b"".join(after), [len(one) for one in after])
        states.append(now)
    return states


@pytest.mark.parametrize("shards", [1, 2, 3, 4])
def test_it_learns_with_any_number_of_shards(shards: int, fitted: Fitted, dataset: Dataset) -> None:
    spec = fitted(shards=shards, steps_per_round=10, epochs=6)
    accuracy = Workbench(spec).accuracy(dataset, run(spec, dataset)[-1])
    assert accuracy is not None
    assert accuracy >= 0.95


def test_images_are_moved_by_a_second_thread_in_the_order_of_the_steps(
    fitted: Fitted, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = fitted(shift=2, rotation=10, steps_per_round=8)
    threads: set[int] = set()
    moved: list[bytes] = []
    apply = Augmentation.apply

    def noted(self: Augmentation, images: Pixels, source: np.random.PCG64) -> None:
        threads.add(threading.get_ident())
        apply(self, images, source)
        moved.append(images.tobytes())

    monkeypatch.setattr(Augmentation, "apply", noted)
    work = lay_out(spec, dataset, 0, 0, Permutations())
    Workbench(spec).train_shard(dataset, work, state.initial(spec))
    assert len(threads) == 1
    assert threading.get_ident() not in threads

    alone = Augmentation(spec["batch"], tuple(spec["input_shape"]), 2, 10)
    source = stream(spec["seed"], Purpose.AUGMENTATION, 0, 0)
    expected = []
    for chosen in work.order.reshape(len(work.rates), -1):
        images = dataset.training.inputs[chosen]
        apply(alone, images, source)
        expected.append(images.tobytes())
    assert moved == expected


EVERYTHING: dict[str, Any] = {
    "arch": "conv 4 3x3 same, pool 2, conv 6 3x3, norm, pool 2, dropout 0.25, dense 12, dropout 0.5, dense",
    "optimiser": "adam",
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "averaging": 0.4,
    "shift": 1,
    "rotation": 8,
}
SPECS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "cnn": {"arch": "conv 8 3x3, pool 2, dense"},
    "all": EVERYTHING,
}


@pytest.mark.parametrize("name", SPECS)
def test_same_spec_same_bits_whatever_ran_before_and_in_whatever_order(
    name: str, fitted: Fitted, dataset: Dataset
) -> None:
    spec = fitted(shards=3, steps_per_round=7, **SPECS[name])
    assert run(spec, dataset) == run(spec, dataset, mixed=True)


@pytest.mark.parametrize("name", SPECS)
def test_going_on_from_any_round_arrives_at_the_same_bits(
    name: str, fitted: Fitted, dataset: Dataset
) -> None:
    spec = fitted(shards=2, steps_per_round=9, **SPECS[name])
    states = run(spec, dataset)
    for round_ in (1, len(states) - 1):
        assert run(spec, dataset, start=states[round_ - 1], first=round_) == states[round_:]


@pytest.mark.parametrize(
    "change",
    [
        *({"seed": 1}, {"shards": 1}, {"steps_per_round": 8}, {"lr": 0.011}, {"momentum": 0.5}),
        *(
            {"optimiser": "nesterov"},
            {"weight_decay": 0.1},
            {"label_smoothing": 0.1},
            {"schedule": "constant"},
        ),
        *(
            {"shift": 1},
            {"rotation": 5},
            {"arch": "dense 128, norm, dense"},
            {"arch": "dense 128, dropout 0.5, dense"},
        ),
    ],
)
def test_another_spec_gives_other_weights(change: dict[str, Any], fitted: Fitted, dataset: Dataset) -> None:
    asked = {"seed": 0, "shards": 2, "steps_per_round": 9, "lr": 0.01} | {"epochs": 1}
    assert run(fitted(**asked), dataset)[-1] != run(fitted(**asked | change), dataset)[-1]


@pytest.mark.parametrize(
    "asked",
    [
        {"arch": "conv 8 3x3, pool 2, conv 8 3x3, pool 2, dense"},
        {"optimiser": "adam"},
        {"optimiser": "nesterov", "averaging": 0.3, "weight_decay": 0.001},
        {"arch": "conv 8 3x3 same, norm, pool 2, dense", "label_smoothing": 0.1, "shift": 1, "rotation": 5},
    ],
)
def test_it_learns_in_every_way(asked: dict[str, Any], fitted: Fitted, dataset: Dataset) -> None:
    spec = fitted(shards=2, steps_per_round=10, **asked | {"epochs": 8})
    accuracy = Workbench(spec).accuracy(dataset, run(spec, dataset)[-1])
    assert accuracy is not None
    assert accuracy >= 0.95


def test_the_average_is_that_of_the_weights_after_the_last_rounds(fitted: Fitted, dataset: Dataset) -> None:
    spec = fitted(shards=2, steps_per_round=9, averaging=0.5)
    states = [np.frombuffer(one, "<f4").reshape(3, -1) for one in run(spec, dataset)]
    averaged = [plan.rounds_averaged(spec, 1_000, round_) for round_ in range(len(states))]
    first = averaged.index(0)
    mean = np.mean([one[0] for one in states[first:]], axis=0)
    np.testing.assert_allclose(states[-1][2], mean, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(states[first - 1][2], states[first - 1][0], rtol=1e-5, atol=1e-6)
    assert state.weights(spec, states[-1].tobytes()) == states[-1][2].tobytes()


def test_a_shard_tells_its_loss_and_how_much_it_did(fitted: Fitted, dataset: Dataset) -> None:
    spec = fitted(shards=2, steps_per_round=10)
    bench, permutations = Workbench(spec), Permutations()
    start = state.initial(spec)
    result = bench.train_shard(dataset, lay_out(spec, dataset, 0, 1, permutations), start)
    assert result.examples == 10 * spec["batch"]
    assert result.loss == pytest.approx(1.2, abs=0.9)
    assert result.seconds > 0
    later = run(spec, dataset)[-1]
    last = plan.round_count(spec, len(dataset.training.inputs)) - 1
    assert bench.train_shard(dataset, lay_out(spec, dataset, last, 1, permutations), later).loss < result.loss


def test_training_that_diverges_fails_with_advice(fitted: Fitted, dataset: Dataset) -> None:
    spec = fitted(lr=100.0, momentum=0.99, warmup=0.0)
    with pytest.raises(TaskFailed, match="diverged") as failure:
        run(spec, dataset)
    assert "--lr" in failure.value.advice


def test_each_epoch_and_purpose_has_its_own_order() -> None:
    orders = [permutation(5, epoch, 100) for epoch in range(3)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(100))
    assert len({tuple(order.tolist()) for order in orders}) == 3
    assert stream(5, Purpose.WEIGHTS, 0).random_raw() != stream(5, Purpose.PERMUTATION, 0).random_raw()


def test_streams_are_the_same_in_every_version() -> None:
    """Taken down once: if a library changes these, old models can no longer be made again."""
    assert permutation(7, 2, 8).tolist() == PERMUTATION
    assert uniform(stream(7, Purpose.WEIGHTS, 1), (2,), 0.5).tolist() == UNIFORM


PERMUTATION = [5, 4, 1, 6, 0, 3, 2, 7]
UNIFORM = [-0.01847660541534424, 0.4946656823158264]


def test_uniform_fills_its_range_evenly() -> None:
    drawn = uniform(stream(1, Purpose.WEIGHTS), (20_000,), 0.25)
    assert drawn.dtype == np.float32
    assert -0.25 <= drawn.min() < -0.249
    assert 0.249 < drawn.max() < 0.25
    assert abs(float(drawn.mean())) < 0.005


def test_the_average_is_taken_in_shard_order() -> None:
    states = [np.array(values, "<f4") for values in ([1e8, 1.0], [1.0, 2.0], [-1e8, 6.0])]
    in_order = np.frombuffer(state.average(b"".join(one.tobytes() for one in states), [8, 8, 8]), "<f4")
    moved = [states[0], states[2], states[1]]
    other = np.frombuffer(state.average(b"".join(one.tobytes() for one in moved), [8, 8, 8]), "<f4")
    assert in_order[1] == other[1] == 3.0
    assert in_order[0] == 0.0  # 1e8 + 1 is 1e8 in float32; then 1e8 is taken away
    assert other[0] == np.float32(1.0) / np.float32(3.0)


@pytest.mark.parametrize(
    ("data", "sizes"), [(bytes(8), []), (bytes(8), [4, 8]), (bytes(8), [8, 8]), (bytes(6), [3, 3])]
)
def test_states_that_do_not_fit_each_other_are_refused(data: bytes, sizes: list[int]) -> None:
    with pytest.raises(Refused):
        state.average(data, sizes)


def test_a_state_is_parameters_then_velocity(fitted: Fitted) -> None:
    spec = fitted(arch="dense 5, dense")
    fresh = state.initial(spec)
    parameters = 144 * 5 + 5 + 5 * 4 + 4
    assert len(fresh) == plan.state_bytes(spec) == parameters * 2 * 4
    assert state.weights(spec, fresh) == fresh[: parameters * 4]
    assert fresh[parameters * 4 :] == bytes(parameters * 4)
    with pytest.raises(Refused):
        state.weights(spec, fresh[4:])


def test_the_cache_knows_the_last_states_and_checks_what_it_is_sent() -> None:
    cache = state.StateCache()
    digests = [cache.keep(bytes([number])) for number in range(state.CACHED_STATES + 1)]
    assert cache.find(digests[-1], b"") == bytes([state.CACHED_STATES])
    with pytest.raises(state.StateNeeded):
        cache.find(digests[0], b"")
    assert cache.find(digests[0], bytes([0])) == bytes([0])
    with pytest.raises(Refused, match="digest"):
        cache.find(digests[0], bytes([9]))
