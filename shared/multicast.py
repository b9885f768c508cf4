"""UDP sockets that hear, and that reach, the group of `shared.discovery` on every network of this computer."""

import contextlib
import socket
import sys

from shared.discovery import GROUP

LOOPBACK = "127.0.0.1"
ELSEWHERE = ("192.0.2.1", 9)
"""An address for documentation: the way there tells the computer's own address, and nothing is sent."""


def own_addresses() -> list[str]:
    """The IPv4 addresses of this computer that can be found out, loopback first."""
    found = [LOOPBACK]
    with contextlib.suppress(OSError):
        found += [str(each[4][0]) for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(ELSEWHERE)
        found.append(str(probe.getsockname()[0]))
    return list(dict.fromkeys(found))


def listening(port: int) -> socket.socket:
    """A socket that hears questions to this port, beside others on this computer that do. Raises OSError."""
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin":
            heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        heard.bind(("", port))
        heard.setblocking(False)
        for address in own_addresses():
            with contextlib.suppress(OSError):  # that network has no multicast; a broadcast still comes
                member = socket.inet_aton(GROUP) + socket.inet_aton(address)
                heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except BaseException:
        heard.close()
        raise
    return heard


def shout(asking: socket.socket, datagram: bytes, port: int) -> None:
    """Send to everyone who listens to this port on this computer and on its networks, and no further."""
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for address in own_addresses():
        with contextlib.suppress(OSError):
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            asking.sendto(datagram, (GROUP, port))
    with contextlib.suppress(OSError):
        asking.sendto(datagram, ("255.255.255.255", port))
