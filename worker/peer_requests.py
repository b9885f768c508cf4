"""What other workers ask of this one, beside consensus."""

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from shared import fields, messages
from shared.errors import MinkaError, Refused
from worker.connections import Request
from worker.requests import named_blob, read_small
from worker.serving.journal import NOTES_AT_ONCE, Notes, Place
from worker.storage.disk import Corrupt

if TYPE_CHECKING:
    from worker.node import Node


class PeerRequests:
    """Answers what the other workers ask."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def answer(self, request: Request) -> None:
        """Answer one request of a worker."""
        try:
            match request.op:
                case "hold":
                    asked = fields.decode(_Hold, request.fields)
                    self._node.exchange.hold(request, named_blob(asked.digest, asked.size_bytes))
                case "read":
                    wanted = fields.decode(messages.Read, request.fields)
                    self._node.exchange.read(request, wanted.digest, wanted.offset, wanted.length)
                case "audit":
                    page = fields.decode(_Audit, request.fields)
                    self._node.auditor.answer(request, page.index, page.ids[: messages.PAGE_ROWS])
                case "shard":
                    self._shard(request)
                case "small":
                    digest = fields.decode(_Small, request.fields).digest
                    index = self._node.registry.small_file(digest)
                    if index is None:
                        raise Refused("There is no small file of this digest.")
                    read_small(self._node, request, digest, index, partial(request.reply, {}))
                case "entry":
                    self._entry(request, fields.decode(_Entry, request.fields))
                case "note":
                    self._note(request)
                case "ping":
                    request.reply({})
                case "needs":
                    self._node.needs.answer(request)
                case "records":
                    after = fields.decode(_Records, request.fields).after
                    request.reply({}, json.dumps(self._node.records.page(after)).encode())
                case _:
                    raise Refused(f"There is no operation {request.op!r} between workers.")
        except MinkaError as error:
            request.fail(error)

    def _entry(self, request: Request, asked: "_Entry") -> None:
        log = self._node.entry_log
        if not log.first_index() <= asked.index <= log.last_index():
            raise Refused("This entry is not here.")
        try:
            entry = log.entries(asked.index, asked.index + 1, 0)[0]
        except Corrupt as damage:
            raise Refused("This entry is damaged here, too.") from damage
        if entry.term != asked.term:
            raise Refused("This entry is of another term.")
        request.reply({"kind": entry.kind.value}, entry.data)

    def _note(self, request: Request) -> None:
        notes = fields.decode(Notes, request.fields)
        if not self._node.driver.leads:
            raise self._node.driver.not_leader()
        if not 1 <= len(notes.clients) == len(notes.summaries) <= NOTES_AT_ONCE:
            raise Refused(f"Notes are 1 to {NOTES_AT_ONCE} clients, and as many summaries.")

        def noted(found: Place | MinkaError) -> None:
            if isinstance(found, MinkaError):
                request.fail(found)
            else:
                request.reply(fields.encode(found))

        self._node.journal.add(notes, noted)

    def _shard(self, request: Request) -> None:
        term = request.fields.get("term")
        if type(term) is not int or term < self._node.driver.leadership.term:
            raise Refused("The task is of an older term.")

        def done(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if isinstance(answer, MinkaError):
                request.fail(answer)
            else:
                request.reply({name: value for name, value in answer.items() if name != "id"}, body)

        self._node.workshop.desk.compute(request.fields, request.body, done)


@dataclass(frozen=True, slots=True)
class _Hold:
    digest: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Small:
    digest: str


@dataclass(frozen=True, slots=True)
class _Entry:
    index: int
    term: int


@dataclass(frozen=True, slots=True)
class _Records:
    after: int


@dataclass(frozen=True, slots=True)
class _Audit:
    index: int
    ids: tuple[str, ...]
