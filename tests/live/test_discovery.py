"""Workers on machines of their own are found by a computer on the same network that knows nothing but the key."""

import sys
from pathlib import Path

import pytest

from backend.cli import main
from backend.discovery import look_around
from shared.discovery import key_mark
from tests.live.network import NetworkedCluster, may_be_made

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform != "linux" or not may_be_made(), reason="needs namespaces: root, and ip"),
]


def test_workers_of_a_network_without_a_router_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    for name in ("MINKA_CLUSTER", "MINKA_KEYS"):
        monkeypatch.delenv(name, raising=False)
    with NetworkedCluster(tmp_path / "cluster", 3) as cluster:
        mark = key_mark(cluster.client_key)
        found = {seen.worker: seen.address for seen in look_around(2.0) if seen.key == mark}
        assert found == {id: f"{cluster.host(id)}:{cluster.ports[id]}" for id in cluster.ids}
        assert main(["status", "--keys", str(cluster.directory / "client.keys")]) == 0
        said = capsys.readouterr().out
        assert all(cluster.host(id) in said for id in cluster.ids)
