"""What clients ask of this worker, operation by operation (`shared.messages`).

Operations that promise the truth are answered by the leader, after a read index; commands when their entry is applied.
Bytes that are named by their digest are served by anyone, and predictions when the leader has noted them. A
request that cannot be understood fails alone: the connection and everyone else go on.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared import fields, messages
from shared.errors import BytesMissing, MinkaError, NotLeader, ProtocolViolation, Refused
from shared.messages import CHUNK_BYTES, INLINE_BYTES, PAGE_ROWS
from worker.connections import Request
from worker.pages import page_of
from worker.registry import commands
from worker.registry.commands import Blob, Command
from worker.registry.rows import FileRow
from worker.settings import write_address
from worker.storage.disk import Corrupt
from worker.training import plan
from worker.transfers import as_refusal
from worker.verification import Verification

if TYPE_CHECKING:
    from worker.node import Node

WAIT_LIMIT_S = 30.0
HEX_DIGITS = frozenset("0123456789abcdef")


class Requests:
    """Answers the operations of clients."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._handlers: dict[type[Any], Callable[[Request, Any], None]] = {
            messages.Status: self._status,
            messages.OpenSession: self._open_session,
            messages.Records: self._records,
            messages.AddMember: self._add_member,
            messages.RemoveMember: self._remove_member,
            messages.TransferLeader: self._transfer_leader,
            messages.Trace: self._trace,
            messages.BeginUpload: self._begin_upload,
            messages.UploadChunk: self._upload_chunk,
            messages.FinishUpload: self._finish_upload,
            messages.AbandonUpload: self._abandon_upload,
            messages.Put: self._put,
            messages.Remove: self._remove,
            messages.Files: self._files,
            messages.FindFile: self._find_file,
            messages.Read: self._read,
            messages.Verify: self._verify,
            messages.AddExample: self._add_example,
            messages.FindDataset: self._find_dataset,
            messages.Datasets: self._datasets,
            messages.Examples: self._examples,
            messages.Train: self._train,
            messages.Models: self._models,
            messages.ShowModel: self._show_model,
            messages.Audit: lambda request, asked: node.replays.answer(request, asked),
            messages.Cancel: self._cancel,
            messages.Promote: self._promote,
            messages.RollBack: self._roll_back,
            messages.NoteEvaluation: self._note_evaluation,
            messages.Predict: lambda request, asked: node.predictions.answer(request, asked),
        }

    def answer(self, request: Request) -> None:
        """Answer one request, now or later; whatever is wrong with it is said to who asked."""
        try:
            operation = messages.OPERATIONS.get(request.op)
            if operation is None:
                raise Refused(
                    f"There is no operation {request.op!r}.", "This worker may be older than its client."
                )
            if operation not in messages.ANY_WORKER and not self._node.driver.leads:
                raise self._node.driver.not_leader()
            self._handlers[operation](request, fields.decode(operation, request.fields))
        except ProtocolViolation as violation:
            self.fail(request, Refused(f"The request {request.op!r} cannot be read: {violation.reason}"))
        except MinkaError as error:
            self.fail(request, error)

    # --- ways to answer

    def fail(self, request: Request, error: MinkaError) -> None:
        """Say why not; a leader's id becomes its address."""
        if isinstance(error, NotLeader) and error.leader is not None:
            address = self._node.address_of(error.leader)
            error = NotLeader(error.reason, error.advice, address)
        request.fail(error)

    def after_read(self, request: Request, then: Callable[[], None]) -> None:
        """Go on as soon as this worker's state is linearizable; what `then` refuses is the answer."""

        def readable(error: MinkaError | None) -> None:
            try:
                if error is not None:
                    raise error
                then()
            except MinkaError as refusal:
                self.fail(request, refusal)

        self._node.driver.read(readable)

    def _reply_after_read(self, request: Request, answer: Callable[[], dict[str, Any]]) -> None:
        self.after_read(request, lambda: request.reply(answer()))

    def _propose(self, request: Request, command: Command, body: bytes = b"") -> None:
        def answered(answer: dict[str, Any] | MinkaError) -> None:
            if isinstance(answer, MinkaError):
                self.fail(request, answer)
            else:
                request.reply(answer)

        self._node.driver.propose(command, body, answered)

    # --- the cluster

    def _status(self, request: Request, _: messages.Status) -> None:
        self._reply_after_read(request, self._node.outlook.cluster_status)

    def _open_session(self, request: Request, asked: messages.OpenSession) -> None:
        self._propose(request, commands.OpenSession(asked.client, self._node.time_ms()))

    def _records(self, request: Request, asked: messages.Records) -> None:
        wait_s = min(asked.wait_s, WAIT_LIMIT_S)
        self.after_read(request, lambda: self._node.records.answer(request, asked.after, asked.tail, wait_s))

    def _add_member(self, request: Request, asked: messages.AddMember) -> None:
        heard = self._members_then(request)
        self.after_read(request, lambda: self._node.roster.add(asked.worker, asked.address, heard))

    def _remove_member(self, request: Request, asked: messages.RemoveMember) -> None:
        heard = self._members_then(request)
        self.after_read(request, lambda: self._node.roster.remove(asked.ticket, asked.worker, heard))

    def _transfer_leader(self, request: Request, asked: messages.TransferLeader) -> None:
        self._node.roster.transfer(asked.worker, self._members_then(request))

    def _members_then(self, request: Request) -> Callable[[MinkaError | None], None]:
        """Answers with the members once the roster is as asked for."""

        def heard(error: MinkaError | None) -> None:
            if error is None:
                request.reply(self._node.roster.public())
            else:
                self.fail(request, error)

        return heard

    def _trace(self, request: Request, asked: messages.Trace) -> None:
        rows, more = self._node.flight.page(asked.after)
        peers = {id: write_address(address) for id, address in self._node.links.addresses.items()}
        told = {"worker": self._node.settings.id, "peers": peers, "more": more}
        request.reply(told, json.dumps(rows, separators=(",", ":")).encode())

    # --- files

    def _begin_upload(self, request: Request, asked: messages.BeginUpload) -> None:
        blob = _file_blob(asked.digest, asked.size_bytes)
        if not self._node.store.use(blob.digest):
            self._node.space.check(blob.size_bytes)
        # A leader that was deposed and does not know it must not say that the bytes are where they are needed.
        self.after_read(request, lambda: self._node.exchange.begin(request, blob))

    def _upload_chunk(self, request: Request, asked: messages.UploadChunk) -> None:
        if len(request.body) > CHUNK_BYTES:
            raise Refused(f"A chunk has at most {CHUNK_BYTES} bytes.")
        self._node.exchange.chunk(request, asked.digest, asked.offset, request.body)

    def _finish_upload(self, request: Request, asked: messages.FinishUpload) -> None:
        self._node.exchange.finish(request, asked.digest)

    def _abandon_upload(self, request: Request, asked: messages.AbandonUpload) -> None:
        self._node.exchange.abandon(request, named_blob(asked.digest, 0).digest)

    def _put(self, request: Request, asked: messages.Put) -> None:
        if not asked.name or len(asked.name) > messages.NAME_CHARACTERS:
            raise Refused(f"A file needs a name of 1 to {messages.NAME_CHARACTERS} characters.")
        time_ms = self._node.time_ms()
        self._propose_with_bytes(
            request, commands.PutFile(asked.ticket, asked.name, asked.digest, asked.size_bytes, time_ms)
        )

    def _add_example(self, request: Request, asked: messages.AddExample) -> None:
        time_ms = self._node.time_ms()
        command = commands.AddExample(
            asked.ticket, asked.dataset, asked.label, asked.digest, asked.size_bytes, time_ms
        )
        self._propose_with_bytes(request, command)

    def _propose_with_bytes(self, request: Request, command: commands.PutFile | commands.AddExample) -> None:
        """A command that names bytes: few of them come with it, more were uploaded before."""
        self._node.space.check(min(command.size_bytes, INLINE_BYTES))
        blob = _file_blob(command.digest, command.size_bytes)
        if blob.size_bytes <= INLINE_BYTES:
            if len(request.body) != blob.size_bytes or commands.digest_of(request.body) != blob.digest:
                raise Refused("The bytes are not those that the digest names.", "Send the file again.")
            self._propose_small(request, command)
            return
        if request.body:
            raise Refused(f"A file of more than {INLINE_BYTES} bytes is uploaded in chunks.")

        def held(error: MinkaError | None) -> None:
            if error is None and not self._node.store.use(blob.digest):
                error = BytesMissing("The bytes of this file have gone meanwhile.", "Upload them again.")
            if error is None:
                self._propose(request, command)
            else:
                self.fail(request, error)

        def spread() -> None:
            if not self._node.holds(blob):
                raise BytesMissing("The bytes of this file are not here.", "Upload them first.")
            self._node.exchange.replicate(blob, held)

        self.after_read(request, spread)  # nor may it send a client away for what the leader has

    def _propose_small(self, request: Request, command: commands.PutFile | commands.AddExample) -> None:
        """Bytes that some row names are in every worker's log or packs, and need not be written once more."""
        if not request.body or self._node.registry.small_file(command.digest) is None:
            self._propose(request, command, request.body)
            return

        def answered(answer: dict[str, Any] | MinkaError) -> None:
            if isinstance(answer, BytesMissing):  # the last of those rows was removed meanwhile
                self._propose(request, command, request.body)
            elif isinstance(answer, MinkaError):
                self.fail(request, answer)
            else:
                request.reply(answer)

        self._node.driver.propose(replace(command, held=True), b"", answered)

    def _find_dataset(self, request: Request, asked: messages.FindDataset) -> None:
        self._reply_after_read(request, lambda: {"dataset": self._node.registry.datasets.find(asked.dataset)})

    def _datasets(self, request: Request, asked: messages.Datasets) -> None:
        def page() -> dict[str, Any]:
            rows, more = page_of(self._node.registry.datasets.after(asked.after, PAGE_ROWS + 1))
            return {"datasets": rows, "more": more}

        self._reply_after_read(request, page)

    def _examples(self, request: Request, asked: messages.Examples) -> None:
        def page() -> dict[str, Any]:
            found = self._node.registry.datasets.newest(
                asked.dataset, asked.before, asked.label, PAGE_ROWS + 1
            )
            rows, more = page_of(row.public() for row in found)
            return {"examples": rows, "more": more}

        self._reply_after_read(request, page)

    def _remove(self, request: Request, asked: messages.Remove) -> None:
        self._propose(request, commands.RemoveFile(asked.ticket, asked.file, self._node.time_ms()))

    def _files(self, request: Request, asked: messages.Files) -> None:
        def page() -> dict[str, Any]:
            rows = self._node.registry.files_after(asked.after, PAGE_ROWS + 1)
            files, more = page_of(map(self._held, rows))
            return {"files": files, "more": more}

        self._reply_after_read(request, page)

    def _find_file(self, request: Request, asked: messages.FindFile) -> None:
        self._reply_after_read(
            request, lambda: {"file": self._held(self._node.registry.find_file(asked.file))}
        )

    def _held(self, row: FileRow) -> dict[str, Any]:
        return row.public() | {"holders": self._node.holders(row.id)}

    def _read(self, request: Request, asked: messages.Read) -> None:
        index = self._node.registry.small_file(asked.digest)
        if index is None:
            self._node.exchange.read(request, asked.digest, asked.offset, asked.length)
            return

        def answered(data: bytes) -> None:
            part = data[asked.offset : asked.offset + min(asked.length, CHUNK_BYTES)]
            request.reply({"size_bytes": len(data)}, part)

        read_small(self._node, request, asked.digest, index, answered)

    def _verify(self, request: Request, asked: messages.Verify) -> None:
        self.after_read(request, lambda: Verification(self._node, asked.after, request).start())

    # --- training and models

    def _train(self, request: Request, asked: messages.Train) -> None:
        self._node.space.check()
        spec = fields.encode(asked.spec)
        roles = ("inputs", "outputs", "test_inputs", "test_outputs")
        sources = {role: file for role in roles if (file := spec.pop(role)) is not None}
        if ("test_inputs" in sources) != ("test_outputs" in sources):
            raise Refused(
                "A test set needs both inputs and outputs.", "Give --test-inputs and --test-outputs."
            )
        name = str(spec.pop("name"))[: messages.NAME_CHARACTERS]
        resolved = plan.resolve(spec, sum(self._node.workshop.places().values()))
        command = commands.CreateModel(asked.ticket, name, resolved, sources, self._node.time_ms())
        self._propose(request, command)

    def _models(self, request: Request, asked: messages.Models) -> None:
        def page() -> dict[str, Any]:
            rows = self._node.registry.models_after(asked.after, PAGE_ROWS + 1)
            models, more = page_of(map(self._node.watchers.summary, rows))
            return {"models": models, "more": more}

        self._reply_after_read(request, page)

    def _show_model(self, request: Request, asked: messages.ShowModel) -> None:
        def show() -> None:
            model = self._node.registry.find_model(asked.model)
            self._node.watchers.answer(request, model, asked.seen, min(asked.wait_s, WAIT_LIMIT_S))

        self.after_read(request, show)

    def _cancel(self, request: Request, asked: messages.Cancel) -> None:
        self._propose(request, commands.CancelModel(asked.ticket, asked.model, self._node.time_ms()))

    def _promote(self, request: Request, asked: messages.Promote) -> None:
        command = commands.PromoteModel(asked.ticket, asked.model, asked.alias, self._node.time_ms())
        self._propose(request, command)

    def _roll_back(self, request: Request, asked: messages.RollBack) -> None:
        self._propose(request, commands.RollBackAlias(asked.ticket, asked.alias, self._node.time_ms()))

    def _note_evaluation(self, request: Request, asked: messages.NoteEvaluation) -> None:
        self._node.space.check()
        time_ms = self._node.time_ms()
        self._propose(request, commands.NoteEvaluation(asked.ticket, asked.model, asked.evaluation, time_ms))


def read_small(
    node: "Node", request: Request, digest: str, index: int, then: Callable[[bytes], None]
) -> None:
    """Go on with the bytes of a small file, which entry `index` named; it is looked at again afterwards."""

    def came(data: bytes, error: BaseException | None) -> None:
        if error is None:
            then(data)
        else:
            request.fail(as_refusal(error))

    node.scrubber.small_was_read(digest, index)
    try:
        node.transfers.run(node.small_file(digest, index), came)
    except Corrupt as damage:
        raise Refused(f"The copy of this worker is damaged: {damage}", "Ask another worker.") from damage


def _file_blob(digest: str, size_bytes: int) -> Blob:
    if size_bytes > messages.FILE_BYTES:
        raise Refused(f"A file has at most {messages.FILE_BYTES:,} bytes, this one {size_bytes:,}.")
    return named_blob(digest, size_bytes)


def named_blob(digest: str, size_bytes: int) -> Blob:
    """The blob that a request names; raises `Refused` for what is no digest."""
    if len(digest) != 64 or not HEX_DIGITS.issuperset(digest):
        raise Refused("A digest is 64 hexadecimal digits (SHA-256, lower case).")
    return Blob(digest, size_bytes)
