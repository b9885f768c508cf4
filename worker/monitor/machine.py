"""How busy the machine is, and how full: cores, memory, the disk of the worker's folder, and the node process itself.

What a system does not tell is None. What differs between systems is here.
"""

import ctypes
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

Times = list[tuple[float, float]]
"""Of each core that is told apart: time busy, time in all, in any unit, since any moment."""


class Machine:
    """Looks at the machine whenever it is asked; shares are of the time since the look before."""

    def __init__(self, data: Path, node: int) -> None:
        """`data`: the worker's folder; `node`: the id of its process."""
        self._data = data
        self._node = node
        self._cores = _core_times()
        self._node_s, _ = _process(node)
        self._looked = time.monotonic()

    def look(self) -> dict[str, Any]:
        """{"cores": share of each, "memory_bytes", "memory_used_bytes", "disk_bytes", "disk_used_bytes", "node_share" of
        one core, "node_bytes"}
        """
        cores, now = _core_times(), time.monotonic()
        node_s, node_bytes = _process(self._node)
        shares = [_share(before, after) for before, after in zip(self._cores, cores, strict=False)]
        spent = None
        if node_s is not None and self._node_s is not None:
            spent = max(0.0, node_s - self._node_s) / max(now - self._looked, 1e-9)
        self._cores, self._node_s, self._looked = cores, node_s, now
        total, used = _memory()
        row: dict[str, Any] = {"cores": shares, "memory_bytes": total, "memory_used_bytes": used}
        try:
            disk = shutil.disk_usage(self._data)
        except OSError:
            row |= {"disk_bytes": None, "disk_used_bytes": None}
        else:
            row |= {"disk_bytes": disk.total, "disk_used_bytes": disk.used}
        return row | {"node_share": spent, "node_bytes": node_bytes}


def _share(before: tuple[float, float], after: tuple[float, float]) -> float:
    busy, total = after[0] - before[0], after[1] - before[1]
    return round(min(1.0, max(0.0, busy / total)), 4) if total > 0 else 0.0


if sys.platform == "linux":
    _TICKS_PER_S = os.sysconf("SC_CLK_TCK")
    _PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

    def _core_times() -> Times:
        """proc(5): user nice system idle iowait irq softirq steal; guest time is counted in user."""
        times: Times = []
        for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu":
                spent = [float(field) for field in fields[:8]]
                times.append((sum(spent) - spent[3] - spent[4], sum(spent)))
        return times

    def _memory() -> tuple[int | None, int | None]:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        known = {
            name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)
        }
        total, available = known.get("MemTotal"), known.get("MemAvailable")
        return total, None if total is None or available is None else total - available

    def _process(pid: int) -> tuple[float | None, int | None]:
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return None, None
        fields = stat[stat.rindex(b")") + 2 :].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S, int(fields[21]) * _PAGE_BYTES

elif sys.platform == "win32":
    from ctypes import wintypes

    class _MemoryStatus(ctypes.Structure):
        """MEMORYSTATUSEX."""

        _fields_ = (
            ("length", wintypes.DWORD),
            ("load", wintypes.DWORD),
            *((name, ctypes.c_uint64) for name in ("total", "available", "c", "d", "e", "f", "g")),
        )

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)

    def _core_times() -> Times:
        """All cores as one; the kernel's time holds the idle time."""
        idle, kernel, user = (ctypes.c_uint64() for _ in range(3))
        if not _kernel.GetSystemTimes(ctypes.byref(idle), ctypes.byref(kernel), ctypes.byref(user)):
            return []
        total = kernel.value + user.value
        return [(float(total - idle.value), float(total))]

    def _memory() -> tuple[int | None, int | None]:
        status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
        if not _kernel.GlobalMemoryStatusEx(ctypes.byref(status)):
            return None, None
        return status.total, status.total - status.available

    def _process(_pid: int) -> tuple[float | None, int | None]:
        return None, None

else:

    def _core_times() -> Times:
        return []

    def _memory() -> tuple[int | None, int | None]:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None

    def _process(_pid: int) -> tuple[float | None, int | None]:
        return None, None
