"""Which contents some row names, and where the bytes of small ones are: which entry of the log brought each.

A command need not bring what a row names already (`PutFile.held`). Its own row then points to the entry that did. As long as
a row names a content, every worker has it: in that entry, or in a pack, for a snapshot moves there whatever is named.
"""

from typing import Protocol

from shared.messages import INLINE_BYTES


class Named(Protocol):
    """A file or an example."""

    @property
    def id(self) -> int: ...
    @property
    def digest(self) -> str: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def carrier(self) -> int: ...


class Contents:
    """The contents that rows of one kind name, by digest. The rows come in order of their ids."""

    def __init__(self) -> None:
        self._rows: dict[str, Named | dict[int, Named]] = {}
        """One row, as most have, is kept without a collection."""

    def add(self, row: Named) -> None:
        """A row that is above all others."""
        known = self._rows.setdefault(row.digest, row)
        if isinstance(known, dict):
            known[row.id] = row
        elif known is not row:
            self._rows[row.digest] = {known.id: known, row.id: row}

    def remove(self, row: Named) -> None:
        """A row that was added is gone."""
        known = self._rows[row.digest]
        if isinstance(known, dict) and len(known) > 1:
            del known[row.id]
        else:
            del self._rows[row.digest]

    def __contains__(self, digest: str) -> bool:
        return digest in self._rows

    def carrier(self, digest: str) -> int | None:
        """The entry that brought this content, by the first row that names it; None if no row does, or it is not small."""
        known = self._rows.get(digest)
        if isinstance(known, dict):
            known = next(iter(known.values()))
        return None if known is None or known.size_bytes > INLINE_BYTES else known.carrier
