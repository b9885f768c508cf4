"""Child processes of the node: real ones, small and quick, that join, die and are started again."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import MinkaError
from shared.frames import Frame, FrameType
from worker import children
from worker.children import Child, Children
from worker.loop import Loop

GOOD = """
from worker.child import join_node
stream, settings = join_node()
while True:
    frame = stream.receive()
    if frame.header["op"] == "die":
        raise SystemExit(3)
    stream.send(type(frame)(frame.type.REPLY, {"id": frame.header["id"], "name": settings["name"]}))
"""
BAD = "raise SystemExit(5)"


class Bench:
    """A real loop that turns only when the test waits for something."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.logged: list[str] = []
        self.children = Children(self.loop, "w1", self.logged.append)

    def until(self, done: Callable[[], Any]) -> None:
        deadline = self.loop.call_later(30, self.loop.stop)
        self.loop._stopping = False

        def look() -> None:
            if done():
                self.loop.stop()

        self.loop.run(look)
        assert deadline.due > self.loop.now, "it did not come about"
        deadline.cancel()

    def call(self, child: Child, op: str) -> list[Any]:
        heard: list[Any] = []
        assert child.connection is not None
        child.connection.call(op, {}, b"", lambda answer, body: heard.append(answer))
        self.until(lambda: heard)
        return heard


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(children, "RESTART_S", 0.02)
    bench = Bench()
    yield bench
    bench.children.close()
    bench.loop.close()


def start(bench: Bench, monkeypatch: pytest.MonkeyPatch, script: str) -> Child:
    """A child that runs `script` instead of a module of the worker."""
    spawn = children.subprocess.Popen

    def run(command: list[str], **options: Any) -> Any:
        return spawn([sys.executable, "-c", script], **options)

    monkeypatch.setattr(children.subprocess, "Popen", run)
    child = bench.children.add("kid", "no.module", {"x": 1}, dict(os.environ))
    child.start()
    return child


def test_a_child_joins_and_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start(bench, monkeypatch, GOOD)
    bench.until(lambda: child.connection)
    assert bench.call(child, "name")[0]["name"] == "kid"


def test_a_child_that_dies_fails_its_calls_and_is_started_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(bench, monkeypatch, GOOD)
    told: list[str] = []
    child.joined, child.left = lambda: told.append("joined"), lambda error: told.append("left")
    bench.until(lambda: child.connection)
    first = child.pid
    assert isinstance(bench.call(child, "die")[0], MinkaError)
    bench.until(lambda: child.connection and child.pid != first)
    assert told == ["joined", "left", "joined"]
    assert "ended with code 3" in bench.logged[0]


def test_a_child_that_ends_at_once_is_tried_again_less_and_less_often(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(bench, monkeypatch, BAD)
    bench.until(lambda: len(bench.logged) >= 3)
    assert child.connection is None
    assert child._delay_s >= 0.08


def test_a_system_that_cannot_start_a_process_is_asked_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [OSError(11, "Resource temporarily unavailable")]
    spawn = Child._spawn

    def spawn_later(child: Child) -> Any:
        if refusals:
            raise refusals.pop()
        return spawn(child)

    monkeypatch.setattr(Child, "_spawn", spawn_later)
    child = start(bench, monkeypatch, GOOD)
    bench.until(lambda: child.connection)
    assert "cannot be started" in bench.logged[0]


def test_stopping_ends_every_process_for_sure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = "import sys, threading; threading.Event().wait()"
    child = start(bench, monkeypatch, deaf)
    process = child._process
    assert process is not None
    bench.children.close()
    assert process.poll() is not None
    assert child.pid is None


def test_stopping_one_child_waits_for_nothing_and_leaves_no_zombie(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(bench, monkeypatch, GOOD)
    bench.until(lambda: child.connection)
    process = child._process
    assert process is not None

    def wait(timeout: float | None = None) -> int:
        raise AssertionError("the node thread has no time to wait")

    with monkeypatch.context() as patched:
        patched.setattr(process, "wait", wait)
        child.stop()
        bench.until(lambda: process.returncode is not None)
    assert child.pid is None


def test_a_child_is_started_again_only_when_its_process_has_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would write the same files; a process that is killed may still be in the middle of a write."""
    child = start(bench, monkeypatch, GOOD)
    bench.until(lambda: child.connection)
    process = child._process
    assert process is not None
    looks: list[None] = []
    with monkeypatch.context() as patched:
        patched.setattr(process, "poll", lambda: looks.append(None))
        child.stop()
        child.start()
        bench.until(lambda: len(looks) >= 3)
        assert child.pid is None
    bench.until(lambda: child.connection)


def test_a_child_that_is_stopped_before_its_turn_is_not_started(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start(bench, monkeypatch, GOOD)
    bench.until(lambda: child.connection)
    spawned: list[Child] = []
    monkeypatch.setattr(Child, "_spawn", spawned.append)
    child.stop()
    child.start()
    child.stop()
    bench.until(lambda: child._dying is None)
    child.check()
    assert spawned == []


@pytest.mark.parametrize(
    "module", ["worker.compaction", "worker.monitor", "worker.serving.predictor", "worker.training.trainer"]
)
def test_a_child_whose_node_is_killed_ends_without_a_word(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str
) -> None:
    """Its connection breaks, perhaps before its standard input ends."""
    spawn = children.subprocess.Popen

    def run(command: list[str], **options: Any) -> Any:
        return spawn(command, stderr=subprocess.PIPE, **options)

    monkeypatch.setattr(children.subprocess, "Popen", run)
    settings = {
        "data": str(tmp_path),
        "id": 1,
        "listen_host": "127.0.0.1",
        "listen_port": 0,
        "static": None,
        "records": "none",
    }
    child = bench.children.add("kid", module, settings, dict(os.environ))
    child.start()
    bench.until(lambda: child.connection)
    process = child._process
    assert child.connection is not None
    assert process is not None
    assert process.stderr is not None
    child.connection.close(MinkaError("The node was killed."))
    with process.stderr:
        assert process.stderr.read() == b""


def test_a_child_whose_node_is_killed_before_it_said_a_word_ends_without_one() -> None:
    command = [sys.executable, "-m", "worker.compaction"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


def test_who_has_not_the_token_is_no_child(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start(bench, monkeypatch, GOOD)
    bench.children.invitation["token"] = bytes(32).hex()
    child.stop()
    child.start()
    bench.until(lambda: bench.logged)
    assert child.connection is None


def test_a_notice_of_a_child_is_heard(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    script = """
from shared.frames import Frame, FrameType
from worker.child import join_node
stream, settings = join_node()
stream.send(Frame(FrameType.NOTICE, {"about": "settings", "x": settings["x"]}))
stream.receive()
"""
    child = start(bench, monkeypatch, script)
    heard: list[Frame] = []
    child.heard = heard.append
    bench.until(lambda: heard)
    assert (heard[0].type, heard[0].header["x"]) == (FrameType.NOTICE, 1)
