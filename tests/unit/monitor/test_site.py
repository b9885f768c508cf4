"""The monitor's addresses answer from the view, and change nothing."""

import base64
import gzip
import importlib.resources
import json
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from shared.http1 import Limits, Request, parse_head
from shared.http_deferred import Deferred
from shared.http_errors import BadRequest, MethodNotAllowed, NotFound, ServiceUnavailable, Unauthorized
from shared.http_responses import Response
from worker.monitor import search
from worker.monitor.search import RecordSearch
from worker.monitor.site import Site, host_rule
from worker.monitor.view import View
from worker.storage.archive import RecordArchive
from worker.storage.disk import OsDisk
from worker.storage.records import RecordFile


class Monitor:
    def __init__(self, path: Path, password: str | None = None) -> None:
        self.view = View()
        self.age_s: float | None = None
        self.path = path
        search = RecordSearch(RecordArchive(path))
        self.site = Site(
            self.view, importlib.resources.files("frontend"), lambda: self.age_s, search, password
        )

    def ask(self, target: str, method: str = "GET", **headers: str) -> Response:
        fields = [("host", "a"), ("content-length", "0")]
        fields += [(name.replace("_", "-"), value) for name, value in headers.items()]
        answer = self.site.handle(Request(parse_head(f"{method} {target} HTTP/1.1", fields, Limits())))
        if isinstance(answer, Deferred):
            came: Queue[Response] = Queue()
            answer.deliver_to(came.put)
            answer = came.get(timeout=10)
        assert isinstance(answer, Response)
        return answer

    def json(self, target: str) -> Any:
        return json.loads(self.ask(target).body)


@pytest.fixture
def monitor(tmp_path: Path) -> Monitor:
    built = Monitor(tmp_path)
    built.view.take({"about": "status", "row": {"id": "a", "role": "leader", "term": 2}, "peers": []})
    built.view.take(
        {
            "about": "changes",
            "index": 5,
            "changes": [{"set": "files", "id": 5, "value": {"id": 5, "name": "x"}}],
        }
    )
    built.view.take({"about": "records", "records": [{"record": number} for number in range(1, 2001)]})
    built.view.take({"about": "applied", "rows": [[5, 2, "command", 0, ""]]})
    return built


def test_the_contract_s_addresses_answer(monitor: Monitor) -> None:
    assert monitor.json("/api/status")["role"] == "leader"
    assert monitor.json("/api/files")["files"] == [{"id": 5, "name": "x", "changed": 5}]
    assert monitor.json("/api/models")["models"] == []
    assert monitor.json("/api/log?after=4")["entries"][0]["index"] == 5
    assert [row["record"] for row in monitor.json("/api/records?after=1998")["records"]] == [1999, 2000]
    assert monitor.ask("/").body.startswith(b"<!doctype html>")
    assert dict(monitor.ask("/common/html.js").headers)["Content-Type"].startswith("text/javascript")
    assert b"minka_term" in monitor.ask("/metrics").body


