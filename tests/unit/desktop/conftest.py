"""A bridge on a fake cluster, and a client that speaks to it as the page does."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from backend.desktop.bridge import Bridge
from backend.desktop.link import Target
from tests.browser.fake_cluster import FakeCluster
from tests.browser.waiting import until

TARGET = Target((("127.0.0.1", 7400),), b"k" * 32)


class FolderChooser:
    """A person who saves everything into one folder, and has chosen `files` to open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.declines = False

    def open_files(self) -> list[Path]:
        return self.files

    def open_folder(self) -> list[Path]:
        return [self.folder]

    def save_as(self, name: str) -> Path | None:
        return None if self.declines else self.folder / name


class PageClient:
    """Requests with the token, and answers as (status, JSON)."""

    def __init__(self, bridge: Bridge) -> None:
        self.bridge = bridge
        self.headers = {"X-Minka-Token": bridge.access.token}

    def send(
        self,
        method: str,
        path: str,
        /,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        **query: Any,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.bridge.access.port, timeout=10)
        try:
            target = f"{path}?{urlencode(query)}" if query else path
            connection.request(method, target, body, self.headers if headers is None else headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def ask(self, method: str, path: str, /, body: Any = None, **query: Any) -> Any:
        status, _, answer = self.send(method, path, _as_bytes(body), **query)
        assert status == 200, answer
        return json.loads(answer)

    def refused(
        self, method: str, path: str, /, body: Any = None, **query: Any
    ) -> tuple[int, dict[str, str]]:
        status, _, answer = self.send(method, path, _as_bytes(body), **query)
        return status, json.loads(answer)

    def until_online(self) -> None:
        until(lambda: self.ask("GET", "/api/connection")["state"] == "online")

    def until_state(self, state: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            told: dict[str, Any] = self.ask("GET", "/api/connection")
            return told if told["state"] == state else None

        found = until(look)
        assert found is not None
        return found

    def until_ended(self, transfer: int) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            rows = self.ask("GET", "/api/transfers")["rows"]
            row: dict[str, Any] = next(row for row in rows if row["id"] == transfer)
            return row if row["state"] in ("done", "failed", "cancelled") else None

        found = until(look)
        assert found is not None
        return found


def _as_bytes(body: Any) -> bytes | None:
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


@pytest.fixture
def chooser(tmp_path: Path) -> FolderChooser:
    return FolderChooser(tmp_path)


@pytest.fixture
def bridge(cluster: FakeCluster, chooser: FolderChooser) -> Iterator[Bridge]:
    with Bridge(lambda: TARGET, lambda _target, _timeout: cluster, chooser, look_every_s=0.05) as started:
        yield started


@pytest.fixture
def page(bridge: Bridge) -> PageClient:
    return PageClient(bridge)
