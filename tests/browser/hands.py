"""What a person does with the application's page."""

import io
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

from backend.desktop.bridge import Bridge

PAGES = ("files", "datasets", "train", "models", "try", "cluster", "records", "settings")
"""In the order of the menu."""


def visit(page: Page, name: str) -> None:
    page.evaluate("name => { location.hash = `#/${name}` }", name)
    expect(page.locator(f".page-{name.partition('/')[0]}")).to_be_visible()


def drop(page: Page, paths: list[Path], where: str = ".content") -> None:
    """A drop of real files, as trusted as one from the file manager."""
    box = page.locator(where).bounding_box()
    assert box is not None
    tools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "data": data}
    for kind in ("dragEnter", "dragOver", "drop"):
        tools.send("Input.dispatchDragEvent", {"type": kind, **place})


def drop_on_window(page: Page, bridge: Bridge, paths: list[Path]) -> None:
    """The same as Minka's own window does it: Python is told the paths, and the page gets their handles."""
    offers = [offer.row() for offer in bridge.handles.offer(paths)]
    page.evaluate("offers => dispatchEvent(new CustomEvent('minka-dropped', { detail: offers }))", offers)


def draw_seven(page: Page) -> None:
    box = page.locator("#pad").bounding_box()
    assert box is not None

    def at(x: float, y: float) -> tuple[float, float]:
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.28, 0.25))
    page.mouse.down()
    page.mouse.move(*at(0.70, 0.24), steps=5)
    page.mouse.move(*at(0.45, 0.82), steps=5)
    page.mouse.up()


def inked(picture: bytes) -> float:
    """The part of a drawing that is white; the rest is black."""
    drawn = Image.open(io.BytesIO(picture)).convert("L")
    assert drawn.size == (336, 336)
    return sum(drawn.histogram()[200:]) / (336 * 336)
