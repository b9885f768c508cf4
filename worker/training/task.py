"""The pure functions that a round is made of: same arguments, same bits, in any process and however often."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import TaskFailed
from worker.training import architectures, plan
from worker.training.augmentation import Augmentation
from worker.training.buffers import Array, zeros
from worker.training.dataset import Dataset
from worker.training.inference import Classifier
from worker.training.loss import CrossEntropy, SquaredError
from worker.training.network import Network, parameter_count
from worker.training.optimiser import optimiser
from worker.training.randomness import Purpose, permutation, stream
from worker.training.state import FLOAT, weights

EVALUATION_ROWS = 128


@dataclass(frozen=True, slots=True)
class ShardWork:
    """What one shard does in one round: all that can be made ready before the state is there."""

    round: int
    order: NDArray[np.intp]
    """[steps x batch], places of examples in the data set."""
    expected: NDArray[Any]
    """Of those examples: labels, intp [steps x batch], or standardised targets, float32 [steps x batch, outputs]."""
    rates: tuple[float, ...]
    """Learning rate of each step."""
    shard: int
    first_step: int
    """The number of the first step in the whole job."""
    averaged: int
    """As `plan.rounds_averaged`."""


@dataclass(frozen=True, slots=True)
class ShardResult:
    """`state` after the round's steps; `loss` is the mean over its examples, each before the step that used it."""

    state: bytes
    loss: float
    seconds: float
    examples: int


class Permutations:
    """The orders of the last epochs, which all rounds within them share."""

    LIMIT = 4

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int, int], NDArray[np.intp]] = {}

    def find(self, seed: int, epoch: int, examples: int) -> NDArray[np.intp]:
        """intp[examples], as `randomness.permutation`."""
        key = (seed, epoch, examples)
        if key not in self._kept:
            while len(self._kept) >= self.LIMIT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = permutation(seed, epoch, examples)
        return self._kept[key]


def lay_out(
    spec: Mapping[str, Any], dataset: Dataset, round_: int, shard: int, permutations: Permutations
) -> ShardWork:
    """The examples of one shard in one round, in order. Raises Refused for a round or shard that is not there."""
    examples = len(dataset.training.inputs)
    order = np.concatenate(
        [
            permutations.find(spec["seed"], piece.epoch, examples)[piece.start : piece.stop]
            for piece in plan.slices(spec, examples, round_, shard)
        ]
    )
    first = plan.first_step(spec, round_)
    steps = range(first, first + plan.steps_in_round(spec, examples, round_))
    rates = tuple(plan.learning_rate(spec, examples, step) for step in steps)
    expected = dataset.training.labels[order]
    if spec["loss"] == "squared":
        expected = (expected - np.array(spec["target_mean"])) / np.array(spec["target_deviation"])
    expected = expected.astype(np.float32 if spec["loss"] == "squared" else np.intp)
    averaged = plan.rounds_averaged(spec, examples, round_)
    return ShardWork(round_, order, expected, rates, shard, first, averaged)


