"""What a worker is told at its start: understood, or refused in one line."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import Refused
from worker.__main__ import main
from worker.settings import read_address, read_keys, read_peers, write_address

KEYS = {"cluster": "ab" * 32, "client": "cd" * 32}


@pytest.mark.parametrize("text", ["127.0.0.1:7000", "[::1]:7000", "lab-3.local:0"])
def test_an_address_survives_its_way(text: str) -> None:
    assert write_address(read_address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":7000", "host:port", "host:70000", "host:-1", "host:²"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|literal"):
        read_address(text)


def test_peers_are_read_in_order_and_once_each() -> None:
    assert read_peers("w1=a:1, w2=[::1]:2") == {"w1": ("a", 1), "w2": ("::1", 2)}
    for text in ("", "w1", "=a:1", "w1=a", "w1=a:1,w1=b:2"):
        with pytest.raises(ValueError, match=r"."):
            read_peers(text)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        json.dumps({"cluster": "ab" * 32}).encode(),
        json.dumps(KEYS | {"client": "xyz"}).encode(),
        json.dumps(KEYS | {"client": None}).encode(),
        json.dumps(KEYS | {"client": "ab"}).encode(),
    ],
)
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cluster.keys"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"cluster\.keys"):
        read_keys(path)


def test_a_key_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be read"):
        read_keys(tmp_path / "none")


def command(tmp_path: Path, **changed: str) -> list[str]:
    keys = tmp_path / "cluster.keys"
    keys.write_text(json.dumps(KEYS))
    given = {
        "id": "w1",
        "data": str(tmp_path / "data"),
        "listen": "127.0.0.1:0",
        "monitor": "127.0.0.1:0",
        "peers": "w1=127.0.0.1:7001",
        "keys": str(keys),
        "cores": "1",
    } | changed
    return [part for name, value in given.items() for part in (f"--{name}", value)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("listen", "nowhere"), ("peers", "w1"), ("cores", "many"), ("monitor", ":1"), ("nonsense", "1")],
)
def test_wrong_usage_is_2_and_names_the_argument(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command(tmp_path, **{name: value}))
    assert ended.value.code == 2
    assert f"--{name}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("id", "w9", "does not name this worker"),
        ("cores", "0", "--cores is 0"),
        ("cores", "5000", "--cores is 5000"),
        ("keys", "nowhere", "cannot be read"),
        ("peers", "w1=a:1,w\x07=b:2", "no name for a worker"),
        ("peers", "w1=a:1," + "x" * 200 + "=b:2", "no name for a worker"),
        ("peers", ",".join(f"w{number}=a:{number}" for number in range(70)), "at most 64"),
    ],
)
def test_what_cannot_be_is_1_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    assert main(command(tmp_path, **{name: value})) == 1
    assert said in capsys.readouterr().err


def start(tmp_path: Path, **changed: str) -> "subprocess.CompletedProcess[str]":
    """A worker of its own that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "worker", *command(tmp_path, **changed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_data_directory_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no directory")
    ended = start(tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert str(tmp_path / "data") in ended.stderr


def test_a_port_that_is_taken_is_refused_and_nothing_keeps_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = start(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
    assert ended.returncode == 1
    assert "Cannot listen" in ended.stderr
    assert "--listen" in ended.stderr


def test_a_scratch_directory_that_cannot_be_made_ends_the_worker_whole(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "scratch").write_text("in the way")
    ended = start(tmp_path)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr


def test_only_children_of_the_worker_can_be_started_so(capsys: pytest.CaptureFixture[str]) -> None:
    for given in (["--child"], ["--child", "os"]):
        with pytest.raises(SystemExit) as ended:
            main(given)
        assert ended.value.code == 2
