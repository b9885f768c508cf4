"""How a job is cut into rounds, and a round into shards: the part of training that the node itself must know.

A *step* is one mini-batch of `batch` examples on one shard. All K shards walk through the epochs side by
side: in each step K x batch examples of the epoch's permutation are used, those left over at the end of an
epoch are not (each epoch has another permutation). A *round* is `steps_per_round` such steps (the last one
may be shorter), after which the shards are averaged; it may span the end of an epoch.

    epoch e, its permutation:  |<- round r: steps j0..j1 ->|          n = j1 - j0
                               | shard 0 | shard 1 | shard 2 |        each n x batch examples, next to each other

A spec is a JSON object and goes through the log. `resolve` makes it complete as far as it can without the
data; `fit_to_data` adds what only the data can say. Same spec and same data: same weights, bit for bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Refused
from worker.training import blueprint

MAX_SHARDS = 256
MAX_EPOCHS = 10_000
MAX_BATCH = 4_096
MAX_STEPS_PER_ROUND = 1_000_000
MAX_SEED = 2**63 - 1
MAX_STATE_BYTES = 16 * 1024**2
"""A state travels in the body of one frame."""
OF_THE_DATA = (
    *("input_shape", "outputs", "parameters", "mean", "deviation"),
    *("target_mean", "target_deviation"),
)
"""Fields that `fit_to_data` adds."""
FACTS = ("loss", "normalise", "mean", "deviation", "target_mean", "target_deviation")
"""Those of them that are in a prepared data set's header under the same name, and what was left to it."""
NORMALISATIONS = ("auto", "ink", "plain", "table", "text")
LOSSES = ("auto", "cross-entropy", "squared")
SCHEDULES = ("one-cycle", "constant")
SLOTS: Mapping[str, int] = {"sgd": 1, "nesterov": 1, "adam": 2}
"""Optimisers, and how many arrays of the size of the parameters each keeps beside them."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What an architecture trains with when nothing else is asked for; how it was tuned: docs/training.md."""

    epochs: int
    batch: int
    lr: float
    """Peak learning rate of one shard; `learning_rate_for` says what it becomes with more."""
    outer_lr: float
    """How far the averaged weights go along the way that the shards went, if there is more than one shard."""
    optimiser: str
    momentum: float
    warmup: float
    """The part of all steps during which the learning rate rises; it falls in a straight line to 0 afterwards."""
    shortening: int
    """Rounds of K > 2 shards have (2 / K)^shortening times the steps: the more shards, the less may they part."""


DENSE = Defaults(
    epochs=5, batch=64, lr=0.07, outer_lr=1.3, optimiser="sgd", momentum=0.9, warmup=0.2, shortening=2
)
CONVOLUTIONAL = Defaults(
    epochs=3, batch=64, lr=0.1, outer_lr=1.0, optimiser="nesterov", momentum=0.9, warmup=0.3, shortening=1
)
ADAM_LR = 0.002
"""Adam's steps do not grow with the gradient: one peak rate suits most networks."""
FEW_SHARDS = 4
"""With more of them batches are halved."""
RATE_SHARDS = 8
"""Up to so many, the learning rate grows with the shards."""
ROUND_PRODUCTS = 1_950_000_000
"""Multiplications in the round of one shard or two, forward; about 110 to 300 ms of work on one core."""
LEAST_STEPS = 15
"""Of a round that nobody has given a length; shorter ones are not worth their averages."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Positions ``start`` to ``stop`` (half-open) of the permutation of `epoch`, a whole number of batches."""

    epoch: int
    start: int
    stop: int


