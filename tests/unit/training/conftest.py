"""A small data set, and child processes whose node is the test."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.training.child_process import ChildProcess
from worker.training import plan
from worker.training.dataset import Dataset, SourceFile, open_dataset, prepare

Start = Callable[..., ChildProcess]


@pytest.fixture
def start_child() -> Iterator[Start]:
    started: list[ChildProcess] = []

    def start(module: str, environment: Mapping[str, str] | None = None) -> ChildProcess:
        started.append(ChildProcess(module, environment))
        return started[-1]

    yield start
    for child in started:
        child.end()


def drawn(examples: int, seed: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """uint8 [n, 12, 12] and labels [n]: one of four bars, noisy and shifted; learnable, not trivial."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, examples)
    images = random.integers(0, 60, (examples, 12, 12))
    for image, label, place in zip(images, labels, random.integers(2, 9, examples), strict=True):
        if label == 0:
            image[place : place + 2, :] += 150
        elif label == 1:
            image[:, place : place + 2] += 150
        else:
            np.fill_diagonal(image if label == 2 else image[:, ::-1], 200)
    return images.astype(np.uint8), labels


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceFile]:
    """The four files of the small data set, as a client would send them."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for prefix, examples, seed in (("", 1_000, 1), ("test_", 300, 2)):
        images, labels = drawn(examples, seed)
        for role, array in (("inputs", images), ("outputs", labels)):
            path = folder / f"{prefix}{role}.npy"
            np.save(path, array)
            found[f"{prefix}{role}"] = SourceFile(path, path.name)
    return found


@pytest.fixture(scope="session")
def prepared(
    sources: dict[str, SourceFile], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The canonical data set's path, and what preparing it answered."""
    path = tmp_path_factory.mktemp("prepared") / "dataset"
    names = ("inputs", "outputs", "test_inputs", "test_outputs")
    facts = prepare(*(sources[name] for name in names), path)
    return path, facts


@pytest.fixture(scope="session")
def dataset(prepared: tuple[Path, dict[str, Any]]) -> Dataset:
    return open_dataset(prepared[0])


@pytest.fixture
def fitted(prepared: tuple[Path, dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """A complete spec for the small data set."""

    def make(**fields: Any) -> dict[str, Any]:
        return plan.fit_to_data(plan.resolve({"batch": 16, "epochs": 3, **fields}, cores=2), prepared[1])

    return make
