"""From the node to the pages: reads the node's notices in the server's loop, and publishes at a bounded rate."""

import json
import time
from collections.abc import Callable
from typing import Any

from shared.errors import ProtocolViolation, TimedOut, Unreachable
from shared.frames import Frame, FrameType
from shared.http_server import HttpServer
from shared.stream import FrameStream
from worker.monitor.machine import Machine
from worker.monitor.site import Site
from worker.monitor.view import View

PUBLISH_EVERY_S = 0.1
SAMPLE_S = 1.0
FRAMES_AT_ONCE = 64


class Feed:
    """Takes what the node sends into the view; what pages show is at most `PUBLISH_EVERY_S` behind it."""

    def __init__(
        self, node: FrameStream, view: View, machine: Machine, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._node = node
        self._machine = machine
        self._view = view
        self._clock = clock
        self._heard_at: float | None = None
        self._published_at = float("-inf")
        self._publishing = False

    def status_age_s(self) -> float | None:
        """Seconds since the node last told its status; None when it has not yet."""
        return None if self._heard_at is None else self._clock() - self._heard_at

    def start(self, server: HttpServer, site: Site) -> None:
        """Joins the server's loop; ends the server when the node has gone."""
        self._server = server
        self._site = site
        server.add_reader(self._node, self._receive)
        server.call_soon(self._receive)
        self._sample()

    def _sample(self) -> None:
        self._server.call_later(SAMPLE_S, self._sample)
        self._view.sample(self._clock(), time.time(), self._machine.look())
        self._publish_soon()

    def _receive(self) -> None:
        """Takes the frames that have come, a bounded number before pages are served again."""
        try:
            for _ in range(FRAMES_AT_ONCE):
                frame = self._node.receive(0)
                if frame.type is not FrameType.NOTICE:
                    raise ProtocolViolation(f"The node sent a {frame.type.name} to its monitor.")
                self._view.take(_notice(frame))
                if frame.header["about"] == "status":
                    self._heard_at = self._clock()
            self._server.call_soon(self._receive)
        except TimedOut:
            pass
        except Unreachable:
            self._server.stop()
            return
        self._publish_soon()

    def _publish_soon(self) -> None:
        if not self._publishing:
            self._publishing = True
            wait_s = max(0.0, self._published_at + PUBLISH_EVERY_S - self._clock())
            self._server.call_later(wait_s, self._publish)

    def _publish(self) -> None:
        self._publishing = False
        self._published_at = self._clock()
        self._site.publish()


def _notice(frame: Frame) -> dict[str, Any]:
    """What the node tells: ``about`` in the header, the rest in the body, read without the care that strangers need."""
    try:
        return {**frame.header, **json.loads(frame.body)}
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolViolation(f"The node sent a notice that cannot be read: {error}.") from error
