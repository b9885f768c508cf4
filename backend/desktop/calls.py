"""One request of the page, and who answers it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.errors import Refused

MAX_FILE_BYTES = 1 << 40
NUMBER, NAME = r"(\d{1,15})", r"([\w.:\-]{1,128})"
"""Groups of a path."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the page: the groups of its path, its query, its body."""

    groups: tuple[str, ...]
    query: dict[str, str]
    body: bytes

    def fields(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `Refused`."""
        try:
            value = json.loads(self.body)
        except ValueError as error:
            raise Refused("The body is not JSON.") from error
        if not isinstance(value, dict):
            raise Refused("The body is not a JSON object.")
        return value

    def number(self, name: str, most: int = MAX_FILE_BYTES) -> int:
        """A whole number of the query. Raises `Refused`."""
        text = self.query.get(name, "")
        if not (text.isascii() and text.isdigit()) or len(text) > 15 or int(text) > most:
            raise Refused(f"{name!r} must be a whole number up to {most}.")
        return int(text)


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a method at a path; `waits` is for what asks the cluster, the disk or the person."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Call], Any]
    waits: bool


def route(method: str, path: str, answer: Callable[[Call], Any], *, waits: bool = True) -> Route:
    """A route; `path` is a regular expression."""
    return Route(method, re.compile(path), answer, waits)
