"""The monitor's addresses: which path is answered with what, all of it read-only (CONTRACT.md)."""

from collections.abc import Callable, Collection, Mapping, Set
from importlib.resources.abc import Traversable
from typing import Any

from shared.http1 import Request
from shared.http_connection import Answer
from shared.http_delivery import delivered
from shared.http_errors import BadRequest, MethodNotAllowed, NotFound, ServiceUnavailable
from shared.http_events import EventStream, encode_event
from shared.http_files import StaticFiles
from shared.http_password import Password
from shared.http_responses import Response, json_response, text_response
from shared.http_server import literal_host
from worker.monitor import metrics
from worker.monitor.plain import plain_page
from worker.monitor.search import RecordSearch, search_words
from worker.monitor.view import FILES_PAGE_ROWS, PAGE_ROWS, View

NUMBER_DIGITS = 18


class Site:
    """Answers every request of the monitor from the view. `pages` holds the folders "monitor" and "common"."""

    def __init__(
        self,
        view: View,
        pages: Traversable,
        status_age_s: Callable[[], float | None],
        search: RecordSearch,
        password: str | None = None,
    ) -> None:
        self.events = EventStream(lambda _request: self._opening())
        self._view = view
        self._password = Password(password)
        self._search = search
        self._status_age_s = status_age_s
        self._pages = StaticFiles(pages.joinpath("monitor"))
        self._common = StaticFiles(pages.joinpath("common"))
        self._answers: Mapping[str, Callable[[Request], Answer]] = {
            "/healthz": self._health,
            "/metrics": self._metrics,
            "/api/status": lambda request: self._json(request, self._status),
            "/api/files": self._files,
            "/api/models": lambda request: self._json(
                request, view.models_page, skip=None, limit=FILES_PAGE_ROWS
            ),
            "/api/records": self._records,
            "/api/log": lambda request: self._json(
                request, view.log_page, after=None, limit=PAGE_ROWS, tail=PAGE_ROWS
            ),
            "/api/notices": lambda request: self._json(
                request, view.notices_page, after=None, limit=PAGE_ROWS, tail=PAGE_ROWS
            ),
            "/api/vitals": lambda request: self._json(request, view.vitals_page),
            "/api/rounds": self._rounds,
            "/plain": lambda request: plain_page(view, request),
            "/api/events": lambda _request: self.events,
        }

    def handle(self, request: Request) -> Answer:
        """The handler of the HTTP server."""
        if request.path != "/healthz":
            self._password.check(request)
        answer = self._find(request)
        return delivered(request, answer) if isinstance(answer, Response) else answer

    def _find(self, request: Request) -> Answer:
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(("GET", "HEAD"))
        answer = self._answers.get(request.path)
        if answer is not None:
            return answer(request)
        if request.path.startswith("/api/"):
            raise NotFound("There is no such address.")
        if request.path.startswith("/common/"):
            return self._common.respond(request, request.path.removeprefix("/common"))
        return self._pages.respond(request, request.path)

    def _opening(self) -> list[bytes]:
        if not self._view.row:
            return []
        return [
            encode_event("status", self._view.status()),
            encode_event("vitals", self._view.vitals),
        ]

    def publish(self) -> None:
        """Tells every open page what has changed since the last call."""
        deltas, version = self._view.take_deltas(), str(self._view.version)
        if deltas and len(self.events):
            self.events.send(b"".join(encode_event(event, data, version) for event, data in deltas))

    def _records(self, request: Request) -> Answer:
        """The last records as they come, or what is found among all there ever were."""
        query = request.head.query
        if "search" not in query:
            return self._json(request, self._view.records_page, after=None, limit=PAGE_ROWS, tail=PAGE_ROWS)
        _known(query, {"search", "before", "limit"})
        before = _number("before", query.get("before", "9" * NUMBER_DIGITS), None)
        limit = _number("limit", query.get("limit", str(PAGE_ROWS)), PAGE_ROWS)
        return self._search.find(query["search"], before, max(1, limit))

    def _files(self, request: Request) -> Answer:
        """In the order in which they were named; or those that a search finds, newest first."""
        query = request.head.query
        if "search" not in query:
            return self._json(request, self._view.files_page, skip=None, limit=FILES_PAGE_ROWS)
        _known(query, {"search", "skip", "limit"})
        words = search_words(query["search"])
        skip = _number("skip", query.get("skip", "0"), None)
        limit = _number("limit", query.get("limit", str(PAGE_ROWS)), PAGE_ROWS)
        return json_response(self._view.found_files(words, skip, max(1, limit)))

    def _rounds(self, request: Request) -> Response:
        _known(request.head.query, {"model"})
        return json_response(self._view.rounds_page(request.head.query.get("model", "")))

    def _json(self, request: Request, page: Callable[..., dict[str, Any]], **fields: int | None) -> Response:
        """`page` with the numbers of the query; `fields` are those it may name, with the highest value of each."""
        _known(request.head.query, fields.keys())
        numbers = {name: _number(name, text, fields[name]) for name, text in request.head.query.items()}
        return json_response(page(**numbers))

    def _status(self) -> dict[str, Any]:
        if not self._view.row:
            raise ServiceUnavailable("The worker is starting.", (("Retry-After", "1"),))
        return self._view.status()

    def _health(self, _request: Request) -> Response:
        """200 while a leader is known, else 503: then this worker cannot serve clients. (When its node has ended,
        so has this monitor.)"""
        leader = self._view.leader()
        health = {"healthy": leader is not None, "leader": leader, "status_age_s": self._status_age_s()}
        return json_response(health, 503 if leader is None else 200)

    def _metrics(self, _request: Request) -> Response:
        text = metrics.render(self._view, self._status_age_s(), len(self.events))
        return text_response(text, content_type=metrics.CONTENT_TYPE)


def _known(query: Mapping[str, str], names: Set[str]) -> None:
    if unknown := query.keys() - names:
        raise BadRequest(f"Unknown: {', '.join(sorted(unknown))}.")


def _number(name: str, text: str, highest: int | None) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > NUMBER_DIGITS:
        raise BadRequest(f"{name} is not a number.")
    return int(text) if highest is None else min(int(text), highest)


def host_rule(names: Collection[str]) -> Callable[[str], bool]:
    """Allows addresses in digits, localhost, and `names` (those this machine goes by): no other site's name."""
    known = {name.lower() for name in names}
    return lambda host: host in known or literal_host(host)
