"""What one worker is told at its start."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Refused

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Keys:
    """The two secrets of a cluster, 32 bytes each."""

    cluster: bytes
    client: bytes

    @property
    def cluster_id(self) -> str:
        """The name of the cluster: it follows from its key, so that each cluster needs keys of its own."""
        return hashlib.blake2b(b"minka cluster", key=self.cluster, digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Settings:
    """The command line of `minka-worker`, parsed."""

    id: str
    data: Path
    listen: Address
    advertise: Address
    monitor: Address
    peers: dict[str, Address]
    """Every worker of the first membership by id, this one included."""
    keys: Keys
    cores: int
    compact_entries: int = 20_000
    compact_bytes: int = 64 * 1_048_576
    """A snapshot is made when the log has grown by so many entries, or so many bytes."""
    blob_idle_s: float = 600.0
    """A blob that nothing names is removed when it was not in use for so long."""
    quota_bytes: int | None = None
    """What the worker's folder may hold; None: as much as its disk."""
    monitor_password: str | None = None
    """What a browser must know to be shown the monitor; None: nothing."""
    scrub_pause_s: float = 60.0
    """Between two readings of all that is on the disk."""


def read_address(text: str) -> Address:
    """ "HOST:PORT" (an IPv6 host in brackets); raises ValueError."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def write_address(address: Address) -> str:
    """The inverse of `read_address`."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_peers(text: str) -> dict[str, Address]:
    """ "ID=HOST:PORT,ID=HOST:PORT"; raises ValueError."""
    peers: dict[str, Address] = {}
    for part in text.split(","):
        name, separator, address = part.strip().partition("=")
        if not separator or not name:
            raise ValueError(f"{part!r} is not ID=HOST:PORT")
        if name in peers:
            raise ValueError(f"{name!r} stands twice among the peers")
        peers[name] = read_address(address)
    return peers


def read_keys(path: Path) -> Keys:
    """The keys of a worker's file; raises `Refused` with what is wrong with it."""
    advice = "`minka keys new DIR` makes one; workers need cluster.keys."
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        keys = Keys(bytes.fromhex(fields["cluster"]), bytes.fromhex(fields["client"]))
    except OSError as error:
        raise Refused(f"The key file {path} cannot be read: {error.strerror}.", advice) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"{path} is not a worker's key file.", advice) from error
    if len(keys.cluster) != 32 or len(keys.client) != 32:
        raise Refused(f"The keys in {path} are not 32 bytes long.", advice)
    return keys


def read_password(path: Path) -> str:
    """The first line of a file; raises `Refused` with what is wrong with it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Refused(f"The password file {path} cannot be read: {reason}.") from error
    if not lines or not lines[0]:
        raise Refused(f"{path} holds no password.", "Write it into the first line.")
    return lines[0]
