"""The monitor process: ``python -m worker.monitor``, started by its node and ending with it.

On standard input the node gives one line of JSON: besides what every child is told, ``listen_host``, ``listen_port`` (0:
any free one), ``records`` (the folder with the node's records), ``data`` (the folder with all of the node's), ``password``
(which pages ask for, or null), ``static`` (a folder with the pages, null: the installed ones) and ``names`` (host names
under which people may open it, optional). It answers with the notice ``listening`` and its ``address``, or with ``failed``
and the ``reason``.
"""

import importlib.resources
import os
import signal
import socket
import sys
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from shared.frames import Frame, FrameType
from shared.http_server import HttpServer
from worker.child import join_node
from worker.monitor.feed import Feed
from worker.monitor.machine import Machine
from worker.monitor.search import RecordSearch
from worker.monitor.site import Site, host_rule
from worker.monitor.view import View
from worker.storage.archive import RecordArchive
from worker.training.environment import lower_priority

NOTICE_S = 10.0
NICENESS = 5
"""Behind the node, whose commits no page may delay; before training, so that what pages show stays fresh."""


def main() -> int:
    """Serves until the node ends; 1 when the address cannot be listened on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the node ends this process
    lower_priority(NICENESS)
    node, settings = join_node()
    view = View()
    feed = Feed(node, view, Machine(Path(settings["data"]), os.getppid()))
    search = RecordSearch(RecordArchive(Path(settings["records"])))
    site = Site(view, _pages(settings), feed.status_age_s, search, settings.get("password"))
    listen = (str(settings["listen_host"]), int(settings["listen_port"]))
    try:
        server = HttpServer(listen, site.handle, allows_host=host_rule(_names(settings)))
    except OSError as error:
        reason = f"The monitor cannot listen on {listen[0]}:{listen[1]}: {error.strerror or error}."
        node.send(Frame(FrameType.NOTICE, {"about": "failed", "reason": reason}), NOTICE_S)
        return 1
    with server:
        host, port = server.address
        node.send(Frame(FrameType.NOTICE, {"about": "listening", "address": f"{host}:{port}"}), NOTICE_S)
        feed.start(server, site)
        server.serve_forever()
    return 0


def _names(settings: dict[str, Any]) -> set[str]:
    """What this machine may be called in an address, beside its addresses in digits."""
    machine = socket.gethostname().lower()
    return {
        machine,
        f"{machine.split('.')[0]}.local",
        str(settings["listen_host"]),
        *settings.get("names", ()),
    }


def _pages(settings: dict[str, Any]) -> Traversable:
    static = settings.get("static")
    return importlib.resources.files("frontend") if static is None else Path(static)


if __name__ == "__main__":
    sys.exit(main())
