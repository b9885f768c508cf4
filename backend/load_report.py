"""The page that `minka load --report` writes: what was measured, drawn, in one file without any other."""

import html
from collections.abc import Sequence
from pathlib import Path

from backend.load import LoadPlan, LoadRun
from shared.errors import Refused

WIDTH, HEIGHT = 720, 180
BINS = 60

STYLE = """
:root { color-scheme: light dark; --ink: light-dark(#22252b, #e6e6e6); --bar: light-dark(#2f6f8f, #7fb8d4); }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 760px; margin: 2rem auto; padding: 0 1rem; }
td { padding: 0.1rem 1.5rem 0.1rem 0; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; } rect { fill: var(--bar); } text { fill: var(--ink); font-size: 11px; }
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
        ("changes of leader", str(row["leader_changes"])),
        ("equal digests on every worker", "yes" if row["digests_equal"] else "no"),
        ("seed", str(plan.seed)),
    ]
    table = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>" for name, value in facts
    )
    per_second = _histogram([each.ended_s for each in run.stored], row["seconds"], "s after the start", 0)
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


def _histogram(values: Sequence[float], top: float, unit: str, decimals: int) -> str:
    """How many of `values` fall into each of `BINS` equal parts of 0 to `top`, as an SVG drawing."""
    counts = [0] * BINS
    for value in values:
        if value <= top:
            counts[min(BINS - 1, int(BINS * value / top))] += 1
    tallest = max([*counts, 1])
    width = WIDTH / BINS
    bars = "".join(
        f'<rect x="{position * width:.1f}" y="{HEIGHT - HEIGHT * count / tallest:.1f}" '
        f'width="{width - 1:.1f}" height="{HEIGHT * count / tallest:.1f}"/>'
        for position, count in enumerate(counts)
    )
    marks = "".join(
        f'<text x="{WIDTH * part:.0f}" y="{HEIGHT + 16}" text-anchor="{anchor}">{top * part:.{decimals}f}</text>'
        for part, anchor in ((0.0, "start"), (0.5, "middle"))
    )
    marks += f'<text x="{WIDTH}" y="{HEIGHT + 16}" text-anchor="end">{top:.{decimals}f} {unit}</text>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT + 24}" role="img">{bars}{marks}</svg>'
