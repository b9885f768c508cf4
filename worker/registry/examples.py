"""Data sets that grow one example at a time.

An example is never changed or removed, so that a data set's first n examples are the same for ever: a job learns from as
many as there were when it was created. The id of a data set is the log index of its first example.
"""

import bisect
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from shared import fields
from shared.errors import Refused
from shared.messages import NAME_CHARACTERS
from shared.value import value
from worker.registry.contents import Contents

EXAMPLES_LIMIT = 1_000_000
"""In one data set."""
DATASETS_LIMIT = 10_000
LABEL_CHARACTERS = 200
LABELS_TOLD = 1_000
"""In one answer: what fits a frame's header."""
DUMPED_ROWS = 500
FORBIDDEN = frozenset("/\\:")
"""In a label: an archive of images has one folder for each label."""


@value
class ExampleRow:
    """One image with its label; `id` is the log index of the command that added it."""

    id: int
    label: str
    size_bytes: int
    digest: str
    created_ms: int
    bytes_at: int = 0
    """As `FileRow.bytes_at`."""

    @property
    def carrier(self) -> int:
        """As `FileRow.carrier`."""
        return self.bytes_at or self.id

    def public(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "label": self.label,
            "bytes": self.size_bytes,
            "digest": self.digest,
            "created": self.created_ms / 1000,
        }


@value
class DataSetRow:
    """The first `examples` examples of a data set; `digest` covers their labels and bytes."""

    id: int
    name: str
    examples: int
    digest: str

    def public(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "examples": self.examples, "digest": self.digest}


@dataclass(slots=True)
class _DataSet:
    row: DataSetRow
    examples: list[ExampleRow] = field(default_factory=list)
    by_label: dict[str, list[ExampleRow]] = field(default_factory=dict)

    def add(self, example: ExampleRow) -> None:
        self.examples.append(example)
        self.by_label.setdefault(example.label, []).append(example)


class DataSets:
    """All data sets, by name and by id."""

    def __init__(self) -> None:
        self._by_name: dict[str, _DataSet] = {}
        self._by_id: dict[int, _DataSet] = {}
        self.contents = Contents()
        self._examples: dict[int, ExampleRow] = {}
        self._order: list[int] = []
        """The ids of all examples, sorted up to `_sorted`: a snapshot has them by data set."""
        self._sorted = 0

    def add(self, name: str, example: ExampleRow) -> DataSetRow:
        """Put an example into the data set of this name, which is made with its first one. Raises `Refused`."""
        if not 1 <= len(name) <= NAME_CHARACTERS or not name.strip():
            raise Refused(f"The name of a data set has 1 to {NAME_CHARACTERS} characters.")
        if not _is_label(example.label):
            raise Refused(
                f"{example.label[:LABEL_CHARACTERS]!r} is no label.",
                f"Give 1 to {LABEL_CHARACTERS} printable characters, without / \\ : and not with a dot first.",
            )
        known = self._by_name.get(name)
        if known is None:
            if len(self._by_name) >= DATASETS_LIMIT:
                raise Refused(f"There are {DATASETS_LIMIT} data sets already.")
            known = _DataSet(DataSetRow(example.id, name, 0, ""))
            self._by_name[name] = self._by_id[example.id] = known
        if len(known.examples) >= EXAMPLES_LIMIT:
            raise Refused(f"{name!r} has {EXAMPLES_LIMIT} examples already.", "Begin another data set.")
        self._keep(known, example)
        chained = f"{known.row.digest}{example.digest}{example.label}".encode()
        digest = hashlib.sha256(chained).hexdigest()
        known.row = DataSetRow(known.row.id, name, len(known.examples), digest)
        return known.row

    def _keep(self, known: _DataSet, example: ExampleRow) -> None:
        known.add(example)
        self.contents.add(example)
        self._examples[example.id] = example
        self._order.append(example.id)

    def example(self, id: int) -> ExampleRow | None:
        """The example that the entry `id` added."""
        return self._examples.get(id)

    def ids_after(self, after: int, limit: int) -> list[int]:
        """Up to `limit` ids of examples, in order, those above `after`."""
        if self._sorted < len(self._order):
            self._order.sort()
            self._sorted = len(self._order)
        start = bisect.bisect_right(self._order, after)
        return self._order[start : start + limit]

    def by_id(self, id: int) -> DataSetRow | None:
        """The data set of this id as it is now."""
        known = self._by_id.get(id)
        return None if known is None else known.row

    def find(self, wanted: str) -> dict[str, Any]:
        """The data set of this name, and how many examples each of its first labels has. Raises `Refused`."""
        known = self._find(wanted)
        labels = {label: len(rows) for label, rows in islice(known.by_label.items(), LABELS_TOLD)}
        return known.row.public() | {"classes": len(known.by_label), "labels": labels}

    def after(self, id: int, count: int) -> Iterator[dict[str, Any]]:
        """Up to `count` data sets whose ids are above `id`, in the order of their ids, for a list of them."""
        found = (known for known in self._by_id.values() if known.row.id > id)
        for known in islice(found, count):
            created = known.examples[0].created_ms / 1000
            yield known.row.public() | {"classes": len(known.by_label), "created": created}

    def newest(self, wanted: str, before: int | None, label: str | None, count: int) -> list[ExampleRow]:
        """Up to `count` examples, the newest first: those before example `before`, of one label. Raises `Refused`."""
        known = self._find(wanted)
        rows = known.examples if label is None else known.by_label.get(label, [])
        end = len(rows) if before is None else bisect.bisect_left(rows, before, key=lambda row: row.id)
        return rows[max(0, end - count) : end][::-1]

    def _find(self, wanted: str) -> _DataSet:
        known = self._by_name.get(wanted)
        if known is None:
            raise Refused(f"There is no data set {wanted!r}.", '"minka example add" begins one.')
        return known

    def first(self, row: DataSetRow) -> list[ExampleRow]:
        """The examples that `row` stands for."""
        return self._by_id[row.id].examples[: row.examples]

    def examples(self) -> Iterator[ExampleRow]:
        """Those of all data sets; what is added meanwhile may or may not be among them."""
        for known in list(self._by_name.values()):
            yield from known.examples

    def dump(self) -> Iterator[list[Any]]:
        """As rows of `Registry.dump`."""
        for known in self._by_name.values():
            yield ["dataset", fields.encode(known.row)]
            for start in range(0, len(known.examples), DUMPED_ROWS):
                rows = known.examples[start : start + DUMPED_ROWS]
                yield ["examples", known.row.id, [list(fields.encode(row).values()) for row in rows]]

    def load(self, kind: str, values: list[Any]) -> None:
        """The inverse, row by row."""
        if kind == "dataset":
            known = _DataSet(DataSetRow(**values[0]))
            self._by_name[known.row.name] = self._by_id[known.row.id] = known
            return
        for row in values[1]:
            example = ExampleRow(*row)
            self._keep(self._by_id[values[0]], example)


def _is_label(text: str) -> bool:
    return (
        1 <= len(text) <= LABEL_CHARACTERS
        and text.isprintable()
        and text == text.strip()
        and not text.startswith(".")
        and FORBIDDEN.isdisjoint(text)
    )
