"""A worker may open as many sockets and files as it can need."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), hard))
from worker.descriptors import allow_enough
allow_enough()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], hard)
"""


@pytest.mark.parametrize("soft", [64, 5_000])
def test_a_low_limit_is_raised_and_a_high_one_is_left(soft: int) -> None:
    if sys.platform == "win32":
        return
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(soft)], capture_output=True, text=True, check=True, timeout=30
    )
    now, hard = map(int, ended.stdout.split())
    assert now == max(soft, min(4_096, hard if hard > 0 else 4_096))
