"""What is written down about clusters on this machine: a file in each one's data directory, and which one came last."""

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from backend.processes import ProcessMark
from shared import fields
from shared.errors import ProtocolViolation, Refused

STATE_FILE = "cluster.json"
POINTER_FILE = "local-cluster.json"
FILE_LIMIT_BYTES = 1_048_576

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LocalWorker:
    """One worker of a local cluster; addresses are HOST:PORT; `process` is the last that ran it."""

    id: str
    address: str
    monitor: str
    process: ProcessMark | None = None
    door: str | None = None
    """Where the other workers reach it in a laboratory, whose agent passes on what comes; else they use `address`."""


@dataclass(frozen=True, slots=True)
class LocalLab:
    """The agent of a cluster that was started with --lab: `port` on loopback, and the last process that ran it."""

    port: int
    token: str = field(repr=False)
    process: ProcessMark | None = None


@dataclass(frozen=True, slots=True)
class LocalState:
    """A cluster whose workers run, or ran, on this machine."""

    workers: tuple[LocalWorker, ...]
    cores: int
    """Per worker."""
    lab: LocalLab | None = None


@dataclass(frozen=True, slots=True)
class LastStarted:
    """How clients of this user reach the local cluster that was started last."""

    data: str
    addresses: str
    keys: str


def load_state(data: Path) -> LocalState | None:
    """The cluster in a data directory, None if there is none. Raises `Refused` for a file that is damaged."""
    return _load(LocalState, data / STATE_FILE)


def save_state(data: Path, state: LocalState) -> None:
    """Raises `OSError`."""
    _save(data / STATE_FILE, state)


def last_started() -> LastStarted | None:
    """The local cluster that this user started last and has not stopped since."""
    return _load(LastStarted, state_directory() / POINTER_FILE)


def remember_last(last: LastStarted) -> None:
    """Raises `OSError`."""
    state_directory().mkdir(parents=True, exist_ok=True)
    _save(state_directory() / POINTER_FILE, last)


def forget_last(data: Path) -> None:
    """If the cluster in `data` was started last, there is none any more."""
    last = last_started()
    if last is not None and Path(last.data) == data.resolve():
        (state_directory() / POINTER_FILE).unlink(missing_ok=True)


def state_directory() -> Path:
    """Where programs keep such things about a user, on this system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "Minka"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Minka"
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "minka"


def _load(cls: type[T], path: Path) -> T | None:
    try:
        with open(path, "rb") as stream:
            return fields.decode(cls, json.loads(stream.read(FILE_LIMIT_BYTES)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ProtocolViolation) as error:
        raise Refused(
            f"{path} cannot be understood: {error}", "Remove it if no worker of it runs any more."
        ) from error


def _save(path: Path, content: LocalState | LastStarted) -> None:
    """Whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as stream:
        json.dump(fields.encode(content), stream, indent=2)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)
