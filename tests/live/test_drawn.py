"""Digits are read that are drawn small, large, thick, in a corner, or dark on light: 98 % of each, as of MNIST itself."""

from collections.abc import Callable

import pytest

from tests.bench.drawn import WAYS, measure
from tests.live.cluster import LiveCluster


@pytest.mark.timeout(900)
def test_digits_are_read_however_they_are_drawn(start_cluster: Callable[..., LiveCluster]) -> None:
    found = measure(start_cluster(size=1, cores=2))
    assert found.keys() == WAYS.keys()
    assert {name: part for name, part in found.items() if part < 0.98} == {}
