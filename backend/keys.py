"""The keys of a cluster: one for workers, one for clients, in files that only their owner can read.

`cluster.keys` is JSON {"cluster": hex, "client": hex} and belongs on workers; `client.keys`, {"client": hex}, is all that
a client needs. Each key has 32 bytes.
"""

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Refused

KEY_BYTES = 32
FILE_LIMIT_BYTES = 4_096
CLUSTER_FILE = "cluster.keys"
CLIENT_FILE = "client.keys"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where a cluster's keys lie."""

    cluster: Path
    client: Path


def new_keys(directory: Path) -> KeyFiles:
    """Make the two key files in `directory`. Raises `Refused` rather than overwrite one."""
    files = KeyFiles(directory / CLUSTER_FILE, directory / CLIENT_FILE)
    for path in (files.cluster, files.client):
        if path.exists():
            raise Refused(
                f"{path} exists already.", "Choose another directory: workers with the old keys need them."
            )
    cluster, client = secrets.token_hex(KEY_BYTES), secrets.token_hex(KEY_BYTES)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_private(files.cluster, {"cluster": cluster, "client": client})
        _write_private(files.client, {"client": client})
    except OSError as error:
        raise Refused(f"The keys cannot be written to {directory}: {error.strerror or error}.") from error
    return files


def load_client_key(path: Path) -> bytes:
    """The client key of either kind of key file, 32 bytes. Raises `Refused` for anything else."""
    try:
        with open(path, "rb") as stream:
            content = stream.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        raise Refused(
            f"The keys file {path} cannot be read: {error.strerror or error}.",
            'Name the client.keys of your cluster with --keys or MINKA_KEYS; "minka keys new" makes new ones.',
        ) from error
    key = parse_client_key(content)
    if key is None:
        raise Refused(
            f"{path} is not a keys file of Minka.", 'Use the client.keys that "minka keys new" made.'
        )
    return key


def parse_client_key(content: bytes) -> bytes | None:
    """The client key in the content of a keys file, 32 bytes, or None if there is none."""
    if len(content) > FILE_LIMIT_BYTES:
        return None
    try:
        key = bytes.fromhex(json.loads(content)["client"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return key if len(key) == KEY_BYTES else None


def _write_private(path: Path, fields: dict[str, str]) -> None:
    """Create `path`, which must not exist, readable for its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:
        json.dump(fields, stream)
        stream.write("\n")
