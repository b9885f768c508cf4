"""Real workers as real processes on loopback, for tests that kill them."""

import contextlib
import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from backend.client import ClusterClient
from shared.errors import MinkaError
from shared.messages import Verify

DEADLINE_S = 60.0
POLL_S = 0.02

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """The first true answer of `look`; a failure that names `what` if none comes in time."""
    ends = time.monotonic() + deadline_s
    while time.monotonic() < ends:
        found = look()
        if found:
            return found
        time.sleep(POLL_S)
    raise AssertionError(f"{what}: not within {deadline_s:g} s")


class LiveCluster:
    """Workers w1, w2, ... of one cluster. Use as a context manager: it ends every process that it started."""

    def __init__(self, directory: Path, size: int, cores: int = 1, options: Sequence[str] = ()) -> None:
        """`options` are given to every worker."""
        self.directory = directory
        self.options = list(options)
        self.cores = cores
        self.ids = [f"w{number}" for number in range(1, size + 1)]
        self.client_key = secrets.token_bytes(32)
        ports = iter(free_ports(2 * size))
        self.ports = {id: next(ports) for id in self.ids}
        self.monitors = {id: next(ports) for id in self.ids}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        keys = {"cluster": secrets.token_hex(32), "client": self.client_key.hex()}
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "cluster.keys").write_text(json.dumps(keys))
        (directory / "client.keys").write_text(json.dumps({"client": keys["client"]}))

    def __enter__(self) -> Self:
        try:
            for id in self.ids:
                self.start(id)
            self.ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def host(self, id: str) -> str:
        """The IP address of the machine that this worker runs on."""
        return "127.0.0.1"

    @property
    def address(self) -> str:
        return ",".join(f"{self.host(id)}:{port}" for id, port in self.ports.items())

    def command(self, id: str) -> list[str]:
        host = self.host(id)
        peers = ",".join(f"{peer}={self.host(peer)}:{port}" for peer, port in self.ports.items())
        where = ["--listen", f"{host}:{self.ports[id]}", "--monitor", f"{host}:{self.monitors[id]}"]
        files = ["--data", str(self.directory / id), "--keys", str(self.directory / "cluster.keys")]
        own = ["--id", id, "--peers", peers, "--cores", str(self.cores)]
        return [sys.executable, "-m", "worker", *own, *where, *files, *self.options]

    def start(self, id: str) -> None:
        with open(self.directory / f"{id}.log", "ab") as log:
            self.processes[id] = subprocess.Popen(
                self.command(id), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def kill(self, id: str) -> None:
        """kill -9, and gone on return."""
        process = self.processes.pop(id)
        process.kill()
        process.wait()

    def terminate(self, id: str) -> int:
        """Ask it to stop; its exit code."""
        process = self.processes.pop(id)
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_S)

    def pause(self, id: str) -> None:
        os.kill(self.processes[id].pid, signal.SIGSTOP)

    def resume(self, id: str) -> None:
        os.kill(self.processes[id].pid, signal.SIGCONT)

    def log(self, id: str) -> str:
        return (self.directory / f"{id}.log").read_text()

    def logs(self) -> str:
        """What all workers said."""
        return "\n".join(f"--- {path}\n{path.read_text()}" for path in sorted(self.directory.glob("*.log")))

    # --- looking

    def client(self, timeout_s: float = 20.0, name: str = "test") -> ClusterClient:
        addresses = [(self.host(id), port) for id, port in self.ports.items()]
        return ClusterClient(addresses, self.client_key, timeout_s, name)

    def status(self) -> dict[str, Any]:
        with self.client() as client:
            return client.status()

    def leader(self) -> str:
        return str(self.status()["leader"])

    def ready(self) -> dict[str, Any]:
        """Wait until one leads and every running worker has applied what is committed; the status then."""

        def look() -> dict[str, Any] | None:
            try:
                status = self.status()
            except MinkaError:
                return None
            finally:
                for id, process in self.processes.items():
                    assert process.poll() is None, f"{id} ended"
            rows = {row["id"]: row for row in status["workers"]}
            reached = all(
                rows[id]["reachable"]
                and rows[id]["monitor"]
                and rows[id]["applied_index"] == status["commit_index"]
                for id in self.processes
            )
            return status if reached else None

        return wait_for("all workers ready", look)

    def monitor(self, id: str, path: str) -> Any:
        """What the monitor of `id` answers, as JSON."""
        with urllib.request.urlopen(
            f"http://{self.host(id)}:{self.monitors[id]}{path}", timeout=10
        ) as answer:
            return json.load(answer)


def whole_on(client: ClusterClient, workers: list[str]) -> bool:
    """Whether exactly these workers hold everything, of one page of files."""
    rows = client.call(Verify()).header["files"]
    return bool(rows) and all(row["holders"] == dict.fromkeys(sorted(workers), "ok") for row in rows)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that systems give to outgoing connections: nobody takes them meanwhile.

    Two test runs at once may still meet, so each begins anywhere.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(10_000, 32_000)
        if port not in found:
            with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
                found.append(port)
    return found
