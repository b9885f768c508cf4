"""Whose disk this is: the cluster, the worker, and the incarnation of the disk, random at its first boot.

A worker whose disk was wiped comes back with a known id and an unknown incarnation: its earlier promises are lost, so
that its peers take it back as a learner only. The file ``identity.json`` in the data directory is one JSON object:

    {"format": 1, "cluster": TEXT, "worker": TEXT, "incarnation": 32 hex digits, "established": BOOL}

``established`` says that this disk's log exists: from then on a log that is not there is a lost log, not a first boot.
The cluster is "" until the worker has learned which one it belongs to; it can be learned once.
"""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from shared.errors import Refused
from worker.storage.disk import Corrupt, Disk, read_file, write_file

FILE_NAME = "identity.json"
FORMAT = 1
ID_CHARACTERS = 128
FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Identity:
    """Names the owner of a data directory; every segment of its log carries all three names."""

    cluster: str
    worker: str
    incarnation: str
    established: bool = False

    def __post_init__(self) -> None:
        for name in (self.cluster, self.worker, self.incarnation):
            if len(name) > ID_CHARACTERS:
                raise Refused(f"The name {name[:20]!r}... is longer than {ID_CHARACTERS} characters.")
        if not self.worker:
            raise Refused("A worker needs an id that is not empty.", "Give it with --id.")

    def check(self, where: Path, found: "Identity") -> None:
        """Raise `Refused` unless `found`, read at `where`, can be this owner; an empty cluster fits any."""
        if found.worker != self.worker:
            raise Refused(
                f"{where} belongs to worker {found.worker!r}, not to {self.worker!r}.",
                "Start that worker, or give this one its own --data directory.",
            )
        if found.cluster and self.cluster and found.cluster != self.cluster:
            raise Refused(
                f"{where} belongs to cluster {found.cluster}, not to {self.cluster}.",
                "Give this worker a --data directory of this cluster, or an empty one.",
            )
        if self.incarnation and found.incarnation != self.incarnation:
            raise Refused(
                f"{where} was written by another disk of worker {self.worker!r} (incarnation {found.incarnation}).",
                "Files of two data directories are mixed: restore the right ones, or start with an empty one.",
            )


def open_identity(disk: Disk, path: Path, worker: str, cluster: str = "") -> Identity:
    """The identity kept in the data directory `path`, or a new one, durable on return.

    Raises `Refused` if the directory belongs to another worker or cluster, `Corrupt` if the file cannot be read.
    """
    wanted = Identity(cluster, worker, "")
    disk.make_directory(path)
    try:
        data = read_file(disk, path / FILE_NAME, FILE_BYTES)
    except FileNotFoundError:
        identity = replace(wanted, incarnation=secrets.token_hex(16))
        _keep(disk, path, identity)
        return identity
    identity = _decode(path / FILE_NAME, data)
    wanted.check(path, identity)
    disk.sync_directory(path)  # a process that was killed may have named it without
    return learn_cluster(disk, path, identity, cluster) if cluster else identity


def learn_cluster(disk: Disk, path: Path, identity: Identity, cluster: str) -> Identity:
    """Keep for good which cluster this disk belongs to; `Refused` if it already belongs to another."""
    replace(identity, cluster=cluster).check(path, identity)
    if identity.cluster == cluster:
        return identity
    return _keep(disk, path, replace(identity, cluster=cluster))


def establish(disk: Disk, path: Path, identity: Identity) -> Identity:
    """Keep for good that the log of this disk exists; before the first promise is made to a peer."""
    if identity.established:
        return identity
    return _keep(disk, path, replace(identity, established=True))


def _keep(disk: Disk, path: Path, identity: Identity) -> Identity:
    text = json.dumps({"format": FORMAT, **asdict(identity)}, indent=1)
    write_file(disk, path / FILE_NAME, text.encode())
    return identity


def _decode(path: Path, data: bytes) -> Identity:
    try:
        fields = json.loads(data)
        cluster, worker, incarnation = fields["cluster"], fields["worker"], fields["incarnation"]
        format_, established = fields["format"], fields["established"]
    except (ValueError, KeyError, TypeError) as error:
        raise Corrupt(path, 0, "it is not an identity") from error
    if format_ != FORMAT:
        raise Refused(
            f"{path} is of format {format_!r}; this program knows {FORMAT}.", "Install a newer Minka."
        )
    texts = isinstance(cluster, str) and isinstance(worker, str) and isinstance(incarnation, str)
    if not (texts and incarnation and isinstance(established, bool)):
        raise Corrupt(path, 0, "it is not an identity")
    return Identity(cluster, worker, incarnation, established)
