"""One process of `dev.py bench training` that does nothing but train, on made-up data: `python -m tests.bench.rivals`.

Reads one JSON line: {"who", "arch", "threads", "layout", "seconds"}; says "ready" when it is warm; begins at the next line,
so that several begin together; answers {"images_per_second", "images_per_cpu_second"}. With "data", a data set's path,
PyTorch trains on it for "epochs" with the one-cycle schedule instead, and answers {"seconds", "test_accuracy"}.
"""

import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 64
EXAMPLES = 60_000
"""As many as MNIST has: rounds of the usual length."""
SKLEARN_EXAMPLES = 12_800
"""Of one call, which cannot be broken off."""
CNN = "conv 8 5x5, pool 2, conv 16 5x5, pool 2, dense 10"
MLP = "dense 128, dense 10"
TEXTS = {"mlp": MLP, "cnn": CNN}
WARM_UP_S = 0.5
PEAK_RATE = 0.1
MOMENTUM = 0.9


def main() -> None:
    asked = json.loads(sys.stdin.readline())
    if "data" in asked:
        print(json.dumps(_torch_to_the_end(asked)), flush=True)
        return
    steps = {"minka": _minka, "torch": _torch, "sklearn": _sklearn}[asked["who"]](asked)
    warm = time.perf_counter() + WARM_UP_S
    while time.perf_counter() < warm:
        next(steps)
    print("ready", flush=True)
    sys.stdin.readline()
    images, began, computed = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began < asked["seconds"]:
        images += next(steps)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - computed
    found = {"images_per_second": images / seconds, "images_per_cpu_second": images / cpu_seconds}
    print(json.dumps(found), flush=True)


def made_up() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """uint8 [n, 28, 28, 1], a fifth of it ink as in handwriting, and labels [n]."""
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (EXAMPLES, 28, 28, 1)) * (random.random((EXAMPLES, 28, 28, 1)) < 0.2)
    return images.astype(np.uint8), random.integers(0, 10, EXAMPLES)


def _minka(asked: dict[str, Any]) -> Iterator[int]:
    """Rounds of the trainer, without a cluster: how fast one process is by itself."""
    from worker.training import plan, state
    from worker.training.dataset import SourceFile, open_dataset, prepare
    from worker.training.task import Permutations, Workbench, lay_out

    images, labels = made_up()
    with tempfile.TemporaryDirectory(prefix="minka-bench-") as folder:
        files = {"x": images[..., 0], "y": labels}
        for name, array in files.items():
            np.save(Path(folder, f"{name}.npy"), array)
        sources = [SourceFile(Path(folder, f"{name}.npy"), name) for name in files]
        facts = prepare(sources[0], sources[1], None, None, Path(folder, "set"))
        dataset = open_dataset(Path(folder, "set"))
        spec = {"arch": TEXTS[asked["arch"]], "batch": BATCH, "shards": 1, "lr": 0.01, "epochs": 10_000}
        spec = plan.fit_to_data(plan.resolve(spec, cores=1), facts)
        bench, permutations, now = Workbench(spec), Permutations(), state.initial(spec)
        for round_ in itertools.count():
            result = bench.train_shard(dataset, lay_out(spec, dataset, round_, 0, permutations), now)
            now = result.state
            yield result.examples


def _model(arch: str, channels_last: bool) -> Any:
    import torch
    from torch import nn

    if arch == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    model = nn.Sequential(
        *(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 10)),
    )
    return model.to(memory_format=torch.channels_last) if channels_last else model


def _stepper(model: Any, channels_last: bool, nesterov: bool) -> tuple[Any, Callable[[Any, Any], None]]:
    import torch

    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=MOMENTUM, nesterov=nesterov)
    loss_of = torch.nn.CrossEntropyLoss()

    def step(images: Any, labels: Any) -> None:
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        optimiser.zero_grad(set_to_none=True)
        loss_of(model(images), labels).backward()
        optimiser.step()

    return optimiser, step


def _torch(asked: dict[str, Any]) -> Iterator[int]:
    import torch

    torch.set_num_threads(asked["threads"])
    torch.manual_seed(1)
    channels_last = asked["layout"] == "channels_last"
    _, step = _stepper(_model(asked["arch"], channels_last), channels_last, nesterov=False)
    images, labels = made_up()
    inputs = torch.tensor(images.transpose(0, 3, 1, 2) / 255, dtype=torch.float32)
    targets = torch.tensor(labels)
    while True:
        order = torch.randperm(EXAMPLES)
        for start in range(0, EXAMPLES, BATCH):
            chosen = order[start : start + BATCH]
            step(inputs[chosen], targets[chosen])
            yield BATCH


def _torch_to_the_end(asked: dict[str, Any]) -> dict[str, float]:
    """The whole training, with evaluation at the end only, which is not timed."""
    import torch

    from worker.training.dataset import open_dataset

    torch.set_num_threads(asked["threads"])
    torch.manual_seed(asked["seed"])
    dataset = open_dataset(Path(asked["data"]))

    def tensor(pixels: Any) -> Any:
        scaled = (torch.tensor(np.array(pixels)).permute(0, 3, 1, 2).float() / 255 - 0.1307) / 0.3081
        return scaled.contiguous()

    channels_last = asked["layout"] == "channels_last"
    model = _model("cnn", channels_last)
    inputs, targets = tensor(dataset.training.inputs), torch.tensor(dataset.training.labels.astype(np.int64))
    began = time.perf_counter()
    optimiser, step = _stepper(model, channels_last, nesterov=True)
    steps = len(inputs) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=PEAK_RATE, total_steps=asked["epochs"] * steps, cycle_momentum=False
    )
    for _ in range(asked["epochs"]):
        order = torch.randperm(len(inputs))
        for start in range(0, steps * BATCH, BATCH):
            chosen = order[start : start + BATCH]
            step(inputs[chosen], targets[chosen])
            schedule.step()
    seconds = time.perf_counter() - began
    with torch.no_grad():
        found = torch.cat([model(piece).argmax(1) for piece in tensor(dataset.test.inputs).split(1_000)])
    right = (found == torch.tensor(dataset.test.labels.astype(np.int64))).float().mean()
    return {"seconds": seconds, "test_accuracy": float(right)}


def _sklearn(asked: dict[str, Any]) -> Iterator[int]:
    from sklearn.neural_network import MLPClassifier

    images, labels = made_up()
    images, labels = images[:SKLEARN_EXAMPLES], labels[:SKLEARN_EXAMPLES]
    inputs = (images.reshape(SKLEARN_EXAMPLES, -1) / 255).astype(np.float32)
    model = MLPClassifier((128,), solver="sgd", batch_size=BATCH, momentum=MOMENTUM, learning_rate_init=0.01)
    classes = np.arange(10)
    while True:
        model.partial_fit(inputs, labels, classes=classes)
        yield SKLEARN_EXAMPLES


if __name__ == "__main__":
    main()
