"""Slow links between workers in network namespaces: a rate by the kernel (tbf), a delay by a proxy of each worker.

`python -m tests.live.slow_link HOST LISTEN_PORT TARGET_PORT DELAY_S` is the proxy: what passes through it in either
direction arrives so much later. The kernel could delay too (netem), but many have it not.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.live.cluster import free_ports
from tests.live.network import NetworkedCluster, ip

CHUNK_BYTES = 64 * 1024
UNDER_WAY = 4_096
"""Chunks of one direction that may be under way."""


@dataclass(frozen=True, slots=True)
class Link:
    """Of every worker to all others, in both directions."""

    megabits: int
    """A second."""
    delay_ms: float
    """One way."""


class SlowCluster(NetworkedCluster):
    """Each worker is reached through a proxy beside it, and its cable has a rate."""

    def __init__(
        self, directory: Path, size: int, cores: int, link: Link, options: Sequence[str] = ()
    ) -> None:
        super().__init__(directory, size, cores, options)
        self.link = link
        self._behind = dict(zip(self.ids, free_ports(size), strict=True))
        """Id -> the port at which the worker itself listens."""
        self._proxies: list[subprocess.Popen[bytes]] = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for proxy in self._proxies:
            proxy.kill()
            proxy.wait()
        super().__exit__(kind, error, trace)

    def command(self, id: str) -> list[str]:
        command = super().command(id)
        host = self.host(id)
        command[command.index("--listen") + 1] = f"{host}:{self._behind[id]}"
        return [*command, "--advertise", f"{host}:{self.ports[id]}"]

    def start(self, id: str) -> None:
        rate = ["root", "tbf", "rate", f"{self.link.megabits}mbit", "burst", "64kb", "latency", "500ms"]
        for namespace, device in ((self.network.namespace("hub"), id), (self.network.namespace(id), "eth0")):
            ip("netns", "exec", namespace, "tc", "qdisc", "replace", "dev", device, *rate)
        ports = [str(self.ports[id]), str(self._behind[id]), str(self.link.delay_ms / 1000)]
        proxy = [sys.executable, "-m", "tests.live.slow_link", self.host(id), *ports]
        self._proxies.append(subprocess.Popen(["ip", "netns", "exec", self.network.namespace(id), *proxy]))
        super().start(id)


async def relay(source: asyncio.StreamReader, target: asyncio.StreamWriter, delay_s: float) -> None:
    """Pass on what comes, `delay_s` later, in order; the end of it too."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(UNDER_WAY)

    async def arrive() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not data:
                return
            target.write(data)
            await target.drain()

    async def leave() -> None:
        data = b"."
        while data:
            data = await source.read(CHUNK_BYTES)
            await under_way.put((loop.time() + delay_s, data))

    with contextlib.suppress(OSError):  # one of the two has gone: so does the connection
        await asyncio.gather(arrive(), leave())
    target.close()


async def serve(host: str, port: int, target_port: int, delay_s: float) -> None:
    """Relay every connection."""

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, target_port)
        except OSError:  # the worker is not there yet
            writer.close()
            return
        await asyncio.gather(relay(reader, far_writer, delay_s), relay(far_reader, writer, delay_s))

    async with await asyncio.start_server(accepted, host, port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
