"""Names of files here, made of names in the cluster, which are any text: they stay inside their folder, on every system."""

from pathlib import Path

FORBIDDEN = frozenset('<>:"|?*')
PORTS = tuple(f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³")
DEVICES = frozenset(("CON", "PRN", "AUX", "NUL", "CLOCK$", "CONIN$", "CONOUT$", *PORTS))
"""Of Windows, whatever comes after their dot."""
NAME_BYTES = 200


def local_name(name: str, otherwise: str) -> str:
    """The last part of `name`, with _ for what some system forbids or nobody sees; `otherwise` if nothing is left of it."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(each if each.isprintable() and each not in FORBIDDEN else "_" for each in last)
    while len(kept.encode()) > NAME_BYTES:
        kept = kept[1:]
    kept = kept.strip(". ")
    usable = kept.strip("_ .") and kept.partition(".")[0].strip().upper() not in DEVICES
    return kept if usable else otherwise


def free_path(folder: Path, name: str, otherwise: str = "file") -> Path:
    """A path in `folder` where nothing is yet, for a file that the cluster calls `name`."""
    local = local_name(name, otherwise)
    stem, dot, suffix = local.partition(".")
    candidate, number = folder / local, 2
    while candidate.exists():
        candidate = folder / f"{stem} ({number}){dot}{suffix}"
        number += 1
    return candidate
