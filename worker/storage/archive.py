"""The records of `worker.storage.records`, read by another process while the node writes them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.storage.records import SUFFIX, is_sound, text_of

SEARCHED = ("record", "client", "kind", "summary")
LOOK_BYTES = 32 * 1_048_576
"""What one search looks at, at most; it says how far it came."""


@dataclass(slots=True)
class Found:
    """`records`, newest first, and the lowest number that was looked at: the search goes on below it, until 1."""

    records: list[dict[str, Any]] = field(default_factory=list)
    looked_to: int = 1


class RecordArchive:
    """Every record in the directory `path`, from the first one on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def search(self, words: Sequence[str], before: int, limit: int) -> Found:
        """The newest `limit` records below number `before` that have all of `words` in what is `SEARCHED`, in any case.

        What is being written, or damaged, ends its segment: the node repairs that, not its reader.
        """
        found, looked_bytes = Found(looked_to=before), 0
        wanted = [json.dumps(word.lower(), ensure_ascii=False)[1:-1] for word in words]
        for first in reversed(self._firsts()):
            if first >= before:
                continue
            if looked_bytes >= LOOK_BYTES:
                return found
            data = (self._path / f"{first:016d}{SUFFIX}").read_bytes()
            looked_bytes += len(data)
            lines = data.split(b"\n") if _may_hold(data, wanted) else []
            for number in range(min(before, first + len(lines)) - 1, first - 1, -1):
                line = lines[number - first]
                if not _may_hold(line, wanted) or not is_sound(line + b"\n"):
                    continue
                record = json.loads(text_of(line))
                if _holds(record, words):
                    found.records.append(record)
                    if len(found.records) == limit:
                        found.looked_to = number
                        return found
            found.looked_to = first
        found.looked_to = 1
        return found

    def _firsts(self) -> list[int]:
        """The first record of each segment, in order."""
        try:
            names = [path.name for path in self._path.iterdir() if path.name.endswith(SUFFIX)]
        except FileNotFoundError:
            return []
        return sorted(int(name.removesuffix(SUFFIX)) for name in names)


def _holds(record: dict[str, Any], words: Sequence[str]) -> bool:
    shown = " ".join(str(record.get(name, "")) for name in SEARCHED).lower()
    return all(word.lower() in shown for word in words)


def _may_hold(data: bytes, wanted: Sequence[str]) -> bool:
    """Quick, and True too often: the words may be elsewhere in the JSON."""
    if not wanted:
        return True
    text = data.decode(errors="replace").lower()
    return all(word in text for word in wanted)
