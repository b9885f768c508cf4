"""The real window as a process of its own: it owns its main thread. Run by test_window.py under an X server.

Drives itself as a person would, writes what it saw to stdout as one JSON document, and closes its window.
Arguments: a file to drop, where the picture of the window goes.
"""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.desktop.link import Target
from backend.window import open_window
from tests.browser.fake_cluster import FakeCluster, furnish
from tests.browser.hands import PAGES
from tests.browser.waiting import until

WITHIN_S = 30.0


def main() -> int:
    dropped, picture = Path(sys.argv[1]), Path(sys.argv[2])
    cluster = FakeCluster()
    furnish(cluster)
    seen: dict[str, Any] = {}
    driver = threading.Thread(target=drive, args=(cluster, dropped, picture, seen), daemon=True)
    driver.start()
    target = Target((("127.0.0.1", 7400),), b"k" * 32)
    seen["code"] = open_window(lambda: target, lambda _target, _timeout: cluster)
    driver.join(WITHIN_S)
    seen["threads_left"] = [
        thread.name for thread in threading.enumerate() if thread.name.startswith("bridge")
    ]
    json.dump(seen, sys.stdout)
    return 0


def drive(cluster: FakeCluster, dropped: Path, picture: Path, seen: dict[str, Any]) -> None:
    window = until(lambda: (getattr(sys.modules.get("webview"), "windows", None) or [None])[0], WITHIN_S)
    try:
        window.events.loaded.wait(WITHIN_S)

        def page(script: str) -> Any:
            return window.evaluate_js(script)

        until(lambda: page("document.documentElement.dataset.host") == "window", WITHIN_S)
        until(lambda: page('document.querySelectorAll("#rows tr").length') == 7, WITHIN_S)
        seen["title"] = page("document.title")
        seen["first_row"] = page('document.querySelector("#rows .file-name").innerText')
        seen["origin"] = page("location.origin")
        seen["hash"] = page("location.hash")
        seen["threads"] = [thread.name for thread in threading.enumerate()]
        seen["own_server"] = sys.modules["webview"].http.global_server is not None
        seen["listening"] = listening_ports()
        drop(window, dropped)
        until(lambda: any(row["name"] == dropped.name for row in cluster.files.values()), WITHIN_S)
        until(lambda: page('document.querySelectorAll("#rows tr").length') == 8, WITHIN_S)
        seen["state"] = page('document.querySelector("#queue-rows li").dataset.state')
        until(lambda: shows_words(window, picture), WITHIN_S)
        seen["pages"] = {name: visited(page, name) for name in PAGES}
    except BaseException as error:
        seen["failure"] = repr(error)
    finally:
        window.destroy()


def visited(page: Callable[[str], Any], name: str) -> str:
    """The title of a page, once it is shown; or the fault that it had."""
    page(f'location.hash = "#/{name}"')
    until(lambda: page(f"document.querySelector('.page-{name}') !== null"), WITHIN_S)
    return str(page('document.querySelector(".fault .code, #page h1").textContent'))


def listening_ports() -> list[int]:
    """The TCP ports on which this very process listens."""
    own = {link for entry in Path("/proc/self/fd").iterdir() if (link := _link(entry)).startswith("socket:")}
    ports = []
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own:
                ports.append(int(fields[1].rsplit(":", 1)[1], 16))
    return ports


def _link(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:
        return ""


def on_gui_thread(work: Callable[[], Any]) -> None:
    """Runs `work` where Qt lives, and waits for it."""
    from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal

    class Caller(QObject):
        call = Signal()

    ended = threading.Event()

    def run() -> None:
        try:
            work()
        finally:
            ended.set()

    caller = Caller()
    caller.moveToThread(QCoreApplication.instance().thread())
    caller.call.connect(run, Qt.ConnectionType.QueuedConnection)
    caller.call.emit()
    assert ended.wait(WITHIN_S)


def drop(window: Any, path: Path) -> None:
    """Drags a file over the middle of the window until the page shows that it would take it, and lets go.

    These are the events that Qt sends to a web view; the page answers them a little later.
    """
    from PySide6.QtCore import QMimeData, QPointF, Qt, QUrl
    from PySide6.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
    from PySide6.QtWidgets import QApplication

    view = window.native.webview
    carried = QMimeData()
    carried.setUrls([QUrl.fromLocalFile(str(path))])
    middle = QPointF(view.width() / 2, view.height() / 2)
    how = (Qt.DropAction.CopyAction, carried, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)

    def send(event: Any) -> None:
        on_gui_thread(lambda: QApplication.sendEvent(view, event))

    def over_the_page() -> bool:
        send(QDragMoveEvent(middle.toPoint(), *how))
        return bool(window.evaluate_js('!document.querySelector("#drop-veil").hidden'))

    send(QDragEnterEvent(middle.toPoint(), *how))
    until(over_the_page, WITHIN_S)
    send(QDragMoveEvent(middle.toPoint(), *how))
    send(QDropEvent(middle, *how))


def shows_words(window: Any, picture: Path) -> bool:
    """Takes the picture of the window; whether more than an empty page is painted on it."""
    on_gui_thread(lambda: window.native.grab().save(str(picture)))
    from PIL import Image

    with Image.open(picture) as image:
        return len(image.convert("L").resize((300, 200)).getcolors(60_000) or ()) > 40


if __name__ == "__main__":
    sys.exit(main())
