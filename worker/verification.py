"""`minka verify`: every worker re-hashes all that it holds, and the leader lays the answers side by side.

A page of a worker's audit has one row for each file (in order of id) and then each model: its id, the digest that this
worker's own registry gives it, and what the bytes on its disk are: "ok", "missing" or "corrupt".
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from shared.errors import MinkaError
from shared.messages import INLINE_BYTES
from worker.connections import Request

if TYPE_CHECKING:
    from worker.node import Node

PAGE_ROWS = 64
AUDIT_S = 600.0
Row = list[str]
"""[id, digest, state]"""
Page = Callable[[list[Row] | MinkaError, str], None]
"""Hears the rows, and the id after which the next page begins ("" at the end)."""


class Auditor:
    """Re-hashes this worker's own files and models, a page at a time, in the transfer threads."""

    def __init__(self, node: "Node") -> None:
        self._node = node

    def answer(self, request: Request, index: int, after: str) -> None:
        """Answer a peer with one page, from a state that includes entry `index`."""

        def page(rows: list[Row] | MinkaError, following: str) -> None:
            if isinstance(rows, MinkaError):
                request.fail(rows)
            else:
                request.reply({"rows": rows, "after": following})

        self._node.when_applied(index, lambda: self.page(after, page))

    def page(self, after: str, heard: Page) -> None:
        """Hash up to `PAGE_ROWS` files and models behind the one named `after`."""
        named = self._named_after(after)
        checks = []
        for id, digest, size_bytes in named[:PAGE_ROWS]:
            checks.append((id, digest, self._check(id, digest, size_bytes)))
        following = named[PAGE_ROWS - 1][0] if len(named) > PAGE_ROWS else ""

        def work() -> list[Row]:
            return [[id, digest, check()] for id, digest, check in checks]

        def finished(rows: list[Row], error: BaseException | None) -> None:
            if isinstance(error, MinkaError):
                heard(error, "")
            elif error is not None:
                raise error
            else:
                heard(rows, following)

        self._node.transfers.run(work, finished)

    def _named_after(self, after: str) -> list[tuple[str, str, int]]:
        registry, limit = self._node.registry, PAGE_ROWS + 1
        named: list[tuple[str, str, int]] = []
        if not after or after.isdigit():
            files = registry.files_after(int(after or 0), limit)
            named = [(str(row.id), row.digest, row.size_bytes) for row in files]
        models = registry.models_after(after, limit)
        done = [(row.id, row.weights.digest, INLINE_BYTES + 1) for row in models if row.weights is not None]
        return (named + done)[:limit]

    def _check(self, id: str, digest: str, size_bytes: int) -> Callable[[], str]:
        if size_bytes > INLINE_BYTES:
            return lambda: str(self._node.store.verify(digest))
        try:
            data = self._node.small_bytes(int(id))
        except MinkaError:
            return lambda: "corrupt"
        return lambda: "ok" if hashlib.sha256(data).hexdigest() == digest else "corrupt"


class Verification:
    """One `minka verify`, on the leader: all workers' audits, side by side."""

    def __init__(self, node: "Node", reply: Callable[[dict[str, Any]], None]) -> None:
        self._node = node
        self._reply = reply
        self._index = node.registry.applied_index
        self._audits: dict[str, dict[str, Row] | None] = {}
        """Worker id -> its rows by id; None for one that could not be asked."""
        self._open = 0

    def start(self) -> None:
        peers = dict(self._node.links.connected())
        self._open = len(self._node.links.addresses)
        for worker in self._node.links.addresses:
            self._audits[worker] = {}
            if worker == self._node.settings.id:
                self._own("")
            elif worker in peers:
                self._ask(worker, "")
            else:
                self._ended(worker, reached=False)

    def _own(self, after: str) -> None:
        own = self._node.settings.id

        def page(rows: list[Row] | MinkaError, following: str) -> None:
            self._page(own, rows, following, lambda: self._own(following))

        self._node.auditor.page(after, page)

    def _ask(self, worker: str, after: str) -> None:
        connection = self._node.links.bulk(worker)
        if connection is None:
            self._ended(worker, reached=False)
            return

        def came(answer: dict[str, Any] | MinkaError, _: bytes) -> None:
            if isinstance(answer, MinkaError):
                self._page(worker, answer, "", lambda: None)
            else:
                following = answer["after"]
                self._page(worker, answer["rows"], following, lambda: self._ask(worker, following))

        connection.call("audit", {"index": self._index, "after": after}, b"", came, AUDIT_S)

    def _page(
        self, worker: str, rows: list[Row] | MinkaError, following: str, go_on: Callable[[], None]
    ) -> None:
        known = self._audits[worker]
        if isinstance(rows, MinkaError) or known is None:
            self._ended(worker, reached=False)
            return
        known.update({row[0]: row for row in rows})
        if following:
            go_on()
        else:
            self._ended(worker, reached=True)

    def _ended(self, worker: str, *, reached: bool) -> None:
        if not reached:
            self._audits[worker] = None
        self._open -= 1
        if not self._open:
            self._answer()

    def _answer(self) -> None:
        """The leader's own table says what there should be; a worker that was not reached counts for nothing."""
        own = self._audits[self._node.settings.id] or {}
        reached = {worker: rows for worker, rows in self._audits.items() if rows is not None}
        files: list[dict[str, Any]] = []
        for id, (_, digest, _state) in own.items():
            holders = {}
            for worker, rows in reached.items():
                row = rows.get(id, [id, digest, "missing"])
                holders[worker] = row[2] if row[1] == digest else "corrupt"
            files.append(
                {
                    "id": int(id) if id.isdigit() else id,
                    "name": self._name(id),
                    "digest": digest,
                    "holders": holders,
                }
            )
        equal = all(state == "ok" for row in files for state in row["holders"].values())
        unreached = sorted(set(self._audits) - set(reached))
        self._reply({"equal": equal, "files": files, "unreached": unreached})

    def _name(self, id: str) -> str:
        registry = self._node.registry
        if id in registry.models:
            return registry.models[id].name
        return registry.files[int(id)].name if int(id) in registry.files else ""
