"""The page that `minka load --report` writes: what was measured, drawn, in one file without any other."""

import html
from collections.abc import Sequence
from pathlib import Path

from backend.load import LoadPlan, LoadRun, Mark
from shared.errors import Refused

WIDTH, HEIGHT = 720, 180
BINS = 60

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#22252b, #e6e6e6); --bar: light-dark(#2f6f8f, #7fb8d4);
  --mark: light-dark(#a33b2a, #f0907f); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 760px; margin: 2rem auto; padding: 0 1rem; }
td { padding: 0.1rem 1.5rem 0.1rem 0; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } rect { fill: var(--bar); } text { fill: var(--ink); font-size: 11px; }
line { stroke: var(--mark); stroke-dasharray: 4 3; } text.mark { fill: var(--mark); }
"""


def write_report(target: Path, plan: LoadPlan, run: LoadRun) -> None:
    """Write the page. Raises `Refused` when the target cannot be written."""
    row = run.row()
    latency = row["latency_ms"]
    facts = [
        ("files acknowledged", f"{row['files']:,} of {plan.files:,}"),
        ("bytes", f"{row['bytes']:,}"),
        ("time", f"{row['seconds']:.2f} s with {plan.clients} clients at once"),
        ("files per second", f"{row['files_per_second']:,.1f}"),
        *((f"latency, {name}", f"{value:.1f} ms") for name, value in latency.items()),
        ("requests that failed", str(row["errors"])),
        ("acknowledged files lost", str(row["lost"])),
        ("files stored twice", str(row["duplicated"])),
        ("longest time without an acknowledgement", f"{row['longest_pause_s']:.2f} s"),
        ("changes of leader", str(row["leader_changes"])),
        ("equal digests on every worker", "yes" if row["digests_equal"] else "no"),
        ("seed", str(plan.seed)),
    ]
    table = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts
    )
    per_second = _histogram(
        [each.ended_s for each in run.stored], row["seconds"] or 1.0, "s after the start", 1, run.marks
    )
    latencies = _histogram(
        [each.latency_ms for each in run.stored], latency["p99"] or 1.0, "ms (up to p99)", 1
    )
    errors = "".join(f"<li>{html.escape(error)}</li>" for error in dict.fromkeys(run.errors))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Minka under load</title>'
        f"<style>{STYLE}</style><h1>Minka under load</h1><table>{table}</table>"
        f"<h2>Acknowledged files over time</h2>{per_second}<h2>Latency</h2>{latencies}"
        + (f"<h2>Failures</h2><ul>{errors}</ul>" if errors else "")
    )
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error


def _histogram(
    values: Sequence[float], top: float, unit: str, decimals: int, marks: Sequence[Mark] = ()
) -> str:
    """How many of `values` fall into each of `BINS` equal parts of 0 to `top`, as an SVG drawing, with `marks` over it."""
    counts = [0] * BINS
    for value in values:
        if value <= top:
            counts[min(BINS - 1, int(BINS * value / top))] += 1
    tallest = max([*counts, 1])
    width = WIDTH / BINS
    bars = "".join(
        f'<rect x="{position * width:.1f}" y="{HEIGHT - HEIGHT * count / tallest:.1f}" '
        f'width="{width - 1:.1f}" height="{HEIGHT * count / tallest:.1f}"><title>{count} files</title></rect>'
        for position, count in enumerate(counts)
    )
    scale = f'<text x="0" y="-4">{tallest} files in {top / BINS:.{decimals + 1}f} {unit.split()[0]}</text>'
    scale += "".join(
        f'<text x="{WIDTH * part:.0f}" y="{HEIGHT + 16}" text-anchor="{anchor}">{top * part:.{decimals}f}</text>'
        for part, anchor in ((0.0, "start"), (0.5, "middle"))
    )
    scale += f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{top:.{decimals}f} {unit}</text>'
    drawn = "".join(_mark(mark, top, row) for row, mark in enumerate(marks) if mark.at_s <= top)
    return f'<svg viewBox="0 -16 {WIDTH} {HEIGHT + 40}" role="img">{bars}{scale}{drawn}</svg>'


def _mark(mark: Mark, top: float, row: int) -> str:
    """A line at its moment; the words of neighbours stand below each other, on the side where there is space."""
    x = WIDTH * mark.at_s / top
    anchor, side = ("start", 4) if x < WIDTH / 2 else ("end", -4)
    return (
        f'<line x1="{x:.1f}" y1="0" x2="{x:.1f}" y2="{HEIGHT}"/>'
        f'<text class="mark" x="{x + side:.1f}" y="{12 + 13 * (row % 6)}" text-anchor="{anchor}">'
        f"{html.escape(mark.text)}, {mark.at_s:.2f} s</text>"
    )
