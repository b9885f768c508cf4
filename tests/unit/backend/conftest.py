"""A scripted cluster of three workers, and clients of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from backend.client import ClusterClient
from tests.unit.backend.fake_cluster import KEY, FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    cluster = FakeCluster.of(3)
    yield cluster
    cluster.close()


@pytest.fixture
def connect(cluster: FakeCluster) -> Iterator[Callable[..., ClusterClient]]:
    """Makes clients of the scripted cluster; by default they know its first worker alone."""
    with ExitStack() as stack:

        def make(*workers: int, timeout_s: float = 3.0, key: bytes = KEY) -> ClusterClient:
            addresses = [cluster.addresses[worker] for worker in workers or (0,)]
            return stack.enter_context(ClusterClient(addresses, key, timeout_s, "ana@lab"))

        yield make
