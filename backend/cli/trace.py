"""trace: the last minutes of consensus, drawn."""

import argparse
from pathlib import Path

from backend.cli.console import Console, Outcome, counted, listing, printable
from backend.cli.options import Commands, add_command, connect, positive_number
from backend.trace.causality import merge
from backend.trace.collect import collect
from backend.trace.page import document, newest, write_page

LAST_S = 300.0


def add_commands(commands: Commands) -> None:
    """Add this command to the parser."""
    trace = add_command(commands, "trace", "draw the last minutes of consensus, step by step, in one page")
    trace.add_argument(
        "-o",
        "--output",
        metavar="F.html",
        type=Path,
        default=Path("minka-trace.html"),
        help="default: minka-trace.html",
    )
    trace.add_argument(
        "--last", metavar="S", type=positive_number, default=LAST_S, help=f"seconds (default: {LAST_S:g})"
    )
    trace.set_defaults(run=run_trace)


def run_trace(options: argparse.Namespace, console: Console) -> Outcome:
    """Works without a leader; a worker that does not answer is left out, and said."""
    with connect(options) as client:
        tapes, problems = collect(client, console.progress.update)
    for problem in problems:
        console.say(f"one worker is left out: {problem}")
    console.progress.update("putting the events in order")
    steps, clocks = merge(tapes)
    steps = newest(steps, options.last)
    write_page(options.output, document(steps, clocks))
    seconds = steps[-1].time_s - steps[0].time_s if steps else 0.0
    elected = sum(step.event.what == "role" and step.event.name == "leader" for step in steps)
    workers = [
        {"id": id, "events": len(tapes.get(id, ())), "offset_s": clock.offset_s, "doubt_s": clock.doubt_s}
        for id, clock in sorted(clocks.items())
    ]
    answer = {
        "path": str(options.output),
        "events": len(steps),
        "seconds": seconds,
        "elections": elected,
        "workers": workers,
    }
    text = listing(
        [
            ("page", printable(str(options.output))),
            ("events", f"{len(steps):,} of {counted(len(workers), 'worker')}, {seconds:.1f} s"),
            ("leaders elected", elected),
            *(
                (f"clock of {id}", f"{clock.offset_s * 1000:+.1f} ms, ± {clock.doubt_s * 1000:.1f} ms")
                for id, clock in sorted(clocks.items())[1:]
                if clock.doubt_s is not None
            ),
        ]
    )
    return Outcome(answer, text)
