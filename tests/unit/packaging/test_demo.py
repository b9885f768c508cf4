"""The demonstration stops what it started, whatever happens."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import demo
import environment
import pytest
from terminal import Terminal

HERE = Path(__file__).resolve().parent
RUN_IT = """
import sys
import demo, environment
from terminal import Terminal
environment.program = lambda name: sys.argv[1]
demo.run(Terminal(sys.stdout), window=False, keep=False)
"""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that lists the commands; temporary folders go under `tmp_path` too."""
    path = tmp_path / "asked.txt"
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("ASKED", str(path))
    monkeypatch.setenv("TRAINING", "well")
    monkeypatch.setattr(environment, "program", lambda name: str(_scripted_program(tmp_path)))
    return path


def test_it_shows_every_step_and_stops_the_cluster(asked: Path, tmp_path: Path) -> None:
    screen = io.StringIO()
    demo.run(Terminal(screen), window=False, keep=False)
    shown = screen.getvalue()
    for part in (
        "w2  127.0.0.1:7002",
        "leads",
        "model m-1",
        "93.1 %",
        "7 ok 99.5 %",
        "http://127.0.0.1:8003/",
    ):
        assert part in shown
    assert _commands(asked) == ["cluster up", "put", "train", "predict", "verify", "cluster down"]
    assert list((tmp_path / "temporary").iterdir()) == []


def test_keep_leaves_the_cluster_and_says_how_to_stop_it(asked: Path, tmp_path: Path) -> None:
    screen = io.StringIO()
    demo.run(Terminal(screen), window=False, keep=True)
    (folder,) = (tmp_path / "temporary").iterdir()
    assert f"cluster down --data {folder / 'data'}" in screen.getvalue()
    assert "cluster down" not in _commands(asked)


def test_a_screen_gets_the_window_before_the_cluster_stops(asked: Path) -> None:
    demo.run(Terminal(io.StringIO()), window=True, keep=False)
    assert _commands(asked)[-2:] == ["desktop", "cluster down"]


def test_a_failure_stops_the_cluster_even_with_keep(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING", "badly")
    with pytest.raises(demo.DemoFailed, match=r"minka train .* exit code 1"):
        demo.run(Terminal(io.StringIO()), window=False, keep=True)
    assert _commands(asked)[-1] == "cluster down"


def test_a_failure_leaves_what_the_workers_wrote(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING", "badly")
    screen = io.StringIO()
    with pytest.raises(demo.DemoFailed):
        demo.run(Terminal(screen), window=False, keep=False)
    (folder,) = (tmp_path / "temporary").iterdir()
    assert str(folder / "data") in screen.getvalue()


def test_a_cluster_that_did_not_start_is_not_stopped(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING", "never")
    with pytest.raises(demo.DemoFailed, match=r"minka cluster up .* exit code 1"):
        demo.run(Terminal(io.StringIO()), window=False, keep=False)
    assert _commands(asked) == ["cluster up"]


# Windows cannot send a signal to one process.
@pytest.mark.parametrize("number", [] if sys.platform == "win32" else [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_stops_the_cluster(number: signal.Signals, asked: Path, tmp_path: Path) -> None:
    packaging = Path(demo.__file__).parent
    with subprocess.Popen(
        [sys.executable, "-u", "-c", RUN_IT, str(_scripted_program(tmp_path))],
        env={**os.environ, "TRAINING": "forever", "PYTHONPATH": str(packaging)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Training"):
                break
        process.send_signal(number)  # before, while or after the training starts: each must end well
        process.communicate(timeout=20)
    assert process.returncode != 0
    assert _commands(asked)[-1] == "cluster down"
    assert list((tmp_path / "temporary").iterdir()) == []


def _commands(asked: Path) -> list[str]:
    """The commands in their order, without their options."""
    lines = asked.read_text(encoding="utf-8").splitlines()
    return [" ".join(line.split()[:2]) if line.startswith("cluster") else line.split()[0] for line in lines]


def _scripted_program(folder: Path) -> Path:
    """An executable that runs the scripted command line with this Python."""
    windows = sys.platform == "win32"
    path = folder / ("minka.bat" if windows else "minka")
    script = HERE / "scripted_minka.py"
    path.write_text(
        f'@"{sys.executable}" "{script}" %*\n'
        if windows
        else f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n'
    )
    path.chmod(0o755)
    return path
