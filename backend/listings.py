"""What the cluster holds, row by row, page by page."""

from collections.abc import Iterator
from typing import Any

from backend.client import ClusterClient
from shared.messages import Files, Verify

VERIFY_ANSWER_S = 3_600.0
"""For one page: every worker reads all that it holds of it."""


def all_files(client: ClusterClient) -> Iterator[dict[str, Any]]:
    """The rows of all files, in order of id."""
    after, more = 0, True
    while more:
        answer = client.call(Files(after)).header
        yield from answer["files"]
        more = answer["more"] and bool(answer["files"])
        after = answer["files"][-1]["id"] if answer["files"] else after


def verified(client: ClusterClient) -> Iterator[dict[str, Any]]:
    """The rows of all files and models with the state of each copy, as every worker has just read them."""
    after, more = "", True
    while more:
        answer = client.call(Verify(after), answer_s=VERIFY_ANSWER_S).header
        yield from answer["files"]
        after = answer["after"]
        more = bool(after)
