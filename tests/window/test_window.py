"""The real window on a screen of its own (Xvfb), started as a process as `minka desktop` starts it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from backend.window import check_screen, prepare_environment
from shared.errors import Refused

pytestmark = pytest.mark.window

ROOT = Path(__file__).parents[2]
WITHIN_S = 90


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A free X display."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()
        assert number, "the X server did not start"
        yield f":{number}"
        server.terminate()


@pytest.fixture(scope="module")
def seen(display: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one life of the window has shown, from its start to its end."""
    place = tmp_path_factory.mktemp("window")
    dropped, picture = place / "dropped ñ.txt", place / "window.png"
    dropped.write_text("dropped on the window")
    environment = os.environ | {"DISPLAY": display, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
    environment.pop("QT_QPA_PLATFORM", None)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.window.window_process", str(dropped), str(picture)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout)
    assert "failure" not in told, told["failure"] + ended.stderr
    return told | {"picture": picture}


def test_it_shows_the_cluster_on_an_address_of_ours(seen: dict[str, Any]) -> None:
    assert seen["title"] == "Files · Minka"
    assert "seven.png" in seen["first_row"]
    assert seen["origin"].startswith("http://127.0.0.1:")
    assert "token" not in seen["hash"]


def test_pywebviews_own_server_does_not_run(seen: dict[str, Any]) -> None:
    assert not seen["own_server"]
    assert seen["listening"] == [int(seen["origin"].rpartition(":")[2])]
    assert not [name for name in seen["threads"] if "bottle" in name.lower() or "wsgi" in name.lower()]


def test_a_file_dropped_on_it_is_uploaded_by_its_path(seen: dict[str, Any]) -> None:
    assert seen["state"] == "done"


def test_every_page_is_drawn_by_its_web_view_too(seen: dict[str, Any]) -> None:
    assert list(seen["pages"].values()) == [
        *("Files", "Data sets", "Train", "Models", "Try it", "Cluster", "Records", "Settings")
    ]


def test_what_is_painted_is_the_page(seen: dict[str, Any]) -> None:
    with Image.open(seen["picture"]) as image:
        assert image.width >= 900
        assert image.height >= 600
        row = image.convert("RGB")
        side, card = row.getpixel((4, image.height - 4)), row.getpixel((image.width // 2, image.height // 2))
    assert side != card, "the menu and the page have different grounds"


def test_it_ends_cleanly(seen: dict[str, Any]) -> None:
    assert (seen["code"], seen["threads_left"]) == (0, [])


@pytest.mark.parametrize(
    ("environment", "words"),
    [({}, "There is no screen here"), ({"DISPLAY": ":65123"}, "No screen answers at :65123")],
)
def test_without_a_screen_it_says_so(environment: dict[str, str], words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_screen(environment)


def test_chromiums_sandbox_is_left_out_for_root_only(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for user, flags in ((0, "--mute --no-sandbox"), (1000, "--mute")):
        monkeypatch.setattr("os.geteuid", lambda user=user: user)
        environment = {"DISPLAY": display, "QTWEBENGINE_CHROMIUM_FLAGS": "--mute"}
        prepare_environment(environment)
        assert environment["QTWEBENGINE_CHROMIUM_FLAGS"] == flags
        assert environment["PYWEBVIEW_GUI"] == "qt"