def test_a_worker_that_is_starting_says_so(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    with pytest.raises(ServiceUnavailable):
        monitor.ask("/api/status")
    assert monitor.json("/api/files")["files"] == []


def test_pages_are_bounded_whatever_is_asked(monitor: Monitor) -> None:
    assert len(monitor.json("/api/records")["records"]) == 1000
    assert len(monitor.json("/api/records?limit=999999")["records"]) == 1000
    assert len(monitor.json("/api/records?tail=3")["records"]) == 3


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=", "after=1e3", "after=²", "key=1", "limit=" + "9" * 40]
)
def test_a_query_that_means_nothing_is_refused(monitor: Monitor, query: str) -> None:
    with pytest.raises(BadRequest):
        monitor.ask(f"/api/records?{query}".replace("²", "%C2%B2"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(monitor: Monitor, method: str) -> None:
    for path in ("/", "/api/files", "/api/events", "/healthz", "/nothing"):
        with pytest.raises(MethodNotAllowed):
            monitor.ask(path, method)


@pytest.mark.parametrize(
    "path", ["/api/keys", "/api/", "/app/index.html", "/common/../__init__.py", "/__init__.py"]
)
def test_only_the_monitor_s_own_pages_are_found(monitor: Monitor, path: str) -> None:
    with pytest.raises(NotFound):
        monitor.ask(path)


def test_health_needs_a_leader(monitor: Monitor) -> None:
    assert monitor.ask("/healthz").status == 200
    monitor.view.take({"about": "status", "row": {"id": "a", "role": "candidate"}, "peers": []})
    assert monitor.ask("/healthz").status == 503
    monitor.age_s = 60.0
    assert monitor.json("/healthz") == {"healthy": False, "leader": None, "status_age_s": 60.0}


def test_hosts_are_addresses_or_the_machine_s_own_names() -> None:
    allows = host_rule({"Lab-3.local"})
    assert all(allows(host) for host in ("192.168.1.9", "[::1]", "localhost", "lab-3.local"))
    assert not any(allows(host) for host in ("evil.example", "lab-3.local.evil.example", ""))


def test_all_records_are_searched_on_the_disk(monitor: Monitor) -> None:
    file = RecordFile(OsDisk(), monitor.path)
    file.append(
        {"record": number, "index": number, "client": "ana", "kind": "put", "summary": f"file {number}"}
        for number in range(1, 31)
    )
    found = monitor.json("/api/records?search=FILE+2&limit=3")
    assert [row["record"] for row in found["records"]] == [29, 28, 27]
    found = monitor.json(f"/api/records?search=FILE+2&before={found['looked_to']}")
    assert [row["record"] for row in found["records"]] == [26, 25, 24, 23, 22, 21, 20, 12, 2]
    assert found["looked_to"] == 1
    assert [row["record"] for row in monitor.json("/api/records?search=&before=3")["records"]] == [2, 1]


@pytest.mark.parametrize("query", ["search=a&after=1", "search=a&before=x", "search=" + "a" * 300])
def test_a_search_that_means_nothing_is_refused(monitor: Monitor, query: str) -> None:
    with pytest.raises(BadRequest):
        monitor.ask(f"/api/records?{query}")


def test_too_many_searches_are_put_off(monitor: Monitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "WAITING_LIMIT", 2)
    begun, go_on = Queue[None](), Queue[None]()

    class Slow(RecordArchive):
        def search(self, words: Any, before: int, limit: int) -> Any:
            begun.put(None)
            go_on.get(timeout=10)
            return super().search(words, before, limit)

    searching = RecordSearch(Slow(monitor.path))
    waiting = [searching.find("", 5, 5) for _ in range(2)]
    begun.get(timeout=10)
    with pytest.raises(ServiceUnavailable):
        searching.find("", 5, 5)
    for _ in waiting:
        go_on.put(None)
    answers: Queue[Response] = Queue()
    for one in waiting:
        one.deliver_to(answers.put)
    assert {answers.get(timeout=10).status for _ in waiting} == {200}


def test_files_are_searched_in_pages(monitor: Monitor) -> None:
    found = monitor.json("/api/files?search=X&limit=5")
    assert ([file["id"] for file in found["files"]], found["looked"], found["total"]) == ([5], 1, 1)
    assert monitor.json("/api/files?search=y")["files"] == []
    for query in ("search=x&limit=a", "search=x&after=1", "search=" + "a" * 300):
        with pytest.raises(BadRequest):
            monitor.ask(f"/api/files?{query}")


def test_vitals_and_rounds_have_addresses(monitor: Monitor) -> None:
    monitor.view.take({"about": "vitals", "vitals": {"jobs": []}})
    assert monitor.json("/api/vitals")["vitals"] == {"jobs": []}
    assert monitor.json("/api/rounds?model=none") == {"model": None, "rounds": []}
    with pytest.raises(BadRequest):
        monitor.ask("/api/rounds?id=1")


def test_the_plain_page_needs_no_script_and_writes_everything_as_text(monitor: Monitor) -> None:
    name = "<script>alert(1)</script>"
    monitor.view.take(
        {
            "about": "changes",
            "index": 6,
            "changes": [{"set": "files", "id": 6, "value": {"id": 6, "name": name, "bytes": 1234}}],
        }
    )
    page = monitor.ask("/plain").body.decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "1,234" in page
    assert 'lang="en"' in page
    assert 'href="/common/dark.css" media="(prefers-color-scheme: dark)"' in page
    assert "refresh" not in page
    assert 'http-equiv="refresh"' in monitor.ask("/plain?again=yes").body.decode()
    assert "Archivos" in monitor.ask("/plain", accept_language="es-AR,es;q=0.9").body.decode()


def test_a_starting_worker_has_a_plain_page_too(tmp_path: Path) -> None:
    assert "is starting" in Monitor(tmp_path).ask("/plain").body.decode()


def test_with_a_password_nothing_but_health_is_shown_without_it(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path, "quipu ñandú")
    right = base64.b64encode("ana:quipu ñandú".encode()).decode()
    for path in ("/", "/metrics", "/api/events", "/common/theme.css", "/nothing", "/plain"):
        for wrong in (
            "",
            "Basic",
            "Basic ###",
            f"Bearer {right}",
            "Basic " + base64.b64encode(b"ana:quipu").decode(),
        ):
            with pytest.raises(Unauthorized) as refused:
                monitor.ask(path, **({"authorization": wrong} if wrong else {}))
            assert "WWW-Authenticate" in dict(refused.value.headers)
    assert monitor.ask("/healthz").status == 503
    assert monitor.ask("/", authorization=f"Basic {right}").status == 200


def test_answers_are_compressed_where_that_pays(monitor: Monitor) -> None:
    whole = monitor.ask("/api/records")
    short = monitor.ask("/api/records", accept_encoding="br, gzip")
    assert dict(short.headers)["Content-Encoding"] == "gzip"
    assert gzip.decompress(short.body) == whole.body
    assert len(short.body) < len(whole.body) / 4
    assert "Content-Encoding" not in dict(monitor.ask("/api/models", accept_encoding="gzip").headers)
