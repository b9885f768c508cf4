"""Pages of rows: a long list is answered in pieces, each of which fits a frame."""

import json
from collections.abc import Iterable
from typing import Any

from shared.messages import PAGE_ROWS

PAGE_BYTES = 768 * 1024
"""Of the rows of one answer as JSON: well below what a frame's header holds."""


def page_of(rows: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """The first rows that make a page, at least one if there is one; and whether there are others."""
    page: list[dict[str, Any]] = []
    size_bytes = 0
    for row in rows:
        size_bytes += len(json.dumps(row, ensure_ascii=False).encode())
        if page and (len(page) == PAGE_ROWS or size_bytes > PAGE_BYTES):
            return page, True
        page.append(row)
    return page, False
