"""The monitor as a process: it listens, says so, and ends with its node."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from shared.frames import Frame, FrameType
from tests.browser.fake_node import FakeNode, Story


def test_it_answers_over_http_and_ends_when_the_node_s_connection_breaks(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "records") as node:
        Story(node).begin()
        with urllib.request.urlopen(f"{node.address}/api/events", timeout=10) as events:
            status = next(line for line in events if line.startswith(b"data: ") and b"commit_index" in line)
        assert json.loads(status.removeprefix(b"data: "))["leader"] == "w2"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{node.address}/api/files", data=b"x", timeout=10)
        assert refused.value.code == 405
        refused.value.close()
        node.stream.close()
        assert node.process.wait(10) == 0


def test_it_ends_when_the_node_s_pipe_ends(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "records") as node:
        assert node.process.stdin is not None
        node.process.stdin.close()
        assert node.process.wait(10) == 0


def test_a_node_that_talks_nonsense_ends_it_with_an_error(tmp_path: Path) -> None:
    with FakeNode(tmp_path / "records") as node:
        node.stream.send(Frame(FrameType.REQUEST, {"id": 1, "op": "status"}))
        assert node.process.wait(10) == 1


def test_an_address_that_is_taken_is_told_to_the_node(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}"):
            FakeNode(tmp_path / "other", port)
