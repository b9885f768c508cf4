"""The page that `minka load --report` writes: what was measured, drawn, in one file without any other."""

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.load import LoadPlan, LoadRun, Mark, percentile
from shared.errors import Refused

WIDTH, HEIGHT = 720, 240
"""Of what is drawn, without its margins."""
LEFT, RIGHT, TOP, BOTTOM = 84, 24, 20, 64
BINS = 60
MARK_ROWS, ROW = 5, 26
"""The words of neighbours stand in so many rows, and each is so high."""
ASIDE = 0.65
"""Behind this part of a drawing, the words of a mark stand before its line."""

Tick = tuple[float, str]
"""Where along an axis, as a part of it, and what stands there."""

STYLE = """
:root { color-scheme: light dark; --paper: light-dark(#fbfaf7, #16181c); --ink: light-dark(#22252b, #e8e6e1);
  --soft: light-dark(#626973, #a0a6ae); --line: light-dark(#dcd9d1, #343840); --bar: light-dark(#2f6f8f, #7fb8d4);
  --mark: light-dark(#a33b2a, #f0907f); --good: light-dark(#2f7a4a, #82c99a); }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 860px;
  margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2.5rem 0 0.25rem; } p { color: var(--soft); margin: 0; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 0.75rem; margin: 1.75rem 0 0; }
dl div { border: 1px solid var(--line); border-radius: 10px; padding: 0.7rem 0.9rem; }
dt { color: var(--soft); font-size: 0.85rem; } dd { margin: 0; font-size: 1.45rem; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--mark); font-weight: 600; }
table { border-collapse: collapse; width: 100%; margin-top: 0.75rem; }
th, td { text-align: left; font-weight: normal; padding: 0.3rem 0; border-bottom: 1px solid var(--line); }
td { text-align: right; font-variant-numeric: tabular-nums; }
svg { width: 100%; height: auto; display: block; margin-top: 0.5rem; overflow: visible; }
rect { fill: var(--bar); } text { fill: var(--soft); font-size: 14px; }
.grid { stroke: var(--line); } .mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 5 4; }
text.said { fill: var(--mark); stroke: var(--paper); stroke-width: 4px; paint-order: stroke; }
@media (max-width: 600px) { body { margin: 1.25rem auto; } text { font-size: 24px; } .spare { display: none; } }
"""


def write_report(target: Path, plan: LoadPlan, run: LoadRun) -> None:
    """Write the page. Raises `Refused` when the target cannot be written."""
    row = run.row()
    errors = "".join(f"<li>{html.escape(error)}</li>" for error in dict.fromkeys(run.errors))
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Minka under load</title>'
        f"<style>{STYLE}</style><h1>Minka under load</h1>"
        f"<p>{row['files']:,} files of {plan.min_bytes:,} to {plan.max_bytes:,} bytes, "
        f"{plan.clients} clients at once</p>"
        f"{_tiles(row)}"
        f"<h2>Throughput</h2><p>Files acknowledged per second, over the time of the run</p>"
        f"{_throughput(run, row['seconds'])}"
        f"<h2>Latency</h2><p>How many files took how long, until they were acknowledged</p>{_latency(run)}"
        + (f"<h2>Failures</h2><ul>{errors}</ul>" if errors else "")
        + f"<h2>All figures</h2>{_table(plan, row)}"
    )
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error


# --- figures


def _tiles(row: dict[str, Any]) -> str:
    whole = row["lost"] == row["duplicated"] == 0 and row["digests_equal"]
    tiles = [
        ("files per second", f"{row['files_per_second']:,.0f}", ""),
        ("half took at most", f"{row['latency_ms']['p50']:.1f} ms", ""),
        ("99 of 100 took at most", f"{row['latency_ms']['p99']:.1f} ms", ""),
        ("requests that failed", f"{row['errors']:,}", "bad" if row["errors"] else ""),
        ("files on every worker", "all equal" if whole else "not equal", "good" if whole else "bad"),
    ]
    shown = [f'<div><dt>{name}</dt><dd class="{kind}">{value}</dd></div>' for name, value, kind in tiles]
    return f"<dl>{''.join(shown)}</dl>"


def _table(plan: LoadPlan, row: dict[str, Any]) -> str:
    facts = [
        ("files acknowledged", f"{row['files']:,} of {plan.files:,}"),
        ("bytes", f"{row['bytes']:,}"),
        ("time", f"{row['seconds']:.2f} s"),
        ("files per second", f"{row['files_per_second']:,.1f}"),
        *((f"latency, {name}", f"{value:.1f} ms") for name, value in row["latency_ms"].items()),
        ("requests that failed", str(row["errors"])),
        ("acknowledged files lost", str(row["lost"])),
        ("files stored twice", str(row["duplicated"])),
        ("longest time without an acknowledgement", f"{row['longest_pause_s']:.2f} s"),
        ("changes of leader", str(row["leader_changes"])),
        ("equal digests on every worker", "yes" if row["digests_equal"] else "no"),
        ("seed", str(plan.seed)),
    ]
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in facts
    )
    return f"<table>{rows}</table>"


