"""A link that is cut in the middle of a transfer: it goes on at the missing chunk, also under the next client."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.client import ClusterClient
from backend.transfers import download, fetch, upload
from shared.errors import MinkaError
from shared.messages import CHUNK_BYTES
from tests.live.cluster import LiveCluster
from tests.live.cut_link import CutLink

SIZE_BYTES = 8 * CHUNK_BYTES + 1_234
CUT_BYTES = 5 * CHUNK_BYTES + 500_000
AGAIN_BYTES = CHUNK_BYTES + 300_000
"""What may be sent twice: a chunk that was cut off, and all that is said beside the bytes."""
DATA = random.Random(1).randbytes(SIZE_BYTES)


class BehindALink(LiveCluster):
    """One worker, and clients that come over the link."""

    link: CutLink

    def command(self, id: str) -> list[str]:
        host, port = self.link.address
        return [*super().command(id), "--advertise", f"{host}:{port}"]

    def client(self, timeout_s: float = 20.0, name: str = "test") -> ClusterClient:
        return ClusterClient([self.link.address], self.client_key, timeout_s, name)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BehindALink]:
    cluster = BehindALink(tmp_path / "cluster", 1)
    with CutLink(cluster.ports["w1"]) as cluster.link, cluster:
        yield cluster


def test_an_upload_goes_on_at_the_missing_chunk(cluster: BehindALink) -> None:
    cluster.link.cut_after("up", CUT_BYTES)
    with cluster.client() as client:
        row = upload(client, DATA, "large")
        assert cluster.link.cuts == 1
        assert cluster.link.passed["up"] < SIZE_BYTES + AGAIN_BYTES
        assert fetch(client, row["digest"], row["bytes"]) == DATA


def test_a_download_goes_on_at_the_missing_chunk(cluster: BehindALink, tmp_path: Path) -> None:
    with cluster.client() as client:
        row = upload(client, DATA, "large")
        before = cluster.link.passed["down"]
        cluster.link.cut_after("down", CUT_BYTES)
        download(client, row, tmp_path / "back")
    assert cluster.link.cuts == 1
    assert cluster.link.passed["down"] - before < SIZE_BYTES + AGAIN_BYTES
    assert (tmp_path / "back").read_bytes() == DATA


def test_an_upload_goes_on_under_the_next_client(cluster: BehindALink) -> None:
    cluster.link.cut_after("up", CUT_BYTES, stays_down=True)
    with cluster.client(timeout_s=1.0) as client, pytest.raises(MinkaError):
        upload(client, DATA, "large")
    cluster.link.down = False
    began_at: list[int] = []
    with cluster.client() as client:
        row = upload(client, DATA, "large", lambda done, total: began_at.append(done))
        assert fetch(client, row["digest"], row["bytes"]) == DATA
    assert began_at[0] > CUT_BYTES - CHUNK_BYTES
    assert cluster.link.passed["up"] < SIZE_BYTES + 2 * AGAIN_BYTES


def test_a_download_goes_on_under_the_next_client(cluster: BehindALink, tmp_path: Path) -> None:
    with cluster.client() as client:
        row = upload(client, DATA, "large")
    before = cluster.link.passed["down"]
    cluster.link.cut_after("down", CUT_BYTES, stays_down=True)
    with cluster.client(timeout_s=1.0) as client, pytest.raises(MinkaError):
        download(client, row, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    cluster.link.down = False
    began_at: list[int] = []
    with cluster.client() as client:
        download(client, row, tmp_path / "back", lambda done, total: began_at.append(done))
    assert began_at[0] > CUT_BYTES - CHUNK_BYTES
    assert cluster.link.passed["down"] - before < SIZE_BYTES + 2 * AGAIN_BYTES
    assert (tmp_path / "back").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["back"]