class Workbench:
    """The arrays that one spec needs, allocated once; every task writes over them, none depends on what was in them."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        layers = architectures.layers(spec)
        size, batch = parameter_count(layers), int(spec["batch"])
        self._spec = spec
        self._arrays = [zeros((size,)) for _ in range(plan.state_arrays(spec))]
        self._parameters, self._gradients = self._arrays[0], zeros((size,))
        self._average = self._arrays[-1] if spec["averaging"] else None
        self._network = Network(
            architectures.entrance(spec), layers, batch, self._parameters, self._gradients
        )
        self._loss: CrossEntropy | SquaredError = (
            SquaredError(spec["outputs"], batch)
            if spec["loss"] == "squared"
            else CrossEntropy(spec["outputs"], batch, spec["label_smoothing"])
        )
        slots = self._arrays[1 : 1 + plan.SLOTS[spec["optimiser"]]]
        self._optimiser = optimiser(spec, self._parameters, slots, self._gradients)
        shape, kind = (batch, *spec["input_shape"]), architectures.input_type(spec)
        self._inputs = (zeros(shape, kind), zeros(shape, kind))
        """Of the present step, and of the next while it is made ready."""
        self._augmentation: Augmentation | None = None
        moves = spec["shift"], spec["rotation"], spec["thickness"]
        if any(moves):
            self._augmentation = Augmentation(batch, tuple(spec["input_shape"]), *moves)
        self._classifier: Classifier | None = None

    def train_shard(self, dataset: Dataset, work: ShardWork, state: bytes) -> ShardResult:
        """All local steps of one shard in one round. Raises TaskFailed if the training diverges."""
        started = time.perf_counter()
        before = np.frombuffer(state, FLOAT).reshape(len(self._arrays), -1)
        for array, given in zip(self._arrays, before, strict=True):
            array[:] = given
        likelihoods = zeros((len(work.rates), self._network.rows))
        self._network.begin(self._spec["seed"], work.round, work.shard)
        with np.errstate(all="ignore"):
            self._steps(dataset, work, likelihoods)
            self._go_further(before[0])
            self._join_average(work.averaged)
            loss = self._loss.mean(likelihoods)
            if not (np.isfinite(loss) and all(np.isfinite(array).all() for array in self._arrays)):
                raise TaskFailed(
                    f"the training diverged in round {work.round}: the loss is not a number.",
                    f"Give a lower learning rate: --lr below {self._spec['lr']:.3g}.",
                )
        result = b"".join(array.astype(FLOAT, copy=False).tobytes() for array in self._arrays)
        return ShardResult(result, loss, time.perf_counter() - started, len(work.order))

    def _steps(self, dataset: Dataset, work: ShardWork, likelihoods: Array) -> None:
        batch, decay = self._network.rows, self._spec["weight_decay"]
        for step, (rate, images) in enumerate(
            zip(work.rates, self._batches(dataset.training.inputs, work), strict=True)
        ):
            chosen = slice(step * batch, (step + 1) * batch)
            logits = self._network.forward(images)
            scale = self._optimiser.gradient_scale(rate)
            self._network.backward(
                self._loss.gradient(logits, work.expected[chosen], scale, likelihoods[step])
            )
            if decay:
                for weight in self._network.weights():
                    np.multiply(weight, np.float32(1 - rate * decay), out=weight)
            self._optimiser.apply(rate, work.first_step + step)

    def _batches(self, inputs: NDArray[Any], work: ShardWork) -> Iterator[NDArray[Any]]:
        """The inputs of each step. What is moved and turned is made ready by a second thread, one step ahead."""
        batch = self._network.rows

        def gather(step: int) -> NDArray[Any]:
            images = self._inputs[step % 2]
            return inputs.take(work.order[step * batch : (step + 1) * batch], axis=0, out=images, mode="clip")

        if self._augmentation is None:
            yield from map(gather, range(len(work.rates)))
            return
        augmentation = self._augmentation
        source = stream(self._spec["seed"], Purpose.AUGMENTATION, work.round, work.shard)

        def moved(step: int) -> NDArray[Any]:
            images = gather(step)
            augmentation.apply(images, source)
            return images

        with ThreadPoolExecutor(1, "augmentation") as second:
            ahead = second.submit(moved, 0)
            for step in range(1, len(work.rates)):
                images = ahead.result()
                ahead = second.submit(moved, step)
                yield images
            yield ahead.result()

    def _go_further(self, start: Array) -> None:
        """The outer learning rate of Reddi et al. 2021 (algorithm 1, with plain SGD as the server's optimiser).

        The average is linear, so that each shard can take its own share of the longer way beforehand.
        """
        if self._spec["outer_lr"] != 1:
            np.subtract(self._parameters, start, out=self._gradients)
            np.multiply(self._gradients, np.float32(self._spec["outer_lr"]), out=self._gradients)
            np.add(start, self._gradients, out=self._parameters)

    def _join_average(self, averaged: int) -> None:
        """Into the mean of the weights after each of the last rounds (Izmailov et al. 2018); before them it follows."""
        if self._average is not None:
            np.subtract(self._parameters, self._average, out=self._gradients)
            np.multiply(self._gradients, np.float32(1 / (max(averaged, 0) + 1)), out=self._gradients)
            np.add(self._average, self._gradients, out=self._average)

    def accuracy(self, dataset: Dataset, state: bytes) -> float | None:
        """The part of the test examples that are classified right; of numbers, the part of their variance that is explained.

        None without test examples.
        """
        examples = len(dataset.test.inputs)
        if not examples:
            return None
        if self._classifier is None:
            self._classifier = Classifier(self._spec, EVALUATION_ROWS)
        self._classifier.load(weights(self._spec, state))
        if self._spec["loss"] == "squared":
            return self._classifier.explained(dataset.test.inputs, dataset.test.labels)
        return self._classifier.correct(dataset.test.inputs, dataset.test.labels) / examples
