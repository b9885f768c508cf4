"""`minka-worker` by hand: addresses, clean ends, and what goes wrong at the start."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live.cluster import LiveCluster

Start = Callable[..., LiveCluster]


class ManyAddresses(LiveCluster):
    """Each worker listens on all addresses of the machine, and tells the others one that only it has."""

    def host(self, id: str) -> str:
        number = 1 if sys.platform == "darwin" else self.ids.index(id) + 2  # macOS has one loopback address
        return f"127.0.0.{number}"

    def command(self, id: str) -> list[str]:
        command = super().command(id)
        command[command.index("--listen") + 1] = f"0.0.0.0:{self.ports[id]}"
        return [*command, "--advertise", f"{self.host(id)}:{self.ports[id]}"]


def test_workers_listen_everywhere_and_advertise_where_they_are(tmp_path: Path) -> None:
    with ManyAddresses(tmp_path / "cluster", 3) as cluster:
        rows = {row["id"]: row["address"] for row in cluster.status()["workers"]}
        assert rows == {id: f"{cluster.host(id)}:{cluster.ports[id]}" for id in cluster.ids}


def test_sigterm_ends_a_worker_cleanly_and_its_children_with_it(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    children = Path(f"/proc/{cluster.processes['w1'].pid}/task/{cluster.processes['w1'].pid}/children")
    pids = children.read_text().split() if children.exists() else []
    assert cluster.terminate("w1") == 0
    assert not [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()]


def test_a_second_worker_on_the_same_data_is_refused_in_one_line(start_cluster: Start) -> None:
    cluster = start_cluster(size=1)
    command = cluster.command("w1")
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert len(second.stderr.splitlines()) == 1, second.stderr
    assert "w1" in second.stderr


def test_a_taken_port_is_refused_in_one_line(start_cluster: Start, tmp_path: Path) -> None:
    cluster = start_cluster(size=1)
    command = cluster.command("w1")
    command[command.index("--data") + 1] = str(tmp_path / "other")
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "Cannot listen on" in second.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"--listen": "nowhere"}, 2, "HOST:PORT"),
        ({"--peers": "w1"}, 2, "ID=HOST:PORT"),
        ({"--id": "w9"}, 1, "--peers does not name this worker"),
        ({"--cores": "0"}, 1, "--cores"),
        ({"--keys": "/nonexistent"}, 1, "cannot be read"),
    ],
)
def test_wrong_words_are_said_so(tmp_path: Path, change: dict[str, str], code: int, words: str) -> None:
    command = LiveCluster(tmp_path, 1).command("w1")
    for option, value in change.items():
        command[command.index(option) + 1] = value
    ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == code
    assert words in ran.stderr
