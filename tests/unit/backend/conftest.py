"""A scripted cluster of three workers, and clients of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backend.addresses import format_addresses
from backend.cli import main
from backend.client import ClusterClient
from tests.unit.backend.fake_cluster import KEY, FakeCluster


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    cluster = FakeCluster.of(3)
    yield cluster
    cluster.close()


@pytest.fixture
def connect(cluster: FakeCluster) -> Iterator[Callable[..., ClusterClient]]:
    """Makes clients of the scripted cluster; by default they know its first worker alone."""
    with ExitStack() as stack:

        def make(*workers: int, timeout_s: float = 3.0, key: bytes = KEY) -> ClusterClient:
            addresses = [cluster.addresses[worker] for worker in workers or (0,)]
            return stack.enter_context(ClusterClient(addresses, key, timeout_s, "ana@lab"))

        yield make


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run of `minka` left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


def failed(ran: Ran, code: int, *words: str) -> None:
    """An error is one line on stderr, and with nothing else on stdout unless it is a document."""
    assert ran.code == code, ran
    assert ran.err.startswith("minka: ")
    assert ran.err.count("\n") == 1, ran.err
    for word in words:
        assert word in ran.err


@pytest.fixture
def minka(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs one command against the scripted cluster, as a user whose home is empty."""
    (tmp_path / "client.keys").write_text(json.dumps({"client": KEY.hex()}))
    for name in ("HOME", "XDG_STATE_HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("MINKA_CLUSTER", format_addresses(cluster.addresses))
    monkeypatch.setenv("MINKA_KEYS", str(tmp_path / "client.keys"))

    def run(*arguments: object) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run