def resolve(spec: Mapping[str, Any], cores: int) -> dict[str, Any]:
    """The spec with every default filled in, for a cluster that has `cores` cores at this moment.

    Fields that a client may set: those of the result below, and ``steps_per_round``; None counts as not set. A resolved spec
    resolves to itself. Raises Refused for an unknown field, an architecture that cannot be read, a wrong type, or
    a value out of range.
    """
    given = {name: value for name, value in spec.items() if value is not None}
    arch = given.get("arch", "mlp")
    if not isinstance(arch, str):
        raise Refused(f"the architecture is {arch!r}.", f"Choose one of: {', '.join(blueprint.PRESETS)}.")
    parts = blueprint.parse(given.get("layers") or blueprint.PRESETS.get(arch, arch))
    defaults = defaults_for(parts)
    shards = _integer(given, "shards", min(max(cores, 1), MAX_SHARDS), 1, MAX_SHARDS)
    batch = _integer(given, "batch", batch_for(defaults, shards), 1, MAX_BATCH)
    optimiser = _choice(given, "optimiser", defaults.optimiser, tuple(SLOTS))
    rate = ADAM_LR if optimiser == "adam" else defaults.lr
    resolved: dict[str, Any] = {
        "arch": arch if arch in blueprint.PRESETS else blueprint.written(blueprint.parse(arch)),
        "layers": blueprint.written(parts),
        "epochs": _integer(given, "epochs", defaults.epochs, 1, MAX_EPOCHS),
        "batch": batch,
        "lr": _number(given, "lr", learning_rate_for(rate, defaults, shards, batch), 1e-8, 100.0),
        "outer_lr": _number(given, "outer_lr", defaults.outer_lr if shards > 1 else 1.0, 0.1, 10.0),
        "seed": _integer(given, "seed", 0, 0, MAX_SEED),
        "shards": shards,
        "optimiser": optimiser,
        "momentum": _number(given, "momentum", defaults.momentum, 0.0, 0.999),
        "weight_decay": _number(given, "weight_decay", 0.0, 0.0, 10.0),
        "label_smoothing": _number(given, "label_smoothing", 0.0, 0.0, 0.9),
        "schedule": _choice(given, "schedule", "one-cycle", SCHEDULES),
        "warmup": _number(given, "warmup", defaults.warmup, 0.0, 1.0),
        "averaging": _number(given, "averaging", 0.0, 0.0, 1.0),
        "shift": _integer(given, "shift", 0, 0, 16),
        "rotation": _number(given, "rotation", 0.0, 0.0, 45.0),
        "thickness": _number(given, "thickness", 0.0, 0.0, 1.0),
        "loss": _choice(given, "loss", "auto", LOSSES),
        "normalise": _choice(given, "normalise", "auto", NORMALISATIONS),
    }
    if "steps_per_round" in given:
        resolved["steps_per_round"] = _integer(given, "steps_per_round", 1, 1, MAX_STEPS_PER_ROUND)
    unknown = sorted(set(given) - set(resolved) - set(OF_THE_DATA))
    if unknown:
        raise Refused(
            f"the training spec has no field {unknown[0]!r}.", f"Its fields are: {', '.join(resolved)}."
        )
    return resolved | {name: given[name] for name in OF_THE_DATA if name in given}


