"""`dev.py bench soak` tells what was, also when nothing went well."""

from typing import Any

import pytest

from tests.bench.soak import is_well, latencies, leadership

LOGS = """
12:00:00 w1: leader in term 3, leader w1
12:00:00 w2: follower in term 3, leader w1
12:05:00 w2: candidate in term 4, leader unknown
12:05:01 w2: candidate in term 5, leader unknown
12:05:01 w2: leader in term 5, leader w2
12:05:01 w1: follower in term 5, leader w2
"""
WELL: dict[str, Any] = {"leader_changes": 0, "failed_puts": [], "failed_job": "", "puts": 5}


def test_a_term_that_nobody_won_is_no_change_of_leader() -> None:
    assert leadership(LOGS, 3, 5) == {"terms_begun": 2, "leader_changes": 1}
    assert leadership(LOGS, 5, 6) == {"terms_begun": 1, "leader_changes": 0}
    assert leadership(LOGS, 2, 5) == {"terms_begun": 3, "leader_changes": 2}


def test_without_a_put_that_succeeded_the_rest_is_told() -> None:
    assert latencies([]) == {"puts": 0, "put_ms_p50": None, "put_ms_p99": None, "put_ms_max": None}
    assert latencies([3.0, 1.0, 2.0]) == {"puts": 3, "put_ms_p50": 2.0, "put_ms_p99": 3.0, "put_ms_max": 3.0}


@pytest.mark.parametrize(
    "trouble", [{"leader_changes": 1}, {"failed_puts": ["why"]}, {"failed_job": "why"}, {"puts": 0}]
)
def test_it_is_well_when_the_leader_stayed_and_nothing_failed(trouble: dict[str, Any]) -> None:
    assert is_well(WELL)
    assert not is_well(WELL | trouble)
