"""`minka verify`: every worker re-hashes what it holds, and the leader lays the answers side by side, page by page.

The leader names a page of its own files, examples and models; each worker says which digest its own registry gives each,
and what the bytes on its disk are: "ok", "missing" or "corrupt".
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError, ProtocolViolation
from shared.messages import INLINE_BYTES, PAGE_ROWS
from worker.connections import Request
from worker.pages import page_of
from worker.registry import commands
from worker.registry.examples import ExampleRow
from worker.registry.files import file_number
from worker.registry.registry import Registry
from worker.registry.rows import FileRow
from worker.storage.disk import Corrupt
from worker.storage.mending import EntryPlace, read_entry

if TYPE_CHECKING:
    from worker.node import Node

AUDIT_S = 600.0

STATES = ("ok", "missing", "corrupt")
Finding = list[str]
"""[digest by this worker's registry ("" if it has no such row), "ok" | "missing" | "corrupt"]"""
Heard = Callable[[list[Finding] | MinkaError], None]


class Auditor:
    """Re-hashes this worker's own files, examples and models, in the transfer threads."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def answer(self, request: Request, index: int, ids: Sequence[str]) -> None:
        """Answer a peer about these files and models, from a state that includes entry `index`."""

        def heard(findings: list[Finding] | MinkaError) -> None:
            if isinstance(findings, MinkaError):
                request.fail(findings)
            else:
                request.reply({"findings": findings})

        self._node.when_applied(index, lambda: self.audit(ids, heard))

    def audit(self, ids: Sequence[str], heard: Heard) -> None:
        """Hash the bytes of each of `ids`."""
        places: list[EntryPlace] = []
        checks = [self._check(id, places) for id in ids]

        def finished(findings: list[Finding], error: BaseException | None) -> None:
            self._node.entry_log.unpin(places)
            for id, (digest, state) in zip(ids, findings or (), strict=False):
                if digest and state != "ok":
                    self._repair(id)
            if isinstance(error, MinkaError):
                heard(error)
            elif error is not None:
                raise error
            else:
                heard(findings)

        self._node.transfers.run(lambda: [[digest, look()] for digest, look in checks], finished)

    def _repair(self, id: str) -> None:
        registry = self._node.registry
        row = found_row(registry, id)
        self._node.repairs.file(*digest_and_size(registry, id), 0 if row is None else row.carrier)

    def _check(self, id: str, places: list[EntryPlace]) -> tuple[str, Callable[[], str]]:
        """What reads these bytes, from the disk even if they are in memory; what it needs of the log is put to `places`."""
        digest, size_bytes = digest_and_size(self._node.registry, id)
        if not digest:
            return "", lambda: "missing"
        if size_bytes > INLINE_BYTES:
            return digest, lambda: str(self._node.store.verify(digest))
        row = found_row(self._node.registry, id)
        assert row is not None, "no model is so small"
        if row.carrier >= self._node.entry_log.first_index():
            (place,) = self._node.entry_log.pin(row.carrier, 0)
            places.append(place)
            disk = self._node.disk
            return digest, lambda: _state_of(lambda: commands.body_of(read_entry(disk, place).data), digest)
        try:
            read = self._node.small_file(digest, row.carrier)
        except MinkaError:
            return digest, lambda: "missing"
        return digest, lambda: _state_of(read, digest)


def _state_of(read: Callable[[], bytes], digest: str) -> str:
    try:
        return "ok" if hashlib.sha256(read()).hexdigest() == digest else "corrupt"
    except Corrupt:
        return "corrupt"
    except MinkaError:
        return "missing"


class Verification:
    """One page of `minka verify`, on the leader."""

    def __init__(self, node: "Node", after: str, request: Request) -> None:
        self._node = node
        self._request = request
        self._index = node.registry.applied_index
        named = page_after(node.registry, after, PAGE_ROWS + 1)
        self._ids, self._more = named[:PAGE_ROWS], len(named) > PAGE_ROWS
        self._findings: dict[str, list[Finding]] = {}
        self._failure: MinkaError | None = None
        self._waiting = set(node.links.addresses)

    def start(self) -> None:
        """Ask every worker at once; the answer goes out when the last has spoken."""
        for worker in list(self._waiting):
            if worker == self._node.settings.id:
                self._node.auditor.audit(self._ids, lambda found: self._heard(self._node.settings.id, found))
            else:
                self._ask(worker)

    def _ask(self, worker: str) -> None:
        connection = self._node.links.bulk(worker)

        def came(answer: dict[str, Any] | MinkaError, _: bytes) -> None:
            self._heard(worker, answer if isinstance(answer, MinkaError) else _findings(answer))

        if connection is None:
            self._node.loop.call_later(0.0, lambda: self._heard(worker, []))
        else:
            connection.call("audit", {"index": self._index, "ids": self._ids}, b"", came, AUDIT_S)

    def _heard(self, worker: str, findings: list[Finding] | MinkaError) -> None:
        """Another worker that could not be asked says nothing about its copies: it is left out."""
        self._waiting.discard(worker)
        if isinstance(findings, MinkaError):
            if worker == self._node.settings.id:
                self._failure = findings
        elif len(findings) == len(self._ids):
            self._findings[worker] = findings
        if not self._waiting:
            self._answer()

    def _answer(self) -> None:
        if self._failure is not None:
            self._request.fail(self._failure)
            return
        files, more = page_of(self._rows())
        equal = all(state == "ok" for row in files for state in row["holders"].values())
        after = str(files[-1]["id"]) if more else self._ids[-1] if self._more else ""
        self._request.reply({"equal": equal, "files": files, "after": after})

    def _rows(self) -> Iterator[dict[str, Any]]:
        for position, id in enumerate(self._ids):
            digest, _ = digest_and_size(self._node.registry, id)
            if not digest:
                continue  # it was removed meanwhile
            found = {worker: findings[position] for worker, findings in sorted(self._findings.items())}
            holders = {
                worker: state if named in (digest, "") else "corrupt"
                for worker, (named, state) in found.items()
            }
            yield {"id": public_id(id), "name": self._name(id), "digest": digest, "holders": holders}

    def _name(self, id: str) -> str:
        registry = self._node.registry
        if id in registry.models:
            return registry.models[id].name
        row = found_row(registry, id)
        return row.name if isinstance(row, FileRow) else f"example {'' if row is None else row.label}"


def page_after(registry: Registry, after: str, limit: int) -> list[str]:
    """The ids of up to `limit` files and examples, in order, and then finished models, behind the one named `after`."""
    ids: list[str] = []
    first = file_number(after or "0")
    if first is not None:
        files, examples = registry.files_after(first, limit), registry.datasets.ids_after(first, limit)
        ids = [str(id) for id in sorted([row.id for row in files] + examples)]
    models = registry.models_after(after, len(registry.models))
    return (ids + [row.id for row in models if row.weights is not None])[:limit]


def found_row(registry: Registry, id: str) -> FileRow | ExampleRow | None:
    """The file or example of this id."""
    number = file_number(id) or 0
    return registry.files.get(number) or registry.datasets.example(number)


def digest_and_size(registry: Registry, id: str) -> tuple[str, int]:
    """What this registry says that the bytes of a file, example or model are; ("", 0) if it has none of that id."""
    row = found_row(registry, id)
    if row is not None:
        return row.digest, row.size_bytes
    model = registry.models.get(id)
    if model is None or model.weights is None:
        return "", 0
    return model.weights.digest, max(model.weights.size_bytes, INLINE_BYTES + 1)


def public_id(id: str) -> int | str:
    """Files are numbers, models are names."""
    return int(id) if id.isdigit() else id


def _findings(answer: dict[str, Any]) -> list[Finding] | ProtocolViolation:
    """What another worker has found, checked: it comes from a socket."""
    findings = answer.get("findings")
    if not isinstance(findings, list):
        return ProtocolViolation("An audit's findings are no list.")
    for finding in findings:
        pair = isinstance(finding, list) and len(finding) == 2
        if not pair or not isinstance(finding[0], str) or finding[1] not in STATES:
            return ProtocolViolation("A finding of an audit cannot be read.")
    return findings
