"""What a person has chosen in the window, kept for the next time: which cluster, its key, the language and the look."""

import contextlib
import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from backend.keys import KEY_BYTES
from shared import fields
from shared.errors import ProtocolViolation, Refused

FILE = "desktop.json"
FILE_LIMIT_BYTES = 65_536
LANGUAGES = ("", "es", "en")
THEMES = ("", "light", "dark")


@dataclass(frozen=True, slots=True)
class Choices:
    """Each "" while nothing was chosen."""

    addresses: str = ""
    """HOST:PORT,... ; with a key and no address the workers are looked for on the network."""
    key: str = ""
    """The client key in hex."""
    language: str = ""
    theme: str = ""


class ChoiceFile:
    """The choices of this user, in a file that only they can read. Thread-safe."""

    def __init__(self, path: Path | None) -> None:
        """Without a path nothing outlives this run."""
        self._path = path
        self._lock = threading.Lock()
        self._kept = Choices() if path is None else _load(path)

    def get(self) -> Choices:
        """What is chosen now."""
        return self._kept

    def change(self, **chosen: str) -> Choices:
        """Keep these fields, and what was chosen before of the others. Raises `Refused` when the disk does."""
        with self._lock:
            changed = replace(self._kept, **chosen)
            if self._path is not None:
                _save(self._path, changed)
            self._kept = changed
        return changed


def _load(path: Path) -> Choices:
    """A file that cannot be understood is as none: all that is in it can be chosen again."""
    try:
        with path.open("rb") as stream:
            found = fields.decode(Choices, json.loads(stream.read(FILE_LIMIT_BYTES)))
        understood = len(bytes.fromhex(found.key)) in (0, KEY_BYTES)
    except (OSError, ValueError, RecursionError, ProtocolViolation):
        return Choices()
    return found if understood and found.language in LANGUAGES and found.theme in THEMES else Choices()


def _save(path: Path, choices: Choices) -> None:
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump(fields.encode(choices), stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise Refused(
            f"What you chose cannot be kept in {path}: {error.strerror or error}.",
            "Make room there, or let this user write there.",
        ) from error
