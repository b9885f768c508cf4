"""Every promise of the consensus, under every fault at once, seed after seed (``dev.py simulate`` runs more of them)."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from tests.simulator.mutations import MUTATIONS, mutated
from tests.simulator.runs import attempt
from tests.simulator.simulation import COMMANDS, FAULTS

ROOT = Path(__file__).parents[2]
SEEDS = 200
PROCESSES = min(os.cpu_count() or 1, 8)
SEEDS_PER_MUTATION = 20


@pytest.mark.timeout(900)
def test_every_promise_holds_under_faults() -> None:
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        outcomes = list(pool.map(attempt, range(SEEDS)))
    failures = [outcome.failure for outcome in outcomes if outcome.result is None]
    assert not failures, f"{len(failures)} of {SEEDS} seeds failed\n\n{failures[0]}"
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    assert all(result.commands >= COMMANDS and result.faults >= FAULTS for result in results)


def test_a_seed_replays_to_the_byte() -> None:
    """Also in another process, where sets of strings have another order."""
    command = [sys.executable, "-m", "tests.simulator", "--seed", "4", "--jobs", "1"]
    told = {
        subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()[0]
        for hash_seed in ("1", "2")
    }
    assert told == {f"{attempt(4).result}"}


@pytest.mark.parametrize("bug", MUTATIONS)
def test_a_bug_on_purpose_is_caught(bug: str) -> None:
    caught = (seed for seed in range(SEEDS_PER_MUTATION) if _breaks(bug, seed))
    assert next(caught, None) is not None, f"not shown by any seed: {MUTATIONS[bug].__doc__}"


def _breaks(bug: str, seed: int) -> bool:
    with mutated(bug):
        return attempt(seed).result is None
