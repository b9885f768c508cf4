"""UDP sockets that hear, and that reach, the group of `shared.discovery` on every network of this computer.

A network is named by the index of its interface: so it needs no address that could be found out, and no route to anywhere.
"""

import contextlib
import socket
import struct
import sys

from shared.discovery import GROUP

LOOPBACK = socket.inet_aton("127.0.0.1")
"""By its address: workers of this computer alone answer nobody who does not ask from there."""


def listening(port: int) -> socket.socket:
    """A socket that hears questions to this port, beside others on this computer that do. Raises OSError."""
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "darwin":
            heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        heard.bind(("", port))
        heard.setblocking(False)
        for index, _ in socket.if_nameindex():
            with contextlib.suppress(OSError):  # that network has no multicast; a broadcast still comes
                member = socket.inet_aton(GROUP) + _interface(index)
                heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
    except BaseException:
        heard.close()
        raise
    return heard


def shout(asking: socket.socket, datagram: bytes, port: int) -> None:
    """Send to everyone who listens to this port on this computer and on its networks, and no further."""
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    by_index = [
        _interface(index) if sys.platform == "win32" else bytes(4) + _interface(index)
        for index, _ in socket.if_nameindex()
    ]
    for chosen in (LOOPBACK, *by_index):
        with contextlib.suppress(OSError):
            asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, chosen)
            asking.sendto(datagram, (GROUP, port))
    with contextlib.suppress(OSError):
        asking.sendto(datagram, ("255.255.255.255", port))


def _interface(index: int) -> bytes:
    """How a system wants an interface named: by no address and then an index; on Windows both are one."""
    return struct.pack("!I", index) if sys.platform == "win32" else bytes(4) + struct.pack("=i", index)
