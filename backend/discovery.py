"""Finds workers on the networks of this computer (`shared.discovery`), without being told where they are."""

import contextlib
import secrets
import socket
import time
from collections.abc import Callable

from backend.addresses import parse_address
from shared.discovery import DATAGRAM_BYTES, NONCE_BYTES, PORT, Sighting, question, read_answer
from shared.errors import Refused
from shared.multicast import shout

WAIT_S = 0.6
SIGHTINGS_LIMIT = 256
UNSPECIFIED = ("0.0.0.0", "::")


def look_around(
    wait_s: float = WAIT_S, enough: Callable[[Sighting], bool] = lambda _: False, port: int = PORT
) -> list[Sighting]:
    """The workers that answer within `wait_s` seconds, or until one is `enough`, by cluster and name."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    found: dict[tuple[str, str], Sighting] = {}
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.bind(("", 0))
        ends = time.monotonic() + wait_s
        shout(asking, question(nonce), port)
        while len(found) < SIGHTINGS_LIMIT and (left_s := ends - time.monotonic()) > 0:
            asking.settimeout(left_s)
            try:
                datagram, sender = asking.recvfrom(DATAGRAM_BYTES + 1)
            except TimeoutError:
                break
            except OSError:
                continue  # Windows tells here that an earlier datagram found nobody
            sighting = read_answer(datagram, nonce)
            if sighting is None or not (reached := _reachable(sighting, str(sender[0]))):
                continue
            found[reached.cluster, reached.worker] = reached
            if enough(reached):
                break
    return sorted(found.values(), key=lambda each: (each.cluster, each.worker))


def _reachable(sighting: Sighting, sender: str) -> Sighting | None:
    """With the address that it was heard from, if it names none of its own; None if it names none at all."""
    try:
        host, port = parse_address(sighting.address)
    except Refused:
        return None
    if host not in UNSPECIFIED:
        return sighting
    return Sighting(sighting.cluster, sighting.key, sighting.worker, f"{sender}:{port}")
