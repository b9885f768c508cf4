"""Draws boxes and arrows as SVG from a small text: `python docs/drawings/boxes.py` renews every .box drawing beside it.

A .box file has one thing a line; positions and sizes are in cells of 10 by 10 pixels, from the top left corner:

    canvas WIDTH HEIGHT
    frame  NAME X Y WIDTH HEIGHT "title"                    a place that holds boxes: a computer, a process
    box    NAME X Y WIDTH HEIGHT KIND "title" "line" ...    KIND is one of KINDS below
    arrow  FROM -> TO "label"                               also `<->`; straight where the two face each other
    note   X Y "text"

Empty lines and lines that start with # say nothing.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

CELL = 10
LINE_HEIGHT = 17
LETTER_WIDTH = 6.3
KINDS = ("plain", "consensus", "compute", "page", "disk")
STYLE = """
  svg { background: #fff; font: 12.5px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
  text { fill: #1c2430; text-anchor: middle; }
  .title { font-weight: 600; font-size: 13.5px; }
  .frame { fill: #f4f6f9; stroke: #b9c2cf; }
  .frame-title { text-anchor: start; font-weight: 600; fill: #55617a; }
  .box { stroke-width: 1.5; }
  .plain { fill: #fff; stroke: #66728a; }
  .consensus { fill: #e6f0ff; stroke: #2f6fd0; }
  .compute { fill: #e8f7ec; stroke: #2b8a4b; }
  .page { fill: #fff3df; stroke: #c07a12; }
  .disk { fill: #f3eafa; stroke: #7d4bab; }
  .arrow { fill: none; stroke: #3d4a61; stroke-width: 1.5; }
  .head { fill: #3d4a61; }
  .label { font-size: 11.5px; fill: #3d4a61; }
  .ground { fill: #f4f6f9; opacity: 0.92; }
  .note { font-size: 12px; fill: #55617a; text-anchor: start; }
""".strip("\n")


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A frame or a box; all in cells."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height


Point = tuple[float, float]


def render(text: str) -> str:
    """The SVG document of a .box text. Raises `ValueError` with the number of the line that it cannot read."""
    places: dict[str, Rectangle] = {}
    size = Rectangle(0, 0, 80, 40)
    frames: list[str] = []
    boxes: list[str] = []
    arrows: list[str] = []
    for number, words in _lines(text):
        try:
            match words:
                case ["canvas", width, height]:
                    size = Rectangle(0, 0, float(width), float(height))
                case ["frame", name, x, y, width, height, title]:
                    places[name] = Rectangle(float(x), float(y), float(width), float(height))
                    frames.extend(_frame(places[name], title))
                case ["box", name, x, y, width, height, kind, *lines] if kind in KINDS and lines:
                    places[name] = Rectangle(float(x), float(y), float(width), float(height))
                    boxes.extend(_box(places[name], kind, lines))
                case ["arrow", start, "->" | "<->" as ends, end, label]:
                    arrows.extend(_arrow(places[start], places[end], label, both=ends == "<->"))
                case ["note", x, y, words_of_it]:
                    boxes.append(_text(float(x), float(y), words_of_it, "note"))
                case _:
                    raise ValueError("no such thing")
        except (ValueError, KeyError) as error:
            raise ValueError(f"line {number}: {' '.join(words)}: {error}") from error
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_px(size.width)} {_px(size.height)}"'
            f' width="{_px(size.width)}" height="{_px(size.height)}">',
            f"<style>\n{STYLE}\n</style>",
            f'<rect width="{_px(size.width)}" height="{_px(size.height)}" fill="#fff"/>',
            *frames,
            *boxes,
            *arrows,
            "</svg>\n",
        ]
    )


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, shlex.split(line)


def _frame(place: Rectangle, title: str) -> list[str]:
    return [_rectangle(place, "frame", 8), _text(place.x + 1.2, place.y + 2, title, "frame-title")]


def _box(place: Rectangle, kind: str, lines: list[str]) -> list[str]:
    middle = place.x + place.width / 2
    step = LINE_HEIGHT / CELL
    top = place.y + place.height / 2 - step * (len(lines) - 1) / 2 + 0.45
    texts = [_text(middle, top + step * row, line, "" if row else "title") for row, line in enumerate(lines)]
    return [_rectangle(place, f"box {kind}", 5), *texts]


def _arrow(start: Rectangle, end: Rectangle, label: str, *, both: bool) -> list[str]:
    points = _route(start, end)
    drawn = [f'<polyline class="arrow" points="{" ".join(f"{_px(x)},{_px(y)}" for x, y in points)}"/>']
    drawn.append(_head(points[-2], points[-1]))
    if both:
        drawn.append(_head(points[1], points[0]))
    if label:
        drawn.extend(_label(points, label))
    return drawn


def _route(start: Rectangle, end: Rectangle) -> list[Point]:
    """From edge to edge: straight through the middle of what the two share, else around one corner."""
    left, right = max(start.x, end.x), min(start.right, end.right)
    top, bottom = max(start.y, end.y), min(start.bottom, end.bottom)
    if left < right:
        x = (left + right) / 2
        return [(x, start.bottom), (x, end.y)] if start.bottom <= end.y else [(x, start.y), (x, end.bottom)]
    if top < bottom:
        y = (top + bottom) / 2
        return [(start.right, y), (end.x, y)] if start.right <= end.x else [(start.x, y), (end.right, y)]
    x = end.x + end.width / 2
    y = start.y + start.height / 2
    return [
        (start.right if start.right <= x else start.x, y),
        (x, y),
        (x, end.y if y <= end.y else end.bottom),
    ]


def _head(before: Point, tip: Point) -> str:
    """A triangle at `tip`, pointing away from `before`; arrows run along the axes."""
    along_x = (tip[0] > before[0]) - (tip[0] < before[0])
    along_y = (tip[1] > before[1]) - (tip[1] < before[1])
    back, side = 0.9, 0.4
    corners = [
        tip,
        (tip[0] - back * along_x + side * along_y, tip[1] - back * along_y + side * along_x),
        (tip[0] - back * along_x - side * along_y, tip[1] - back * along_y - side * along_x),
    ]
    return f'<polygon class="head" points="{" ".join(f"{_px(x)},{_px(y)}" for x, y in corners)}"/>'


def _label(points: list[Point], label: str) -> list[str]:
    """The lines of `label` (parted by |) over the middle of the longest stretch."""
    lines = label.split("|")
    stretches = pairwise(points)
    (x1, y1), (x2, y2) = max(
        stretches, key=lambda ends: abs(ends[0][0] - ends[1][0]) + abs(ends[0][1] - ends[1][1])
    )
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    width = max(map(len, lines)) * LETTER_WIDTH / CELL + 0.6
    height = len(lines) * 1.5 + 0.3
    drawn = [_rectangle(Rectangle(x - width / 2, y - height / 2, width, height), "ground", 2)]
    for row, line in enumerate(lines):
        drawn.append(_text(x, y - height / 2 + 1.25 + 1.5 * row, line, "label"))
    return drawn


def _rectangle(place: Rectangle, kind: str, radius: int) -> str:
    return (
        f'<rect class="{kind}" x="{_px(place.x)}" y="{_px(place.y)}" width="{_px(place.width)}"'
        f' height="{_px(place.height)}" rx="{radius}"/>'
    )


def _text(x: float, y: float, words: str, kind: str) -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{_px(x)}" y="{_px(y)}">{escape(words)}</text>'


def _px(cells: float) -> str:
    """Pixels, written the same way on every machine."""
    return f"{cells * CELL:.1f}".removesuffix(".0")


def main() -> None:
    """Renew the SVG beside every .box file of this folder."""
    for path in sorted(Path(__file__).resolve().parent.glob("*.box")):
        path.with_suffix(".svg").write_text(
            render(path.read_text(encoding="utf-8")), encoding="utf-8", newline="\n"
        )


if __name__ == "__main__":
    main()
