"""Seeds that are run one after the other in a process, each with a verdict that can be sent to another process."""

import gc
import time
from dataclasses import dataclass

from tests.simulator.simulation import Failed, Result, Simulation


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result`, or `failure`: what broke, with the seed and the last events. `processor_s` is what the run took."""

    seed: int
    result: Result | None
    failure: str
    processor_s: float


def attempt(seed: int) -> Outcome:
    """Simulate one seed. Garbage is collected after it, not within: a run is short, and most of it stays alive."""
    start = time.process_time()
    gc.disable()
    try:
        result, failure = Simulation(seed).run(), ""
    except Failed as error:
        result, failure = None, str(error)
    finally:
        gc.enable()
        gc.collect()
    return Outcome(seed, result, failure, time.process_time() - start)
