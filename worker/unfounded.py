"""Entries of the log that name blobs which this worker has not got: it holds them, but may not say so yet (DESIGN 5)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from worker.raft.entries import Entry, EntryKind
from worker.registry import commands
from worker.registry.commands import Blob

if TYPE_CHECKING:
    from worker.driver import Log

_SCAN_BYTES = 4 * 1024 * 1024
NOTHING_RELEASED: Mapping[str, int] = MappingProxyType({})


@dataclass(slots=True)
class Unfounded:
    """An entry of the log that names blobs which this worker has not got: neither it nor a later one is acknowledged."""

    index: int
    lacks: set[str]


def first_unfounded(
    log: "Log",
    missing: Callable[[tuple[Blob, ...]], set[str]],
    after: int = 0,
    released: Mapping[str, int] = NOTHING_RELEASED,
) -> tuple[int, list[Unfounded]]:
    """The last index before the first entry that names a blob which is not here, and all such entries behind `after`.

    An entry reaches the log before its blob arrives, so a worker that stopped in between must not count as holding it. A
    blob that was `released` is not needed for the entries up to that one: they are committed, and it was removed since.
    """
    unfounded: list[Unfounded] = []
    index = max(log.first_index(), after + 1)
    while index <= log.last_index():
        for entry in log.entries(index, log.last_index() + 1, _SCAN_BYTES):
            if lacks := lacking(entry, missing, released):
                unfounded.append(Unfounded(entry.index, lacks))
            index = entry.index + 1
    return unfounded[0].index - 1 if unfounded else log.last_index(), unfounded


def lacking(
    entry: Entry,
    missing: Callable[[tuple[Blob, ...]], set[str]],
    released: Mapping[str, int] = NOTHING_RELEASED,
) -> set[str]:
    """The digests of the blobs that this entry needs and that are not here."""
    named = commands.named_blobs(entry.data) if entry.kind is EntryKind.COMMAND else ()
    named = tuple(blob for blob in named if released.get(blob.digest, 0) < entry.index)
    return missing(named) if named else set()
