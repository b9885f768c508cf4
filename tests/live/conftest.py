"""Fixtures of the live tests: clusters, and the real sample of MNIST that the project carries."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from tests.live.cluster import LiveCluster

SAMPLES = Path(__file__).parents[2] / "packaging" / "samples"


@pytest.fixture
def rng() -> Random:
    """Every choice of a test. The seed shows if the test fails."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return Random(seed)


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., LiveCluster]]:
    """Starts clusters that end with the test; each call has its own directory. What the workers said shows if it fails."""
    started: list[LiveCluster] = []
    with ExitStack() as stack:
        stack.callback(lambda: print(*(cluster.logs() for cluster in started), sep="\n"))

        def start(
            size: int = 3, cores: int = 1, options: Sequence[str] = (), kind: type[LiveCluster] = LiveCluster
        ) -> LiveCluster:
            cluster = kind(tmp_path / f"cluster-{len(started)}", size, cores, options)
            started.append(cluster)
            return stack.enter_context(cluster)

        yield start
