"""Files by id and by name, and where the bytes of small ones are.

There are many: what most have one of is kept without a collection, which would take 200 bytes for each.
"""

from bisect import bisect_right
from collections.abc import Collection

from shared.errors import Refused
from worker.registry.rows import FileRow

ID_DIGITS = 19


def file_number(text: str) -> int | None:
    """The file id that this text writes in digits, if it does."""
    return int(text) if len(text) <= ID_DIGITS and text.isascii() and text.isdigit() else None


class FileTable:
    """All files: `rows` by id, which rises with the log."""

    def __init__(self) -> None:
        self.rows: dict[int, FileRow] = {}
        self._order: list[int] = []
        self._named: dict[str, int | set[int]] = {}

    def add(self, row: FileRow) -> None:
        """A file whose id is above all others."""
        self.rows[row.id] = row
        self._order.append(row.id)
        named = self._named.setdefault(row.name, row.id)
        if isinstance(named, set):
            named.add(row.id)
        elif named != row.id:
            self._named[row.name] = {named, row.id}

    def remove(self, id: int) -> FileRow:
        """Raises `Refused` if there is none of this id."""
        row = self.rows.pop(id, None)
        if row is None:
            raise Refused(f"There is no file {id}.", "`minka ls` lists them.")
        del self._order[bisect_right(self._order, id) - 1]
        named = self._named[row.name]
        if isinstance(named, set) and len(named) > 1:
            named.remove(id)
        else:
            del self._named[row.name]
        return row

    def find(self, wanted: str) -> FileRow:
        """The file with this id, or the only one with this name; `Refused` tells which of the two fails."""
        number = file_number(wanted)
        if number in self.rows:
            return self.rows[number]
        named = self._ids(wanted)
        if len(named) == 1:
            return self.rows[next(iter(named))]
        if named:
            raise Refused(
                f"{len(named)} files are named {wanted!r}.",
                f"Give one of their ids: {', '.join(map(str, sorted(named)[:10]))}.",
            )
        raise Refused(f"There is no file {wanted!r}.", "`minka ls` lists them.")

    def after(self, after: int, limit: int) -> list[FileRow]:
        """Up to `limit` files by id, those above `after`."""
        start = bisect_right(self._order, after)
        return [self.rows[id] for id in self._order[start : start + limit]]

    def _ids(self, name: str) -> Collection[int]:
        named = self._named.get(name, ())
        return (named,) if isinstance(named, int) else named


class Contents:
    """Small contents that some row names, by digest: the entry of the log that carries, or carried, each one's bytes.

    It is the first that did since some row has named them without a gap. So whatever snapshot was made meanwhile has them in
    a pack, if the log no longer has that entry.
    """

    def __init__(self) -> None:
        self._carriers: dict[str, int] = {}
        self._others: dict[str, int] = {}
        """How many rows name it beside the first."""

    def add(self, digest: str, carrier: int) -> None:
        """Another row names it."""
        if digest in self._carriers:
            self._others[digest] = self._others.get(digest, 0) + 1
        else:
            self._carriers[digest] = carrier

    def remove(self, digest: str) -> None:
        """One of the rows is gone."""
        others = self._others.pop(digest, 0)
        if others > 1:
            self._others[digest] = others - 1
        elif not others:
            del self._carriers[digest]

    def carrier(self, digest: str) -> int | None:
        """The index of that entry, if any row names this content."""
        return self._carriers.get(digest)
