"""Files by id and by name."""

from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import Any

from shared.errors import Refused
from worker.registry.contents import Contents
from worker.registry.rows import FileRow, dump_files, load_files

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
        """A name that one file has, as most, is kept without a set, which would take 200 bytes."""
        self.contents = Contents()

    def add(self, row: FileRow) -> None:
        """A file whose id is above all others."""
        self.rows[row.id] = row
        self._order.append(row.id)
        self.contents.add(row)
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
        self.contents.remove(row)
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

    def dump(self) -> Iterator[list[Any]]:
        """All files as rows of `Registry.dump`."""
        return dump_files(self.rows.values())

    def load(self, kind: str, values: list[Any]) -> None:
        """Take in one such row; "file" was the kind of the first version, one file to a row."""
        for row in load_files(values) if kind == "files" else [FileRow(**values[0])]:
            self.add(row)

    def _ids(self, name: str) -> Collection[int]:
        named = self._named.get(name, ())
        return (named,) if isinstance(named, int) else named
