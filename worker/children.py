"""The node's child processes: started, joined over loopback, restarted when they die.

Compute and the monitor live in processes of their own because CPython holds one lock per process (DESIGN 3). A child gets
a one-time token on its standard input, and proves it in the same handshake as everyone. `spawn` semantics on every system:
nothing is inherited but the environment.
"""

import contextlib
import json
import secrets
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import MinkaError, Unreachable
from shared.frames import Frame
from shared.handshake import ServerHandshake
from worker.connections import Connection, Owner
from worker.loop import Loop

RESTART_S = 0.5
RESTART_LIMIT_S = 10.0
_OWN_GROUP = 0x0000_0200
"""CREATE_NEW_PROCESS_GROUP of Windows, which `subprocess` names only there."""
CHILD_FLAG = "--child"
"""How a packaged worker is asked to be a child: its executable is no Python interpreter."""


class Child(Owner):
    """One child process under a fixed name; `connection` is None while it is not joined."""

    def __init__(
        self,
        children: "Children",
        name: str,
        module: str,
        settings: Mapping[str, Any],
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self.connection: Connection | None = None
        self.joined: Callable[[], None] = lambda: None
        self.left: Callable[[MinkaError], None] = lambda error: None
        self.heard: Callable[[Frame], None] = lambda frame: None
        self._children = children
        self._module = module
        self._settings = dict(settings)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._dying: subprocess.Popen[bytes] | None = None
        """Was killed, and is perhaps still in the middle of a write: no other one is started meanwhile."""
        self._wanted = False
        self._delay_s = RESTART_S

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process; if the system cannot do that now, it is tried again later."""
        self._wanted = self._dying is not None
        if self._wanted:
            return
        try:
            self._process = self._spawn()
        except OSError as error:
            self._children.log(f"process {self.name} cannot be started: {error.strerror or error}")
            self._start_again()
            return
        line = json.dumps({**self._children.invitation, "name": self.name, **self._settings})
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended already, which `check` will find
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def _spawn(self) -> subprocess.Popen[bytes]:
        frozen = getattr(sys, "frozen", False)
        command = (
            [sys.executable, CHILD_FLAG, self._module] if frozen else [sys.executable, "-m", self._module]
        )
        platform: dict[str, Any] = (
            {"creationflags": _OWN_GROUP}
            if sys.platform == "win32"
            else {"process_group": 0}  # Ctrl-C in the terminal is for the node; it ends its children itself
        )
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self._environment, **platform
        )

    def stop(self) -> None:
        """Close its standard input, which ends it, and end it for sure: a moment later it is gone."""
        self._wanted = False
        if self.connection is not None:
            self.connection.close(Unreachable(f"The process {self.name} is stopped."))
        if self._process is not None:
            self._close_input(self._process)
            self._process.kill()
            self._dying, self._process = self._process, None

    def wait(self) -> None:
        """Wait until the process that was stopped is gone."""
        if self._dying is not None:
            self._dying.wait()

    @staticmethod
    def _close_input(process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # what was written to a process that ended was never taken
            process.stdin.close()

    def restart(self) -> None:
        """Give up what it is at, and start it anew."""
        self.stop()
        self.start()

    # --- what its connection tells

    def opened(self, connection: Connection) -> None:
        if self.connection is not None:
            self.connection.close(Unreachable(f"The process {self.name} has joined anew."))
        self.connection = connection
        self._delay_s = RESTART_S
        self.joined()

    def received(self, connection: Connection, frame: Frame) -> None:
        self.heard(frame)

    def closed(self, connection: Connection, error: MinkaError) -> None:
        if connection is self.connection:
            self.connection = None
            self.left(Unreachable(f"The process {self.name} ended."))

    # --- its life

    def check(self) -> None:
        """Start it again if it has ended, or if that was only waited for."""
        if self._dying is not None and self._dying.poll() is not None:
            self._dying = None
            if self._wanted:
                self.start()
        if self._process is not None and self._process.poll() is not None:
            code = self._process.returncode
            self._children.log(f"process {self.name} ended with code {code}; it is started again")
            self._close_input(self._process)
            self._process = None
            if self.connection is not None:
                self.connection.close(Unreachable(f"The process {self.name} ended with code {code}."))
            self._start_again()

    def _start_again(self) -> None:
        self._children.loop.call_later(self._delay_s, self._start_unless_closed)
        self._delay_s = min(self._delay_s * 2, RESTART_LIMIT_S)

    def _start_unless_closed(self) -> None:
        if not self._children.ended:
            self.start()


class Children(Owner):
    """All child processes of this node, and the loopback door through which they come back."""

    def __init__(self, loop: Loop, worker_id: str, log: Callable[[str], None]) -> None:
        self.loop = loop
        self.log = log
        self.ended = False
        self._worker_id = worker_id
        self._token = secrets.token_bytes(32)
        self._children: dict[str, Child] = {}
        self._door = socket.create_server(("127.0.0.1", 0))
        self._door.setblocking(False)
        host, port = self._door.getsockname()
        self.invitation = {"host": host, "port": port, "token": self._token.hex()}
        loop.watch(self._door, selectors.EVENT_READ, self._accept)
        self._look()

    def add(
        self, name: str, module: str, settings: Mapping[str, Any], environment: Mapping[str, str]
    ) -> Child:
        """A child that is started with `Child.start`, and again whenever it ends."""
        child = self._children[name] = Child(self, name, module, settings, environment)
        return child

    def close(self) -> None:
        """End every child process."""
        self.ended = True
        self.loop.forget(self._door)
        self._door.close()
        for child in self._children.values():
            child.stop()
        for child in self._children.values():
            child.wait()

    def opened(self, connection: Connection) -> None:
        child = self._children.get(connection.about.channel)
        if child is None:
            connection.close(Unreachable("There is no such child."))
        else:
            child.opened(connection)

    def received(self, connection: Connection, frame: Frame) -> None:
        self._children[connection.about.channel].received(connection, frame)

    def closed(self, connection: Connection, error: MinkaError) -> None:
        child = self._children.get(connection.about.channel)
        if child is not None:
            child.closed(connection, error)

    def _accept(self, _: int) -> None:
        try:
            sock, _address = self._door.accept()
        except OSError:  # it was gone before it was taken
            return
        handshake = ServerHandshake(self._worker_id, "", {"child": self._token})
        Connection.accept(self.loop, sock, handshake, self, "child")

    def _look(self) -> None:
        if not self.ended:
            for child in self._children.values():
                child.check()
            self.loop.call_later(RESTART_S, self._look)
