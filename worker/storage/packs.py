"""Packs: the bytes of many small files in one blob, once the log no longer holds them.

A pack is an ordinary blob, the files' bytes one after the other, and nothing else; the snapshot says what lies where::

    ["pack", number, digest, bytes]
    ["smalls", digests of files, the numbers of their packs, offsets, bytes]      a list each, of equal length

A pack is written again, without what has gone, when less than half of it is live, or when it is no larger than what is to be
packed now, so that there are never many.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

DUMPED_PLACES = 500
"""In one row of a snapshot."""
MERGED_BYTES = 64 * 1_048_576
"""A pack above this is written again only when less than half of it is live."""


class Place(NamedTuple):
    """Where a small file's bytes are."""

    pack: str
    offset: int
    size_bytes: int


class Packs:
    """Which packs there are (`sizes`, by digest), and where in them each small file is."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.places: dict[str, Place] = {}
        self._numbers: dict[int, str] = {}

    def dump(self) -> Iterator[list[Any]]:
        """As rows of a snapshot."""
        numbers = {digest: number for number, digest in enumerate(self.sizes)}
        for digest, number in numbers.items():
            yield ["pack", number, digest, self.sizes[digest]]
        left = iter(self.places.items())
        while some := list(islice(left, DUMPED_PLACES)):
            table = [(digest, numbers[at.pack], at.offset, at.size_bytes) for digest, at in some]
            yield ["smalls", *map(list, zip(*table, strict=True))]

    def load(self, rows: Iterable[list[Any]]) -> list[list[Any]]:
        """Take in those of `rows` that are of `dump`; returns the others."""
        others: list[list[Any]] = []
        for row in rows:
            if row[0] == "pack":
                _, number, digest, size_bytes = row
                self._numbers[number] = digest
                self.sizes[digest] = size_bytes
            elif row[0] == "smalls":
                for digest, number, offset, size_bytes in zip(*row[1:], strict=True):
                    self.places[digest] = Place(self._numbers[number], offset, size_bytes)
            elif row[0] == "small":  # as the first snapshots had them
                _, digest, number, offset, size_bytes = row
                self.places[digest] = Place(self._numbers[number], offset, size_bytes)
            else:
                others.append(row)
        return others

    def rewritten(self, live: Collection[str], fresh_bytes: int) -> "Packs":
        """What stays where it is, when only `live` files count and so many bytes of new ones are to be packed."""
        used = Counter[str]()
        for digest, place in self.places.items():
            if digest in live:
                used[place.pack] += place.size_bytes
        kept = Packs()
        for digest, size_bytes in self.sizes.items():
            small = size_bytes <= min(fresh_bytes, MERGED_BYTES)
            if used[digest] * 2 >= size_bytes and used[digest] and not small:
                kept.sizes[digest] = size_bytes
        kept.places = {
            digest: place
            for digest, place in self.places.items()
            if digest in live and place.pack in kept.sizes
        }
        return kept

    def add(self, pack: str, size_bytes: int, laid: Mapping[str, tuple[int, int]]) -> None:
        """A new pack, which holds at (offset, bytes) what `laid` says."""
        self.sizes[pack] = size_bytes
        for digest, (offset, length) in laid.items():
            self.places[digest] = Place(pack, offset, length)
