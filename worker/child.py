"""What a child process of the node does first: it joins the node over a loopback socket.

The node starts it with one line of JSON on its standard input: {"host", "port", "token", "name", ...}. The pipe stays
open as long as the node lives, so that a child also ends when its node was killed.
"""

import json
import os
import sys
import threading
from typing import Any

from shared.errors import Unreachable
from shared.handshake import Introduction
from shared.stream import FrameStream, connect

JOIN_S = 30.0


def join_node() -> tuple[FrameStream, dict[str, Any]]:
    """The connection to the node that started this process, and what it said on standard input."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(1)  # the node has ended before it said anything
    settings: dict[str, Any] = json.loads(line)
    threading.Thread(target=_end_with_node, name="parent-watch", daemon=True).start()
    about = Introduction("child", settings["name"], settings["name"], "")
    address = (settings["host"], settings["port"])
    try:
        return connect(address, about, bytes.fromhex(settings["token"]), JOIN_S), settings
    except Unreachable:
        sys.exit(1)  # the node has ended meanwhile: there is nobody to tell


def _end_with_node() -> None:
    sys.stdin.read()
    os._exit(0)
