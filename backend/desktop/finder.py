"""Which cluster the window uses: the one that its start named, that the person chose, or that was started here last."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backend.addresses import Address, format_addresses, parse_address, parse_addresses
from backend.desktop.choices import ChoiceFile
from backend.desktop.link import NoCluster, Target
from backend.discovery import look_around
from backend.keys import KEY_BYTES, load_client_key, parse_client_key
from backend.local_state import LastStarted, last_started
from shared.discovery import Sighting, key_mark
from shared.errors import Refused, Unreachable

LOOK_AGAIN_S = 5.0
WORKERS_SHOWN = 64

Named = Callable[[], tuple[str | None, str | Path | None]]
"""The addresses and the keys file that the start of the program, or its environment, names."""
Look = Callable[..., list[Sighting]]


class ClusterFinder:
    """Called for the cluster to use, again and again: workers that are looked for may appear at any moment."""

    def __init__(
        self,
        named: Named,
        choices: ChoiceFile,
        look: Look = look_around,
        local: Callable[[], LastStarted | None] = last_started,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._named = named
        self._choices = choices
        self._look = look
        self._local = local
        self._clock = clock
        self._found: tuple[Address, ...] = ()
        self._found_key = b""
        self._looked_at: float | None = None
        self._source = "none"

    def __call__(self) -> Target:
        """The cluster that is meant. Raises `NoCluster` when none is, `Unreachable` when none of it can be found."""
        addresses, keys = self._named()
        chosen, local = self._choices.get(), self._local()
        if keys:
            self._source, key = "named", load_client_key(Path(keys))
        elif chosen.key:
            self._source, key = "chosen", bytes.fromhex(chosen.key)
            addresses = addresses or chosen.addresses
        elif local is not None:
            self._source, key = "local", load_client_key(Path(local.keys))
        elif addresses:
            self._source = "named"
            raise NoCluster("This computer has no key of the cluster.", "Choose its client.keys.")
        else:
            self._source = "none"
            raise NoCluster("No cluster is known here.", "Choose one.")
        if not addresses and self._source != "chosen" and local is not None:
            addresses = local.addresses
        return Target(parse_addresses(addresses) if addresses else self._nearby_of(key), key)

    def public(self) -> dict[str, Any]:
        """What the page shows of it: {"source", "addresses", "key": its mark}; source: named, chosen, local or none."""
        chosen = self._choices.get()
        mark = key_mark(bytes.fromhex(chosen.key)) if chosen.key else ""
        return {"source": self._source, "addresses": chosen.addresses, "key": mark}

    def nearby(self) -> list[dict[str, Any]]:
        """The clusters that answer now: {"cluster", "key", "known": whether its key is here, "workers": [{id, address}]}."""
        known = self.public()["key"]
        clusters: dict[str, dict[str, Any]] = {}
        for seen in self._look():
            row = {"cluster": seen.cluster, "key": seen.key, "known": seen.key == known, "workers": []}
            workers = clusters.setdefault(seen.cluster, row)["workers"]
            if len(workers) < WORKERS_SHOWN:
                workers.append({"id": seen.worker, "address": seen.address})
        return list(clusters.values())

    def choose(self, addresses: str, key: str | None, mark: str | None = None) -> None:
        """Use this cluster from now on. `key`: hex, or what is in a keys file; None: the one that is here.

        `mark` is that of the cluster that was picked, if one was. Raises `Refused` for what is no address, no key or the
        key of another cluster, or when there is none yet.
        """
        kept = self._choices.get().key if key is None else read_key(key).hex()
        if not kept:
            raise Refused("Without its key nobody gets into a cluster.", "Choose its client.keys.")
        if mark is not None and key_mark(bytes.fromhex(kept)) != mark:
            raise Refused("This key opens another cluster.", "Choose the client.keys of this one.")
        text = format_addresses(parse_addresses(addresses)) if addresses.strip() else ""
        self._choices.change(addresses=text, key=kept)
        self._looked_at = None

    def forget(self) -> None:
        """Nothing is chosen any more: neither address nor key."""
        self._choices.change(addresses="", key="")

    def _nearby_of(self, key: bytes) -> tuple[Address, ...]:
        """Where the workers of this key's cluster are. The answer stays the same while one of them answers there."""
        now = self._clock()
        mark = key_mark(key)
        if key != self._found_key:
            self._found, self._found_key, self._looked_at = (), key, None
        if self._found and self._looked_at is not None and now - self._looked_at < LOOK_AGAIN_S:
            return self._found
        known = set(self._found)
        seen = self._look(enough=lambda each: each.key == mark and parse_address(each.address) in known)
        self._looked_at = now
        fresh = tuple(parse_address(each.address) for each in seen if each.key == mark)
        if fresh and known.isdisjoint(fresh):
            self._found = fresh
        if not self._found:
            raise Unreachable(
                "No worker of this cluster answers on this network.",
                "Start the workers, or name the address of one in the settings.",
            )
        return self._found


class GivenCluster:
    """The settings of a window whose cluster was given at its start: there is nothing to choose."""

    def public(self) -> dict[str, Any]:
        return {"source": "named", "addresses": "", "key": ""}

    def nearby(self) -> list[dict[str, Any]]:
        return []

    def choose(self, addresses: str, key: str | None, mark: str | None = None) -> None:
        """Raises `Refused`."""
        raise Refused("This window was opened for one cluster.", "Open Minka without naming one.")

    def forget(self) -> None:
        """Raises `Refused`."""
        self.choose("", None)


def read_key(text: str) -> bytes:
    """The client key that a person gave, in hex or as the content of a keys file. Raises `Refused`."""
    bare = text.strip()
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", bare):
        return bytes.fromhex(bare)
    key = parse_client_key(bare.encode())
    if key is None:
        raise Refused("That is not a key of Minka.", "Choose the file client.keys of the cluster.")
    return key
