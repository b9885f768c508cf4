"""A child process whose node is the test."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from shared.errors import from_failure
from shared.frames import Frame, FrameType
from shared.handshake import ServerHandshake
from shared.stream import FrameStream
from worker.training.environment import child_environment

TOKEN = bytes(range(32))
ANSWER_S = 60.0


class ChildProcess:
    """A trainer or predictor, and the node's end of its connection."""

    def __init__(
        self, module: str, environment: Mapping[str, str] | None = None, memory: str | None = None
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(ANSWER_S)
            self.process = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", module],
                stdin=subprocess.PIPE,
                env=child_environment(os.environ) | dict(environment or {}),
            )
            host, port = door.getsockname()
            line = {"host": host, "port": port, "token": TOKEN.hex(), "name": "child-0"}
            line |= {"id": 0, "memory": memory}
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(line).encode() + b"\n")
            self.process.stdin.flush()
            connection, _ = door.accept()
        self.stream = FrameStream(connection, "the child")
        handshake = ServerHandshake("node", "", {"child": TOKEN})
        while not handshake.done:
            self.stream.send(handshake.receive(self.stream.receive(ANSWER_S)))
        self.stream.seal(handshake.keys)
        self._sent = 0

    def send(self, op: str, fields: Mapping[str, Any], body: bytes = b"") -> int:
        self._sent += 1
        self.stream.send(Frame(FrameType.REQUEST, {"id": self._sent, "op": op, **fields}, body))
        return self._sent

    def receive(self) -> Frame:
        return self.stream.receive(ANSWER_S)

    def call(self, op: str, fields: Mapping[str, Any], body: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """The reply's header and body; a failure is raised as the error that it tells of."""
        number = self.send(op, fields, body)
        frame = self.receive()
        assert frame.header["id"] == number
        if frame.type is FrameType.FAILURE:
            raise from_failure(frame.header)
        return frame.header, frame.body

    def end(self) -> int:
        """Close both ways that lead to it, as a node that ends does: its exit code."""
        self.stream.close()
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(ANSWER_S)
