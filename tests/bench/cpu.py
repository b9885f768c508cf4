"""CPU time of processes on Linux, from /proc (proc(5))."""

import os
from collections.abc import Iterator
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def _fields(pid: int) -> list[bytes]:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    return stat[stat.rindex(b")") + 2 :].split()


def spent_s(pid: int) -> float:
    """User and system time of all threads of a process, in seconds."""
    fields = _fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def children_of(pid: int) -> Iterator[tuple[int, str]]:
    """The processes that this one has started, each with its command line."""
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            if int(_fields(int(place.name))[1]) == pid:
                yield int(place.name), place.joinpath("cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue  # it has ended meanwhile
