"""Workers on machines of their own, as far as the network can tell: Linux network namespaces, joined by a bridge.

The bridge lies in a namespace too; this process reaches it over one veth pair, and sees the workers as a client on the same
network does. Making namespaces needs root and `ip` (iproute2).
"""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.live.cluster import LiveCluster

NOWHERE = "02:00:00:00:00:01"
"""A hardware address that nobody has: what is sent there is lost, and nobody is told."""


def may_be_made() -> bool:
    """Whether this user can have namespaces. Where tests must not be left out, it is for the test to find out."""
    rooted = os.name == "posix" and os.geteuid() == 0 and shutil.which("ip") is not None
    return rooted or os.environ.get("CI") == "true"


class Network:
    """One namespace for each host, and cables between them that can be pulled. `remove` leaves nothing of it."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = list(hosts)
        self._prefix = f"minka-{os.getpid()}"
        self._cable = f"minka{os.getpid()}"
        self._subnet = ""

    def make(self) -> None:
        self._subnet = free_subnet()
        hub = self.namespace("hub")
        ip("netns", "add", hub)
        ip("-n", hub, "link", "add", "name", "bridge", "type", "bridge")
        ip("-n", hub, "link", "set", "bridge", "up")
        ip("link", "add", "name", self._cable, "type", "veth", "peer", "name", "outside", "netns", hub)
        ip("addr", "add", f"{self._subnet}.1/24", "dev", self._cable)
        ip("link", "set", self._cable, "up")
        ip("-n", hub, "link", "set", "outside", "master", "bridge", "up")
        for host in self._hosts:
            own = self.namespace(host)
            ip("netns", "add", own)
            ip("-n", hub, "link", "add", "name", host, "type", "veth", "peer", "name", "eth0", "netns", own)
            ip("-n", hub, "link", "set", host, "master", "bridge", "up")
            ip("-n", own, "addr", "add", f"{self.address(host)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", own, "link", "set", device, "up")

    def remove(self) -> None:
        for command in (
            ["link", "del", self._cable],
            *(["netns", "del", self.namespace(name)] for name in ("hub", *self._hosts)),
        ):
            with contextlib.suppress(OSError):  # it was not made
                ip(*command)

    def namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"

    def address(self, host: str) -> str:
        return f"{self._subnet}.{self._hosts.index(host) + 2}"

    def cut(self, host: str) -> None:
        """Pull the cable of `host`: nobody reaches it, nor it anybody."""
        ip("-n", self.namespace("hub"), "link", "set", host, "down")

    def mend(self, host: str) -> None:
        ip("-n", self.namespace("hub"), "link", "set", host, "up")

    def mute(self, source: str, target: str) -> None:
        """Lose every packet from `source` to `target`; what comes the other way arrives."""
        to = ("neigh", "replace", self.address(target), "lladdr", NOWHERE, "dev", "eth0", "nud", "permanent")
        ip("-n", self.namespace(source), *to)

    def unmute(self, source: str, target: str) -> None:
        ip("-n", self.namespace(source), "neigh", "del", self.address(target), "dev", "eth0")


class NetworkedCluster(LiveCluster):
    """Every worker on a host of its own in `network`."""

    def __init__(self, directory: Path, size: int, cores: int = 1, options: Sequence[str] = ()) -> None:
        super().__init__(directory, size, cores, options)
        self.network = Network(self.ids)

    def __enter__(self) -> Self:
        try:
            self.network.make()
        except BaseException:
            self.network.remove()
            raise
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.network.remove()

    def host(self, id: str) -> str:
        return self.network.address(id)

    def command(self, id: str) -> list[str]:
        return ["ip", "netns", "exec", self.network.namespace(id), *super().command(id)]


def ip(*arguments: str) -> str:
    """Run `ip`; its output. Raises OSError with what it said."""
    ran = subprocess.run(["ip", *arguments], text=True, capture_output=True, check=False)
    if ran.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {ran.stderr.strip()}")
    return ran.stdout


def free_subnet() -> str:
    """The first three numbers of a private network that this machine is not on."""
    used = {address["local"] for link in json.loads(ip("-j", "-4", "addr")) for address in link["addr_info"]}
    begin = os.getpid()
    return next(
        subnet
        for number in range(begin, begin + 256)
        if f"{(subnet := f'10.213.{number % 256}')}.1" not in used
    )
