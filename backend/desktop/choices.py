"""What a person has chosen in the window, kept for the next time: which cluster, its key, the language and the look."""

import contextlib
import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path

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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept = self._load()

    def get(self) -> Choices:
        """What is chosen now."""
        return self._kept

    def change(self, **chosen: str) -> Choices:
        """Keep these fields, and what was chosen before of the others. Raises `Refused` when the disk does."""
        with self._lock:
            changed = replace(self._kept, **chosen)
            self._save(changed)
            self._kept = changed
        return changed

    def _load(self) -> Choices:
        """A file that cannot be understood is as none: all that is in it can be chosen again."""
        try:
            with self._path.open("rb") as stream:
                return fields.decode(Choices, json.loads(stream.read(FILE_LIMIT_BYTES)))
        except (OSError, ValueError, RecursionError, ProtocolViolation):
            return Choices()

    def _save(self, choices: Choices) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as stream:
                json.dump(fields.encode(choices), stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, self._path)
        except OSError as error:
            raise Refused(
                f"What you chose cannot be kept in {self._path}: {error.strerror or error}.",
                "Make room there, or let this user write there.",
            ) from error
