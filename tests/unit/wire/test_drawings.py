"""The drawings of the protocol are what their texts say."""

import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

FOLDER = Path(__file__).parents[3] / "docs" / "drawings"
SOURCES = sorted(FOLDER.glob("*.seq"))


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(FOLDER / "draw.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.stem)
def test_each_drawing_is_what_its_text_says(script: dict[str, Any], source: Path) -> None:
    drawing = script["draw"](script["read"](source.read_text(encoding="utf-8")))
    assert source.with_suffix(".svg").read_text(encoding="utf-8") == drawing
    assert ElementTree.fromstring(drawing).tag.endswith("svg")


@pytest.mark.parametrize("line", ["a -> b hello", "note b hello", "lane a", "a -> a hello", "anything"])
def test_a_line_that_cannot_be_drawn_is_named(script: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        script["read"](f"lane a The first\n{line}\n")
