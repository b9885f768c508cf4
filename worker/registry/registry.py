"""The replicated state machine: log entries in, the same state on every worker out.

Deterministic: no clock, no randomness, no disk, no threads. `apply` is called once for every committed command, in order of
index. What it decides, refusals included, is a pure function of the entries so far.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from shared.errors import BytesMissing, MinkaError, Refused
from shared.fields import encode
from shared.messages import INLINE_BYTES, NAME_CHARACTERS, Ticket
from shared.value import value
from worker.registry import commands, evaluations
from worker.registry.aliases import Aliases
from worker.registry.commands import Blob, Command
from worker.registry.examples import DataSetRow, DataSets, ExampleRow
from worker.registry.files import FileTable
from worker.registry.rows import UNFINISHED, Change, FileRow, MemberRow, ModelRow, RecordRow
from worker.registry.sessions import Answer, Sessions, as_failure

DUMP_VERSION = 2
"""Version 1 had a row for each file; it is still read."""

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode

SUMMARY_CHARACTERS = 256
"""Of a record's summary, and of its client's name."""


@value
class Outcome:
    """What one entry did: the client's answer, the rows it changed, the records it left, in order of number."""

    kind: str
    answer: Answer
    changes: tuple[Change, ...] = ()
    records: tuple[RecordRow, ...] = ()
    released: tuple[str, ...] = ()
    """The digests of blobs that no row names any more."""


def _text_of(change: Change) -> str:
    return change.text or _canonical([change.set, change.id, change.value])


