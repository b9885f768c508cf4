"""`minka desktop`: the window (pywebview) on the local bridge.

The window is given an http:// address of ours: given a file, pywebview would start a web framework of its own. It owns
the main thread; all work is done by the bridge's threads. On Linux it is drawn by Qt, where alone dropped files come
with their paths.
"""

import argparse
import functools
import importlib
import importlib.resources
import importlib.util
import json
import logging
import os
import re
import signal
import socket
import sys
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.client import ClusterClient
from backend.desktop.bridge import Bridge
from backend.desktop.choices import FILE, ChoiceFile
from backend.desktop.finder import ClusterFinder
from backend.desktop.link import Find, Open, Target
from backend.local_state import state_directory
from backend.processes import systems_libraries
from shared.errors import Refused

TITLE = "Minka"
SIZE = (1180, 800)
LEAST_SIZE = (900, 600)
PAPER = "#f6f5f1"
SCREENLESS_PLATFORMS = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")

log = logging.getLogger(__name__)


def main(cluster: str | None = None, keys: Path | None = None, *, browser: bool = False) -> int:
    """Opens the window, or the same page in the browser, and returns when it is closed.

    `cluster` ("HOST:PORT,...") and `keys` as in every command; without them the environment, what the person has chosen
    and the local cluster last started are asked, again and again until one is there. Raises `Refused` where no window can
    be opened.
    """
    from backend.cli.options import named  # here, because the commands import this module's caller

    options = argparse.Namespace(cluster=cluster, keys=keys)
    choices = ChoiceFile(state_directory() / FILE)
    finder = ClusterFinder(functools.partial(named, options), choices)
    opens = open_browser if browser else open_window
    return opens(finder, open_client, choices)


def open_client(target: Target, timeout_s: float) -> ClusterClient:
    """The real client of a cluster."""
    return ClusterClient(target.addresses, target.key, timeout_s)


def open_window(find: Find, open_client: Open, choices: ChoiceFile | None = None) -> int:
    """Shows the window until it is closed; in the main thread only. Raises `Refused` without a screen or without Qt."""
    prepare_environment(os.environ)
    webview = load_webview()
    dialogs = WindowDialogs(webview)
    with Bridge(find, open_client, dialogs, choices=choices, evaluates_scripts=True) as bridge:
        window = webview.create_window(
            TITLE,
            bridge.address,
            width=SIZE[0],
            height=SIZE[1],
            min_size=LEAST_SIZE,
            background_color=PAPER,
            text_select=True,
        )
        dialogs.window = window
        window.events.loaded += lambda: take_drops(window, bridge)
        signal.signal(signal.SIGTERM, lambda _signal, _frame: window.destroy())
        webview.start(icon=str(importlib.resources.files("frontend") / "common" / "icon.png"))
    return 0


def open_browser(find: Find, open_client: Open, choices: ChoiceFile | None = None) -> int:
    """The same page in the person's browser, until Ctrl-C."""
    with Bridge(find, open_client, choices=choices) as bridge:
        print(f"Minka is open at {bridge.address}\nCtrl-C closes it.", file=sys.stderr)
        with systems_libraries():
            webbrowser.open(bridge.address)
        try:
            bridge.wait()
        except KeyboardInterrupt:
            return 0
    return 0


class WindowDialogs:
    """The system's dialogs for files, over the window."""

    def __init__(self, webview: Any) -> None:
        self._webview = webview
        self.window: Any = None

    def open_files(self) -> list[Path]:
        """The files that the person chose."""
        chosen = self.window.create_file_dialog(self._webview.FileDialog.OPEN, allow_multiple=True)
        return [Path(path) for path in chosen or ()]

    def open_folder(self) -> list[Path]:
        """The folder that the person chose."""
        chosen = self.window.create_file_dialog(self._webview.FileDialog.FOLDER)
        return [Path(path) for path in chosen or ()]

    def save_as(self, name: str) -> Path | None:
        """Where the person wants it; an existing file is theirs to replace, the dialog has asked."""
        chosen = self.window.create_file_dialog(self._webview.FileDialog.SAVE, save_filename=name)
        if not chosen:
            return None
        return Path(chosen if isinstance(chosen, str) else chosen[0])


def take_drops(window: Any, bridge: Bridge) -> None:
    """Hands files that are dropped on the loaded page to the bridge, and their handles to the page.

    Only a handler in Python is told the full paths.
    """
    handler = importlib.import_module("webview.dom").DOMEventHandler

    def dropped(event: Mapping[str, Any]) -> None:
        files = event.get("dataTransfer", {}).get("files", [])
        paths = [Path(path) for file in files if (path := file.get("pywebviewFullPath"))]
        offers = [offer.row() for offer in bridge.handles.offer(paths)]
        if offers:
            detail = json.dumps(offers)
            window.evaluate_js(f'dispatchEvent(new CustomEvent("minka-dropped", {{detail: {detail}}}))')

    window.dom.document.events.drop += handler(dropped, prevent_default=True)
    window.evaluate_js('document.documentElement.dataset.host = "window"')


def prepare_environment(environment: Any) -> None:
    """What Qt needs to be told before it is loaded. Raises `Refused` where there is no screen.

    As root Chromium's own sandbox refuses to run.
    """
    if not sys.platform.startswith("linux"):
        return
    if environment.get("QT_QPA_PLATFORM", "").partition(":")[0] not in SCREENLESS_PLATFORMS:
        check_screen(environment)
    environment["PYWEBVIEW_GUI"] = "qt"
    if os.geteuid() == 0:
        flags = environment.get("QTWEBENGINE_CHROMIUM_FLAGS", "").split()
        if "--no-sandbox" not in flags:
            environment["QTWEBENGINE_CHROMIUM_FLAGS"] = " ".join([*flags, "--no-sandbox"])


def check_screen(environment: Mapping[str, str]) -> None:
    """Raises `Refused` when no display is named, or nobody listens there: Qt itself would end the process."""
    display = environment.get("DISPLAY", "")
    if environment.get("WAYLAND_DISPLAY"):
        return
    if not display:
        raise Refused(
            "There is no screen here (DISPLAY is not set).",
            'Run it on a computer with a screen, or open the same page with "minka desktop --browser".',
        )
    local = re.fullmatch(r"(?:unix)?:(\d{1,5})(?:\.\d+)?", display)
    if local and not _x_server_listens(int(local[1])):
        raise Refused(f"No screen answers at {display}.", "Check DISPLAY, or start an X server there.")


def _x_server_listens(number: int) -> bool:
    path = f"/tmp/.X11-unix/X{number}"
    for address in (path, f"\0{path}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2.0)
            try:
                probe.connect(address)
            except OSError:
                continue
            return True
    return False


def load_webview() -> Any:
    """The module webview, with its Qt where that is needed. Raises `Refused` that says what to install."""
    if sys.platform.startswith("linux"):
        advice = 'Install it with: pip install "minka[desktop]"'
        if importlib.util.find_spec("PySide6") is None:
            raise Refused("The window needs Qt, which is not installed.", advice)
        try:
            importlib.import_module("PySide6.QtWebEngineWidgets")
        except ImportError as error:
            raise Refused(
                f"Qt cannot be loaded: {error}.",
                "Install what it needs; on Debian: libegl1 libgl1 libnss3 libxcb-cursor0 libxkbcommon-x11-0.",
            ) from error
    try:
        return importlib.import_module("webview")
    except ImportError as error:
        raise Refused(
            f"The window cannot be loaded: {error}.", "Install it with: pip install pywebview"
        ) from error