def fit_to_data(spec: Mapping[str, Any], prepared: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved spec made to fit a prepared data set; every task and the predictor take this one.

    `prepared` is the answer to ``prepare``; all of its fields but the digest are used. With few examples there are
    fewer shards, then smaller batches, so that each shard has a batch in each epoch, and shorter rounds unless their
    length was given. Raises Refused for no examples, fewer than two labels, an architecture that does not fit the
    images, or too large a model.
    """
    examples, labels = int(prepared["examples"]), prepared["labels"]
    if examples < 1:
        raise Refused("the data set holds no examples.", "Give at least one example of each label.")
    if len(labels) < 2 and prepared["loss"] == "cross-entropy":
        raise Refused(f"the data set has {len(labels)} label.", "Give examples of at least two labels.")
    shards = min(spec["shards"], examples)
    batch = min(spec["batch"], examples // shards)
    shape = [int(size) for size in prepared["input_shape"]]
    parts = blueprint.with_outputs(blueprint.parse(spec["layers"]), len(labels))
    fitted = {
        **spec,
        "layers": blueprint.written(parts),
        "shards": shards,
        "batch": batch,
        "input_shape": shape,
        "outputs": len(labels),
        "parameters": [[name, list(sizes)] for name, sizes in blueprint.parameters(parts, shape)],
        **{name: prepared[name] for name in FACTS if name in prepared},
    }
    if len(shape) == 1 and (spec["shift"] or spec["rotation"]):
        raise Refused("only images can be moved or turned.", "Leave out --shift and --rotation.")
    if spec["thickness"] and prepared["normalise"] != "ink":
        raise Refused("only drawn signs can be made thicker.", "Leave out --thickness.")
    _check_size(fitted, parts)
    steps = steps_for(defaults_for(parts), shards, batch, blueprint.products(parts, shape))
    return {"steps_per_round": min(steps, steps_per_epoch(fitted, examples))} | fitted


def _check_size(spec: Mapping[str, Any], parts: tuple[blueprint.Part, ...]) -> None:
    if state_bytes(spec) > MAX_STATE_BYTES:
        most = MAX_STATE_BYTES // (4 * state_arrays(spec))
        raise Refused(
            f"the model would have {parameter_count(spec):,} parameters, the most is {most:,}.",
            "Give smaller images, or fewer units in the first dense part.",
        )
    needed = blueprint.working_bytes(parts, spec["input_shape"], spec["batch"])
    if needed > blueprint.WORKING_BYTES:
        raise Refused(
            f"a step would need about {needed / 1024**3:.1f} GiB, the most is {blueprint.WORKING_BYTES / 1024**3:.0f}.",
            "Give smaller images, a smaller --batch, or fewer filters.",
        )


def parameter_count(spec: Mapping[str, Any]) -> int:
    """How many float32 the parameters of a fitted spec are."""
    return sum(math.prod(shape) for _, shape in spec["parameters"])


def state_arrays(spec: Mapping[str, Any]) -> int:
    """Arrays of the parameters' size in a state: themselves, the optimiser's, and their average if there is one."""
    return 1 + SLOTS[spec["optimiser"]] + int(spec["averaging"] > 0)


def state_bytes(spec: Mapping[str, Any]) -> int:
    """The size of a job's state, float32."""
    return 4 * parameter_count(spec) * state_arrays(spec)


def defaults_for(parts: tuple[blueprint.Part, ...]) -> Defaults:
    """Whether there is a convolution decides."""
    return CONVOLUTIONAL if any(isinstance(part, blueprint.Conv) for part in parts) else DENSE


def learning_rate_for(rate: float, defaults: Defaults, shards: int, batch: int) -> float:
    """Peak learning rate: the less noise is left in a step, by averaging or by a larger batch, the larger it may be."""
    return rate * math.sqrt(min(shards, RATE_SHARDS) * batch / defaults.batch)


def batch_for(defaults: Defaults, shards: int) -> int:
    """Examples in one step of a shard: with many shards each makes few steps, so that they must be smaller."""
    return defaults.batch if shards <= FEW_SHARDS else defaults.batch // 2


def steps_for(defaults: Defaults, shards: int, batch: int, products: int) -> int:
    """Steps of a round; `products` are the multiplications of one example, forward. How this was tuned: docs/training.md."""
    alone = ROUND_PRODUCTS / (max(batch, defaults.batch) * products)
    together = alone * min(1.0, 2 / shards) ** defaults.shortening
    return max(1, round(min(alone, max(together, LEAST_STEPS))))


def steps_per_epoch(spec: Mapping[str, Any], examples: int) -> int:
    """Steps of each shard in one epoch. Raises Refused if the shards cannot have one batch each."""
    steps = examples // (int(spec["shards"]) * int(spec["batch"]))
    if steps < 1:
        raise Refused(
            f"{examples} examples are too few for {spec['shards']} shards with batches of {spec['batch']}.",
            "Give a smaller --batch or fewer --shards.",
        )
    return steps


def step_count(spec: Mapping[str, Any], examples: int) -> int:
    """Steps of each shard in the whole job."""
    return int(spec["epochs"]) * steps_per_epoch(spec, examples)


def round_count(spec: Mapping[str, Any], examples: int) -> int:
    """Rounds in the whole job, at least 1; they are numbered from 0."""
    return -(-step_count(spec, examples) // int(spec["steps_per_round"]))


def first_step(spec: Mapping[str, Any], round_: int) -> int:
    """The number, from 0, of the first step of this round."""
    return round_ * int(spec["steps_per_round"])


def steps_in_round(spec: Mapping[str, Any], examples: int, round_: int) -> int:
    """Steps of each shard in this round, at least 1. Raises Refused for a round that the job does not have."""
    if not 0 <= round_ < round_count(spec, examples):
        raise Refused(f"the job has {round_count(spec, examples)} rounds, there is no round {round_}.")
    return min(int(spec["steps_per_round"]), step_count(spec, examples) - first_step(spec, round_))


def slices(spec: Mapping[str, Any], examples: int, round_: int, shard: int) -> tuple[Slice, ...]:
    """What `shard` (0 to K - 1) trains on in this round, in order. Raises Refused for a shard or round that
    is not there.
    """
    shards, batch = int(spec["shards"]), int(spec["batch"])
    if not 0 <= shard < shards:
        raise Refused(f"the job has {shards} shards, there is no shard {shard}.")
    step = first_step(spec, round_)
    end = step + steps_in_round(spec, examples, round_)
    per_epoch = steps_per_epoch(spec, examples)
    found = []
    while step < end:
        epoch, within = divmod(step, per_epoch)
        steps = min(end - step, per_epoch - within)
        start = (within * shards + shard * steps) * batch
        found.append(Slice(epoch, start, start + steps * batch))
        step += steps
    return tuple(found)


def learning_rate(spec: Mapping[str, Any], examples: int, step: int) -> float:
    """The learning rate of this step: rises to ``lr`` during the warm-up, then falls in a straight line
    towards 0 ("one-cycle") or stays ("constant").

    Only the four operations are used, so that every system computes the same bits.
    """
    total = step_count(spec, examples)
    rising = float(spec["warmup"]) * total
    part = 1.0
    if rising > 0:
        part = min(part, (step + 1) / rising)
    if rising < total and spec["schedule"] == "one-cycle":
        part = min(part, (total - step) / (total - rising))
    return float(spec["lr"]) * part


def rounds_averaged(spec: Mapping[str, Any], examples: int, round_: int) -> int:
    """How many rounds are in the average of the weights before this one; -1 if this one is not in it either."""
    if not spec["averaging"]:
        return -1
    first = math.floor(round_count(spec, examples) * (1 - float(spec["averaging"])))
    return max(round_ - first, -1)


def _integer(given: Mapping[str, Any], name: str, default: int, least: int, most: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"{name} is {value!r}.", f"Give a whole number from {least} to {most}.")
    return value


def _number(given: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = given.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"{name} is {value!r}.", f"Give a number from {least:g} to {most:g}.")
    return float(value)


def _choice(given: Mapping[str, Any], name: str, default: str, choices: tuple[str, ...]) -> str:
    value = given.get(name, default)
    if value not in choices:
        raise Refused(f"{name} is {value!r}.", f"Give one of: {', '.join(choices)}.")
    return str(value)
