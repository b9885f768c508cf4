"""The monitor's addresses answer from the view, and change nothing."""

import importlib.resources
import json
from typing import Any

import pytest

from shared.http1 import Limits, Request, parse_head
from shared.http_errors import BadRequest, MethodNotAllowed, NotFound, ServiceUnavailable
from shared.http_responses import Response
from worker.monitor.site import Site, host_rule
from worker.monitor.view import View


class Monitor:
    def __init__(self) -> None:
        self.view = View()
        self.age_s: float | None = None
        self.site = Site(self.view, importlib.resources.files("frontend"), lambda: self.age_s)

    def ask(self, target: str, method: str = "GET") -> Response:
        fields = [("host", "a"), ("content-length", "0")]
        answer = self.site.handle(Request(parse_head(f"{method} {target} HTTP/1.1", fields, Limits())))
        assert isinstance(answer, Response)
        return answer

    def json(self, target: str) -> Any:
        return json.loads(self.ask(target).body)


@pytest.fixture
def monitor() -> Monitor:
    built = Monitor()
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


def test_a_worker_that_is_starting_says_so() -> None:
    monitor = Monitor()
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
