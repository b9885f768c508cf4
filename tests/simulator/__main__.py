"""``python -m tests.simulator --seeds N [--first S] [--jobs J]`` or ``--seed S``: simulate, and say how it went.

Exit code 0: every promise held; 1: one did not, and its seed and last events were printed.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import get_context

from tests.simulator.runs import Outcome, attempt


def main(arguments: list[str]) -> int:
    """Run the seeds, in as many processes as asked for; one line each with --verbose."""
    parser = argparse.ArgumentParser(prog="simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="how many runs")
    parser.add_argument("--first", type=int, default=0, metavar="S", help="the first one's seed")
    parser.add_argument("--seed", type=int, metavar="S", help="this seed alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J", help="processes")
    parser.add_argument("--verbose", action="store_true", help="a line for each seed")
    options = parser.parse_args(arguments)
    if options.seeds < 1 or options.jobs < 1:
        parser.error("--seeds and --jobs are at least 1")
    seeds = range(options.first, options.first + options.seeds) if options.seed is None else [options.seed]
    return _report(_outcomes(seeds, min(options.jobs, len(seeds))), len(seeds), options.verbose)


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(attempt, seeds)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(attempt, seeds)


def _report(outcomes: Iterator[Outcome], count: int, verbose: bool) -> int:
    start, failed, results = time.monotonic(), 0, []
    processor_s = 0.0
    for number, outcome in enumerate(outcomes, start=1):
        processor_s += outcome.processor_s
        result = outcome.result
        if result is None:
            failed += 1
            print(outcome.failure, flush=True)
            continue
        results.append(result)
        if verbose or count == 1:
            print(f"{result}", flush=True)
        elif number % 100 == 0:
            print(f"{number} of {count} seeds, {failed} failed", flush=True)
    simulated_s = sum(result.simulated_s for result in results)
    print(
        f"{count - failed} of {count} seeds held in {time.monotonic() - start:.0f} s: {simulated_s:.0f} s simulated, "
        f"{simulated_s / max(processor_s, 1e-9):.0f} times real time on one core, "
        f"{sum(r.commands for r in results)} commands, {sum(r.operations for r in results)} operations checked, "
        f"{sum(r.faults for r in results)} faults"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
