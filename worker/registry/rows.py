"""What the registry holds, as rows; their public form is what CONTRACT.md shows to clients and monitors."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from shared.value import value
from worker.registry.commands import Blob, Checkpoint
from worker.registry.examples import DataSetRow

DUMPED_ROWS = 500
"""Files, or rounds of a model's history, in one row of a dump."""

UNFINISHED = ("queued", "training")
HISTORY_ROWS = 2_000
"""Rounds of one model that are remembered one by one."""
KEPT_STATES = 4
"""Checkpoints of one model that stay, the more the nearer to the end."""


def thinned(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `HISTORY_ROWS` of these rows, as evenly spread as can be; the last stays."""
    step = -(-len(history) // HISTORY_ROWS)
    return history[::-step][::-1] if step > 1 else history


@value
class FileRow:
    id: int
    """The log index of the command that named it."""
    name: str
    size_bytes: int
    digest: str
    created_ms: int
    bytes_at: int = 0
    """The log index of the command that brought its bytes, if another one did: 0 for its own."""

    @property
    def carrier(self) -> int:
        """The log index of the entry whose body is its bytes, if they are few."""
        return self.bytes_at or self.id

    @property
    def text(self) -> str:
        """All of it, for the state digest: quicker to write than JSON."""
        return f"file {self.id} {self.size_bytes} {self.digest} {self.created_ms} {self.name}"

    def public(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "bytes": self.size_bytes,
            "digest": self.digest,
            "index": self.id,
            "created": self.created_ms / 1000,
        }


def dump_files(files: Iterable[FileRow]) -> Iterator[list[Any]]:
    """Files as rows of `Registry.dump`, in columns: they come by the hundred thousand, and a start waits for them."""
    left = iter(files)
    while rows := list(itertools.islice(left, DUMPED_ROWS)):
        table = [(row.id, row.name, row.size_bytes, row.digest, row.created_ms, row.bytes_at) for row in rows]
        yield ["files", *map(list, zip(*table, strict=True))]


def load_files(columns: list[Any]) -> Iterator[FileRow]:
    """The inverse, for one such row."""
    return itertools.starmap(FileRow, zip(*columns, strict=True))


@value
class KeptState:
    """A checkpoint that stays when others have followed, so that the way from it to the next can be computed again."""

    round: int
    state: Blob
    chain: str
    """The link of this round in the job's hash chain."""


@dataclass(slots=True)
class ModelRow:
    """A model from the moment its job is in the log; it changes only by commands.

    ``status``: queued (its files are to be decoded), training, done, failed, cancelled.
    """

    id: str
    index: int
    name: str
    spec: dict[str, Any]
    sources: dict[str, FileRow | DataSetRow]
    """The files it learns from, as they were named when the job was created: they may be removed meanwhile."""
    created_ms: int
    status: str = "queued"
    version: int = 0
    """Rises with every change: what `ShowModel.seen` is compared with."""
    dataset: Blob | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    rounds: int = 0
    round: int = 0
    state: Blob | None = None
    """The last checkpoint: the training state after `round` rounds."""
    kept: list[KeptState] = field(default_factory=list)
    """Some of the checkpoints, by round; the newest is the last. At most `KEPT_STATES`."""
    weights: Blob | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    images_per_second: float = 0.0
    test_accuracy: float | None = None
    lineage: dict[str, Any] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    """That point to it now, each with its name: "digits@best"."""
    evaluation: dict[str, Any] | None = None
    """The last one that somebody has told of."""
    error: str | None = None
    traceback: str | None = None

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """The blobs that this model keeps alive."""
        named = (self.dataset, self.state, self.weights, *(kept.state for kept in self.kept))
        return tuple(dict.fromkeys(blob for blob in named if blob is not None))

    @property
    def chain(self) -> str:
        """The link of the last checkpoint; "" if an older release made it."""
        return self.kept[-1].chain if self.kept and self.kept[-1].round == self.round else ""

    def reach(self, checkpoint: Checkpoint) -> None:
        """Be as far as this checkpoint, and keep it and some of those before it."""
        self.round, self.state, self.seconds = checkpoint.round, checkpoint.state, checkpoint.seconds
        self.remember(checkpoint.history)
        if checkpoint.chain:  # what an older release did not keep is gone from the disks
            self.kept.append(KeptState(checkpoint.round, checkpoint.state, checkpoint.chain))
        if len(self.kept) > KEPT_STATES:
            self.kept = self.kept[::-2][::-1]

    def remember(self, rounds: Sequence[dict[str, Any]]) -> None:
        """Rows of further rounds."""
        self.history = thinned([*self.history, *rounds])

    def dump(self) -> Iterator[list[Any]]:
        """This model as rows of `Registry.dump`."""
        yield ["model", asdict(replace(self, history=[]))]
        for start in range(0, len(self.history), DUMPED_ROWS):
            yield ["history", self.id, self.history[start : start + DUMPED_ROWS]]

    @classmethod
    def load(cls, fields: dict[str, Any]) -> "ModelRow":
        """The inverse, its history still to come."""
        blobs = {name: fields[name] and Blob(**fields[name]) for name in ("dataset", "state", "weights")}
        kept = [
            KeptState(each["round"], Blob(**each["state"]), each["chain"]) for each in fields.get("kept", ())
        ]
        sources = {
            role: DataSetRow(**row) if "examples" in row else FileRow(**row)
            for role, row in fields["sources"].items()
        }
        return cls(**fields | blobs | {"sources": sources, "kept": kept})

    def summary(self) -> dict[str, Any]:
        """The row of `minka models`."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "arch": self.spec["arch"],
            "digest": None if self.weights is None else self.weights.digest,
            "bytes": None if self.weights is None else self.weights.size_bytes,
            "test_accuracy": self.test_accuracy,
            "progress": self.round / self.rounds if self.rounds else 0.0,
            "aliases": list(self.aliases),
            "evaluation": self.evaluation,
            "created": self.created_ms / 1000,
        }

    def public(self) -> dict[str, Any]:
        """All that `minka show` tells."""
        return self.summary() | {
            "model": self.id,
            "version": self.version,
            "epochs": self.spec["epochs"],
            "rounds": self.rounds,
            "round": self.round,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "history": thinned(self.history),
            "spec": self.spec,
            "sources": {role: row.public() for role, row in self.sources.items()},
            "dataset": self.facts,
            "lineage": self.lineage,
            "checkpoints": [
                {"round": each.round, "digest": each.state.digest, "chain": each.chain} for each in self.kept
            ],
            "error": self.error,
            "traceback": self.traceback,
            "index": self.index,
        }


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A worker as the cluster knows it: where it is, and which disk it made its promises on."""

    id: str
    address: str
    incarnation: str

    def public(self) -> dict[str, Any]:
        return {"id": self.id, "address": self.address, "incarnation": self.incarnation}


@value
class RecordRow:
    """One transaction, as it appears in every worker's monitor."""

    record: int
    index: int
    time_ms: int
    client: str
    kind: str
    summary: str

    def public(self) -> dict[str, Any]:
        return {
            "record": self.record,
            "index": self.index,
            "time": self.time_ms / 1000,
            "client": self.client,
            "kind": self.kind,
            "summary": self.summary,
        }


@value
class Change:
    """What an entry did to one row, as the monitor is told: `value` None means that the row is gone."""

    set: str
    id: int | str
    value: dict[str, Any] | None
    text: str = ""
    """What the state digest takes of it; "": all of it, as JSON."""