# --- drawings


def _throughput(run: LoadRun, seconds: float) -> str:
    top_s = seconds or 1.0
    counts = _counts([each.ended_s / top_s for each in run.stored])
    rates = [count * BINS / top_s for count in counts]
    step = _round_step(top_s, 6)
    ticks = [(at * step / top_s, f"{at * step:g}") for at in range(int(top_s / step) + 1)]
    marks = [(mark.at_s / top_s, _said(mark)) for mark in run.marks if mark.at_s <= top_s]
    return _chart("Files acknowledged per second", rates, "files/s", ticks, "seconds after the start", marks)


def _latency(run: LoadRun) -> str:
    """Over a logarithmic axis, so that the few that took long are seen beside the many that did not."""
    took_ms = sorted(max(each.latency_ms, 0.01) for each in run.stored) or [1.0]
    low = 10 ** math.floor(math.log10(took_ms[0]))
    span = math.ceil(math.log10(took_ms[-1] / low) + 1e-9) or 1

    def part(value_ms: float) -> float:
        return math.log10(value_ms / low) / span

    values = [low * 10**power * factor for power in range(span) for factor in (1, 2, 5)] + [low * 10**span]
    ticks = [(part(value), f"{value:g}") for value in values]
    marks = [
        (part(percentile(took_ms, share)), f"{name} {percentile(took_ms, share):.1f} ms")
        for name, share in (("half", 0.5), ("90 %", 0.9), ("99 %", 0.99))
    ]
    counts = _counts([part(value) for value in took_ms])
    return _chart("Latency of files", counts, "files", ticks, "milliseconds, logarithmic", marks)


def _said(mark: Mark) -> str:
    return f"{mark.text}, {mark.at_s:.2f} s"


def _counts(parts: Sequence[float]) -> list[int]:
    """How many of `parts`, from 0 to 1, fall into each of `BINS` equal ones."""
    counts = [0] * BINS
    for part in parts:
        counts[min(BINS - 1, int(BINS * part))] += 1
    return counts


def _round_step(top: float, at_most: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides 0 to `top` into at most so many."""
    power: float = 10 ** math.floor(math.log10(top / at_most))
    return next(power * factor for factor in (1, 2, 5, 10) if top / (power * factor) <= at_most)


def _chart(
    title: str,
    values: Sequence[float],
    unit: str,
    ticks: Sequence[Tick],
    along: str,
    marks: Sequence[Tick],
) -> str:
    """Bars over an axis, with lines at `marks`."""
    step = _round_step(max([*values, 1]), 4)
    top = step * math.ceil(max([*values, 1]) / step)
    width = WIDTH / len(values)
    grid = "".join(
        f'<line class="grid" x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="-10" y="{y + 5:.1f}" text-anchor="end">{at * step:,.0f}</text>'
        for at in range(round(top / step) + 1)
        for y in [HEIGHT * (1 - at * step / top)]
    )
    bars = "".join(
        f'<rect x="{position * width + 0.5:.1f}" y="{HEIGHT * (1 - value / top):.1f}" width="{width - 1:.1f}" '
        f'height="{HEIGHT * value / top:.1f}" rx="1"><title>{value:,.0f} {unit}</title></rect>'
        for position, value in enumerate(values)
        if value
    )
    scale = "".join(
        f'<text x="{WIDTH * part:.1f}" y="{HEIGHT + 24}" text-anchor="middle"{_spare(at)}>{name}</text>'
        for at, (part, name) in enumerate(ticks)
    )
    scale += f'<text x="{WIDTH}" y="{HEIGHT + 52}" text-anchor="end">{along}</text>'
    scale += f'<text x="{-LEFT}" y="-24">{unit}</text>'
    rows = min(len(marks), MARK_ROWS)
    head = TOP + rows * ROW
    lines = "".join(_mark(part, text, at % MARK_ROWS - rows) for at, (part, text) in enumerate(marks))
    box = f"{-LEFT} {-head} {LEFT + WIDTH + RIGHT} {head + HEIGHT + BOTTOM}"
    return f'<svg viewBox="{box}" role="img" aria-label="{title}">{grid}{bars}{scale}{lines}</svg>'


def _spare(at: int) -> str:
    """Every other label may be left out where there is little room."""
    return ' class="spare"' if at % 2 else ""


def _mark(part: float, text: str, row: int) -> str:
    """A line at its place, and its words above all bars, on the side where there is space; `row` counts up to -1."""
    x, y = WIDTH * part, ROW * (row + 1) - 12
    anchor, side = ("start", 6) if part < ASIDE else ("end", -6)
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 12}" y2="{HEIGHT}"/>'
        f'<text class="said" x="{x + side:.1f}" y="{y}" text-anchor="{anchor}">'
        f"{html.escape(text)}</text>"
    )