class Registry:
    """Files, models, records and client sessions, as of `applied_index`."""

    def __init__(self) -> None:
        self.applied_index = 0
        self._table = FileTable()
        self.models: dict[str, ModelRow] = {}
        self.members: dict[str, MemberRow] = {}
        self.datasets = DataSets()
        self.aliases = Aliases()
        self.sessions = Sessions()
        self.record_count = 0
        self._time_ms = 0
        self._digest = hashlib.sha256(b"minka registry").digest()
        self._changes: list[Change] = []
        self._records: list[RecordRow] = []
        self._released: list[str] = []

    @property
    def state_digest(self) -> str:
        """A chain of SHA-256 over what each entry changed (or else answered) up to `applied_index`."""
        return self._digest.hex()

    def skip(self, index: int) -> None:
        """Pass over an entry that is no command (a leader's no-op, a membership change)."""
        self._advance(index)

    def apply(self, index: int, data: bytes) -> Outcome:
        """Apply the command of entry `index`; raises only `UnknownCommand`, which must stop this worker."""
        command = commands.decode(data)
        self._advance(index)
        self._time_ms = max(self._time_ms, command.time_ms)
        self._changes, self._records, self._released = [], [], []
        ticket: Ticket | None = getattr(command, "ticket", None)
        answer = self._answer(index, command, ticket)
        did = tuple(self._changes), tuple(self._records), tuple(self._released)
        outcome = Outcome(command.kind, answer, *did)
        effect = "\n".join(map(_text_of, self._changes)) or _canonical(answer)
        self._digest = hashlib.sha256(b"%b%d %b" % (self._digest, index, effect.encode())).digest()
        return outcome

    # --- what clients look for

    @property
    def files(self) -> Mapping[int, FileRow]:
        """All files, by id."""
        return self._table.rows

    def find_file(self, wanted: str) -> FileRow:
        """As `FileTable.find`."""
        return self._table.find(wanted)

    def find_model(self, wanted: str) -> ModelRow:
        """The model with this id, or that "name@alias" or "name@version" means; raises `Refused`."""
        model = self.models.get(wanted) or self.models.get(self.aliases.find(wanted) or "")
        if model is None:
            raise Refused(f"There is no model {wanted!r}.", "`minka models` lists them.")
        return model

    def files_after(self, after: int, limit: int) -> list[FileRow]:
        """Up to `limit` files by id, those above `after`."""
        return self._table.after(after, limit)

    def models_after(self, after: str, limit: int) -> list[ModelRow]:
        """Up to `limit` models in the order they were created, those behind the one named `after` ("": from the first)."""
        first = self.models[after].index if after in self.models else 0
        return list(itertools.islice((row for row in self.models.values() if row.index > first), limit))

    def small_file(self, digest: str) -> int | None:
        """The index of an entry whose body has this digest, if a file of that content rides, or rode, in the log."""
        return self._table.contents.carrier(digest) or self.datasets.contents.carrier(digest)

    def names(self, digest: str) -> bool:
        """Whether any row names these bytes."""
        if digest in self._table.contents or digest in self.datasets.contents:
            return True
        if any(row.digest == digest for row in self._waiting_sources()):
            return True
        return any(blob.digest == digest for model in self.models.values() for blob in model.blobs)

    def _waiting_sources(self) -> Iterator[FileRow]:
        """Of jobs still to be prepared."""
        for model in self.models.values():
            if model.status == "queued":
                yield from (row for row in model.sources.values() if isinstance(row, FileRow))

    def live_files(self) -> Iterator[FileRow | ExampleRow]:
        """Whatever has bytes that must be kept: files, examples, and the sources of jobs still to be prepared."""
        yield from self.files.values()
        yield from self.datasets.examples()
        yield from self._waiting_sources()

    def live_blobs(self) -> Iterator[Blob]:
        """Every blob that some row names (with repeats)."""
        for row in self.live_files():
            if row.size_bytes > INLINE_BYTES:
                yield Blob(row.digest, row.size_bytes)
        for model in self.models.values():
            yield from model.blobs

    # --- snapshots

    def dump(self) -> Iterator[list[Any]]:
        """The whole state as rows for JSON, [kind, ...]: the same rows for the same state, each of moderate size."""
        state = {
            "version": DUMP_VERSION,
            "index": self.applied_index,
            "time_ms": self._time_ms,
            "records": self.record_count,
            "digest": self.state_digest,
        }
        yield ["state", state]
        for member in self.members.values():
            yield ["member", encode(member)]
        yield from self._table.dump()
        yield from self.datasets.dump()
        for model in self.models.values():
            yield from model.dump()
        yield from self.aliases.dump()
        yield from self.sessions.dump()

    def load(self, rows: Iterable[list[Any]]) -> None:
        """Take in rows of `dump`, in order, some at a time, into a registry that had nothing.

        Raises ValueError for rows of a newer version; of anything else that `dump` has not made, some error.
        """
        for kind, *values in rows:
            match kind:
                case "state":
                    self._load_state(values[0])
                case "member":
                    self.members[values[0]["id"]] = MemberRow(**values[0])
                case "files" | "file":
                    self._table.load(kind, values)
                case "dataset" | "examples":
                    self.datasets.load(kind, values)
                case "model":
                    model = ModelRow.load(values[0])
                    self._add_model(model)
                case "alias":
                    self.aliases.load(*values)
                case "history":
                    self.models[values[0]].history.extend(values[1])
                case "session" | "answers":
                    self.sessions.load(kind, values)
                case _:
                    raise ValueError(f"a state has no rows of kind {kind!r}")

    def replace(self, other: "Registry") -> None:
        """Become what `other` is, which is not to be used any more."""
        vars(self).update(vars(other))

    def _load_state(self, state: dict[str, Any]) -> None:
        if not 1 <= state["version"] <= DUMP_VERSION:
            raise ValueError(
                f"a state of version {state['version']}; this program knows up to {DUMP_VERSION}"
            )
        self.applied_index, self._time_ms = state["index"], state["time_ms"]
        self.record_count, self._digest = state["records"], bytes.fromhex(state["digest"])

    # --- applying

    def _advance(self, index: int) -> None:
        assert index == self.applied_index + 1, f"entry {index} after {self.applied_index}"
        self.applied_index = index

    def _answer(self, index: int, command: Command, ticket: Ticket | None) -> Answer:
        if ticket is None:
            try:
                return {"answer": self._run(index, command, "minka")}
            except MinkaError as refusal:
                return as_failure(refusal)
        try:
            earlier = self.sessions.earlier_answer(ticket, self._time_ms)
        except MinkaError as refusal:
            return as_failure(refusal)
        if earlier is not None:
            return earlier
        try:
            answer: Answer = {"answer": self._run(index, command, self.sessions.client(ticket))}
        except BytesMissing as missing:
            return as_failure(missing)  # nothing was done: the same ticket may come again, with the bytes
        except MinkaError as refusal:
            answer = as_failure(refusal)
        self.sessions.remember(ticket, answer)
        return answer

    def _run(self, index: int, command: Command, client: str) -> dict[str, Any]:
        match command:
            case commands.OpenSession():
                self.sessions.open(index, command.client[:NAME_CHARACTERS], self._time_ms)
                return {"session": index}
            case commands.PutFile():
                return self._put_file(index, command, client)
            case commands.RemoveFile():
                return self._remove_file(index, command, client)
            case commands.AddExample():
                return self._add_example(index, command, client)
            case commands.CreateModel():
                return self._create_model(index, command, client)
            case commands.DatasetReady():
                return self._dataset_ready(command)
            case commands.Checkpoint():
                return self._checkpoint(command)
            case commands.FinishModel():
                return self._finish_model(index, command, client)
            case commands.FailModel():
                model = self._unfinished(command.model)
                model.status, model.error, model.traceback = "failed", command.reason, command.traceback
                model.kept = []
                return self._ended(index, model, client, f"{model.id} failed: {command.reason}")
            case commands.CancelModel():
                model = self._unfinished(command.model)
                model.status, model.error, model.kept = "cancelled", f"Cancelled by {client}.", []
                return self._ended(index, model, client, f"{model.id} cancelled")
            case commands.PromoteModel():
                model = self._trained(command.model)
                alias, before = self.aliases.point(model.name, command.alias, model.id)
                return self._pointed(index, client, alias, model.id, before)
            case commands.RollBackAlias():
                now, taken = self.aliases.roll_back(command.alias)
                return self._pointed(index, client, command.alias, now, taken)
            case commands.NoteEvaluation():
                model = self._trained(command.model)
                model.evaluation = evaluations.checked(command, index, client, self._time_ms)
                self._changed(model)
                self._note(index, client, "evaluate", evaluations.summary(model.id, command.evaluation))
                return {"model": model.id, "index": index}
            case commands.NotePredictions():
                for who, summary in zip(command.clients, command.summaries, strict=False):
                    self._note(index, who, "predict", summary)
                return {"index": index}
            case commands.Found():
                return self._found(command)
            case commands.Enlist():
                return self._enlist(index, command, client)
            case commands.Retire():
                if self.members.pop(command.id, None) is None:
                    raise Refused(
                        f"There is no worker {command.id!r} in this cluster.", "`minka status` lists them."
                    )
                self._changes.append(Change("members", command.id, None))
                self._note(index, client, "member", f"{command.id} left the cluster")
                return {"member": command.id}

    def _found(self, command: commands.Found) -> dict[str, Any]:
        if self.members:
            raise Refused("This cluster was founded before.")
        for founder in command.founders:
            row = MemberRow(founder.id, founder.address, founder.incarnation)
            self.members[row.id] = row
            self._changes.append(Change("members", row.id, row.public()))
        return {"members": len(self.members)}

    def _enlist(self, index: int, command: commands.Enlist, client: str) -> dict[str, Any]:
        known = self.members.get(command.id)
        disk = command.incarnation or (known.incarnation if known is not None else "")
        row = MemberRow(command.id, command.address, disk)
        if known != row:
            self.members[row.id] = row
            self._changes.append(Change("members", row.id, row.public()))
            if known is not None and known.incarnation and known.incarnation != row.incarnation:
                self._note(index, client, "member", f"{row.id} came back with another disk")
            elif known is None:
                self._note(index, client, "member", f"{row.id} at {row.address}")
        return {"member": row.id}

    def _put_file(self, index: int, command: commands.PutFile, client: str) -> dict[str, Any]:
        name, at = command.name[:NAME_CHARACTERS], self._bytes_at(command)
        row = FileRow(index, name, command.size_bytes, command.digest, self._time_ms, at)
        self._table.add(row)
        public = row.public()
        self._changes.append(Change("files", index, public, row.text))
        self._note(index, client, "put", f"{row.name} ({row.size_bytes} bytes)")
        return {"file": public}

    def _bytes_at(self, command: commands.PutFile | commands.AddExample) -> int:
        """The entry that brought the bytes of this command, if it did not bring them itself. Raises `BytesMissing`."""
        if not command.held:
            return 0
        carrier = self.small_file(command.digest)
        if carrier is None:
            raise BytesMissing("The last file with these bytes was removed meanwhile.", "Send them again.")
        return carrier

    def _add_example(self, index: int, command: commands.AddExample, client: str) -> dict[str, Any]:
        example = ExampleRow(
            index, command.label, command.size_bytes, command.digest, self._time_ms, self._bytes_at(command)
        )
        row = self.datasets.add(command.dataset, example)
        self._changes.append(Change("datasets", row.id, row.public()))
        self._note(index, client, "example", f"{row.name}: {example.label} ({row.examples} examples)")
        return {"record": self.record_count, "index": index}

    def _remove_file(self, index: int, command: commands.RemoveFile, client: str) -> dict[str, Any]:
        row = self._table.remove(command.file)
        if row.size_bytes > INLINE_BYTES and not self.names(row.digest):
            self._released.append(row.digest)
        self._changes.append(Change("files", row.id, None))
        self._note(index, client, "remove", row.name)
        return {"file": {"id": row.id, "name": row.name}}

    def _create_model(self, index: int, command: commands.CreateModel, client: str) -> dict[str, Any]:
        sources: dict[str, FileRow | DataSetRow] = {}
        for role, file in command.sources.items():
            source = self.files.get(file) or self.datasets.by_id(file)
            if source is None:
                raise Refused(f"There is no file {file} ({role}).", "`minka ls` lists them.")
            sources[role] = source
        model = ModelRow(f"m{index}", index, command.name, command.spec, sources, self._time_ms)
        self._add_model(model)
        self._changed(model)
        self._note(index, client, "train", f"{model.id} {command.name} ({command.spec['arch']})")
        return {"model": model.id}

    def _add_model(self, model: ModelRow) -> None:
        self.models[model.id] = model
        self.aliases.add(model.name, model.id)

    def _dataset_ready(self, command: commands.DatasetReady) -> dict[str, Any]:
        model = self._unfinished(command.model)
        if model.status != "queued":
            raise Refused(f"{model.id} has its data set already.")
        model.dataset, model.facts, model.spec = command.dataset, command.facts, command.spec
        model.rounds, model.status = command.rounds, "training"
        self._changed(model)
        return {"model": model.id}

    def _checkpoint(self, command: commands.Checkpoint) -> dict[str, Any]:
        model = self._unfinished(command.model)
        self._expect_parent(model, command.parent)
        if command.round <= model.round and model.state is not None:
            raise Refused(f"{model.id} is at round {model.round} already.")
        model.reach(command)
        self._learn_accuracy(model)
        self._changed(model)
        return {"model": model.id}

    def _finish_model(self, index: int, command: commands.FinishModel, client: str) -> dict[str, Any]:
        model = self._unfinished(command.model)
        self._expect_parent(model, command.parent)
        model.remember(command.history)
        model.status, model.weights, model.state = "done", command.weights, None
        model.round = model.rounds
        model.seconds, model.images_per_second = command.seconds, command.images_per_second
        model.test_accuracy, model.lineage = command.test_accuracy, command.lineage
        accuracy = "" if model.test_accuracy is None else f", {model.test_accuracy:.2%} right on the test set"
        return self._ended(index, model, client, f"{model.id} trained in {model.seconds:.1f} s{accuracy}")

    def _pointed(self, index: int, client: str, alias: str, model: str, before: str | None) -> dict[str, Any]:
        if before is not None:
            self.models[before].aliases.remove(alias)
            self._changed(self.models[before])
        self.models[model].aliases.append(alias)
        self._changed(self.models[model])
        self._note(index, client, "promote", f"{alias} is {model}" + (f", was {before}" if before else ""))
        return {"alias": alias, "model": model, "before": before}

    def _ended(self, index: int, model: ModelRow, client: str, summary: str) -> dict[str, Any]:
        self._changed(model)
        self._note(index, client, "model", summary)
        return {"model": model.id, "status": model.status}

    def _trained(self, wanted: str) -> ModelRow:
        model = self.find_model(wanted)
        if model.weights is None:
            raise Refused(f"{model.id} is {model.status}: it has no weights to predict with.")
        return model

    def _unfinished(self, wanted: str) -> ModelRow:
        model = self.find_model(wanted)
        if model.status not in UNFINISHED:
            raise Refused(f"{model.id} is {model.status} already.")
        return model

    @staticmethod
    def _expect_parent(model: ModelRow, parent: str) -> None:
        if (model.state.digest if model.state else "") != parent:
            raise Refused(f"{model.id} went on from another checkpoint.")

    @staticmethod
    def _learn_accuracy(model: ModelRow) -> None:
        known = [row["test_accuracy"] for row in model.history if row.get("test_accuracy") is not None]
        if known:
            model.test_accuracy = known[-1]

    def _changed(self, model: ModelRow) -> None:
        model.version += 1
        self._changes.append(Change("models", model.id, model.summary()))

    def _note(self, index: int, client: str, kind: str, summary: str) -> None:
        self.record_count += 1
        client, summary = client[:SUMMARY_CHARACTERS], summary[:SUMMARY_CHARACTERS]
        self._records.append(RecordRow(self.record_count, index, self._time_ms, client, kind, summary))
