"""How a worker whose disk holds nothing finds its place: it founds a cluster, or joins the one that is there.

A worker must never take part with a disk that has lost what an earlier one promised. So a first boot needs *all* first
members to answer that they, too, have nothing; then each of them founds the same cluster. If one of them has a cluster
already, the newcomer holds its tongue (no vote, no acknowledgement) unless it was founded with this very disk, or the
leader has put it among the learners; `worker.roster` is the leader's half.

What was decided is kept in ``formation.json``: the membership that the log goes on from, and the disks of the founders.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import fields
from shared.errors import ProtocolViolation
from worker.raft.entries import MAX_MEMBERS, Membership
from worker.storage.disk import Corrupt, Disk, read_file, write_file
from worker.storage.identity import FILE_NAME as IDENTITY

FILE_NAME = "formation.json"
FILE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Formation:
    """Where this worker's log begins."""

    voters: tuple[str, ...]
    learners: tuple[str, ...]
    founders: dict[str, Any]
    """Worker id -> incarnation of its disk, as far as known when this worker found its place."""

    @property
    def membership(self) -> Membership:
        return Membership(frozenset(self.voters), frozenset(self.learners))


@dataclass(frozen=True, slots=True)
class Standing:
    """The part of a worker's row by which others find their place."""

    formed: bool
    role: str
    incarnation: str
    voters: tuple[str, ...]
    learners: tuple[str, ...]
    disks: dict[str, Any]
    """Worker id -> incarnation, as this worker's registry knows them."""
    founders: dict[str, Any]
    """The same, as it was when this worker found its place."""


def load_formation(disk: Disk, directory: Path) -> Formation | None:
    """What this disk's worker decided before, None at a first boot. Raises `Corrupt`."""
    path = directory / FILE_NAME
    try:
        return fields.decode(Formation, json.loads(read_file(disk, path, FILE_BYTES)))
    except FileNotFoundError:
        return None
    except (ValueError, ProtocolViolation) as error:
        raise Corrupt(path, 0, "it is no formation") from error


def keep_formation(disk: Disk, directory: Path, formation: Formation) -> None:
    """Durable on return; before the first promise to a peer."""
    write_file(disk, directory / FILE_NAME, json.dumps(fields.encode(formation), indent=1).encode())


def find_place(
    id: str, incarnation: str, first_members: Iterable[str], rows: Mapping[str, Mapping[str, Any]]
) -> Formation | None:
    """This worker's place, given what its peers told about themselves of late; None while that is not clear."""
    peers = set(first_members) - {id}
    standings = {peer: standing for peer, row in rows.items() if (standing := _standing(row)) is not None}
    formed = [standing for standing in standings.values() if standing.formed]
    if formed:
        return next((place for one in formed if (place := _joined(id, incarnation, one)) is not None), None)
    if not peers <= set(standings):
        return None
    founders = {peer: standings[peer].incarnation for peer in peers} | {id: incarnation}
    return Formation(tuple(sorted(founders)), (), dict(sorted(founders.items())))


def lay_aside(directory: Path) -> Path:
    """Move what a damaged disk says about itself out of the way; blobs stay, for their names prove their bytes."""
    aside = next(
        path for number in range(1, 1_000_000) if not (path := directory / f"damaged-{number}").exists()
    )
    aside.mkdir()
    for name in ("log", "records", "snapshots", FILE_NAME, IDENTITY):
        if (directory / name).exists():
            (directory / name).replace(aside / name)
    return aside


def _joined(id: str, incarnation: str, peer: Standing) -> Formation | None:
    if peer.founders.get(id) == incarnation:
        return Formation(tuple(sorted(peer.founders)), (), peer.founders)  # it was only quicker
    if peer.role == "leader" and peer.disks.get(id) == incarnation and id in peer.learners:
        return Formation(peer.voters, peer.learners, peer.disks)
    return None


def _standing(row: Mapping[str, Any]) -> Standing | None:
    try:
        standing = fields.decode(Standing, row)
    except ProtocolViolation:
        return None
    return standing if len(standing.voters) + len(standing.learners) <= MAX_MEMBERS else None
