"""A cluster on this machine: its processes are found again, never mistaken, and their last words are heard."""

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backend import local_cluster, local_state
from backend.local_state import LastStarted, LocalState, LocalWorker
from backend.processes import ProcessMark, is_running, kill, start_detached, stop_all, wait_for_end
from shared.errors import Refused, TimedOut
from tests.unit.backend.conftest import Ran

WAITS = "import sys; print('ready', flush=True); sys.stdin.read(); import threading; threading.Event().wait()"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], ProcessMark]]:
    """Starts programs in the background, and leaves none behind."""
    started: list[ProcessMark] = []

    def run(program: str) -> ProcessMark:
        started.append(start_detached([sys.executable, "-c", program], tmp_path / "log"))
        return started[-1]

    yield run
    for process in started:
        kill(process)
        assert wait_for_end(process, 5)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_STATE_HOME", "LOCALAPPDATA", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def wait_for_log(log: Path, text: bytes, process: ProcessMark) -> None:
    while text not in log.read_bytes():
        assert is_running(process)
        os.sched_yield()


def test_a_process_is_known_by_its_start_too(start: Callable[[str], ProcessMark]) -> None:
    process = start(WAITS)
    other = replace(process, started="another moment")
    assert is_running(process)
    assert not is_running(other)
    stop_all([other], 0.1)
    kill(other)
    assert is_running(process)


def test_a_process_that_has_ended_is_not_running(start: Callable[[str], ProcessMark]) -> None:
    process = start("pass")
    assert wait_for_end(process, 5)
    stop_all([process], 0.1)


def test_stopping_asks_first_and_kills_in_the_end(
    start: Callable[[str], ProcessMark], tmp_path: Path
) -> None:
    deaf = start(IGNORES_SIGTERM)
    wait_for_log(tmp_path / "log", b"ready", deaf)
    stop_all([start(WAITS), deaf], 0.2)
    assert not is_running(deaf)


def test_a_background_process_has_its_own_session(start: Callable[[str], ProcessMark]) -> None:
    assert os.getsid(start(WAITS).pid) != os.getsid(0)


def test_what_is_written_down_is_read_again(tmp_path: Path) -> None:
    state = LocalState((LocalWorker("w1", "127.0.0.1:1", "127.0.0.1:2", ProcessMark(7, "x")),), 2)
    assert local_state.load_state(tmp_path) is None
    local_state.save_state(tmp_path, state)
    assert local_state.load_state(tmp_path) == state
    last = LastStarted(str(tmp_path), "127.0.0.1:1", "keys")
    local_state.remember_last(last)
    local_state.forget_last(tmp_path / "another")
    assert local_state.last_started() == last
    local_state.forget_last(tmp_path)
    assert local_state.last_started() is None


def test_a_damaged_state_is_said(tmp_path: Path) -> None:
    (tmp_path / local_state.STATE_FILE).write_text('{"workers": 7}')
    with pytest.raises(Refused, match="cannot be understood"):
        local_state.load_state(tmp_path)


def run_instead(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(local_cluster, "_command", lambda *_: [sys.executable, "-c", program])


def test_a_worker_that_ends_at_once_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, "import sys; print('first line'); sys.exit('the address is in use')")
    with pytest.raises(Refused, match=r"Worker w\d ended at once: .*the address is in use"):
        local_cluster.start(tmp_path / "data", 2, 1, 20.0, lambda _: None)
    assert local_state.load_state(tmp_path / "data") is None
    assert local_state.last_started() is None


def test_a_cluster_without_a_leader_is_stopped_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_instead(monkeypatch, WAITS)
    with pytest.raises(TimedOut, match=r"not ready within 0.5 s: w1, w2 did not take part"):
        local_cluster.start(tmp_path / "data", 2, 1, 0.5, lambda _: None)
    state = local_state.load_state(tmp_path / "data")
    assert state is not None
    assert not any(is_running(worker.process) for worker in state.workers if worker.process)


def test_ports_are_different_and_free() -> None:
    with local_cluster._free_ports(20) as ports:
        assert len(set(ports)) == 20
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_a_cluster_keeps_its_size(tmp_path: Path) -> None:
    worker = LocalWorker("w1", "127.0.0.1:1", "127.0.0.1:2")
    local_state.save_state(tmp_path, LocalState((worker,), 2))
    with pytest.raises(Refused, match="has workers w1 to w1, not 3"):
        local_cluster.start(tmp_path, 3, None, 1.0, lambda _: None)
    with pytest.raises(Refused, match="1 to 64"):
        local_cluster.start(tmp_path / "new", 0, None, 1.0, lambda _: None)


def test_down_is_idempotent(
    tmp_path: Path, minka: Callable[..., Ran], start: Callable[[str], ProcessMark]
) -> None:
    worker = LocalWorker("w1", "127.0.0.1:1", "127.0.0.1:2", start(WAITS))
    local_state.save_state(tmp_path, LocalState((worker, replace(worker, id="w2", process=None)), 2))
    assert json.loads(minka("cluster", "down", "--data", tmp_path, "--json").out) == {"stopped": ["w1"]}
    assert json.loads(minka("cluster", "down", "--data", tmp_path, "--json").out) == {"stopped": []}
    ran = minka("cluster", "down", "--data", tmp_path / "none")
    assert ran.code == 1
    assert "no local cluster" in ran.err
    assert minka("cluster", "down").code == 1
