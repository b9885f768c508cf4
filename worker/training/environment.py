"""What a process that computes must be started with, so that it is fast and its sums have the same bits everywhere.

Read by the libraries when they are loaded, so it must stand in the environment before. The standard library alone is
used here: the node itself never loads NumPy.
"""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Mapping

THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "BLIS_NUM_THREADS",
)
PORTABLE_KERNEL = "Haswell"
"""The OpenBLAS kernel that every x86-64 processor with AVX2 can run."""

WINDOWS_AVX2 = 40
WINDOWS_BELOW_NORMAL = 0x4000
NICENESS = 10


def child_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """`inherited`, with one BLAS thread (there is a process for each core) and a pinned BLAS kernel.

    A kernel given in ``OPENBLAS_CORETYPE`` is kept. NumPy's own instruction sets need no pinning: what is used of them
    (arithmetic, float32 exp) gives the same bits with AVX2 and AVX-512, which a test holds to.
    """
    environment = {**inherited, **dict.fromkeys(THREAD_VARIABLES, "1"), "MKL_CBWR": "AVX2"}
    if "OPENBLAS_CORETYPE" not in environment and has_avx2():
        environment["OPENBLAS_CORETYPE"] = PORTABLE_KERNEL
    return environment


def has_avx2() -> bool:
    """Whether this is an x86-64 processor with AVX2, on Linux, Windows and macOS; False where it cannot be told."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    if sys.platform == "win32":
        return bool(ctypes.windll.kernel32.IsProcessorFeaturePresent(WINDOWS_AVX2))
    if sys.platform == "darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "hw.optional.avx2_0"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() == "1"
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
            return any(" avx2 " in f"{line.rstrip()} " for line in file if line.startswith("flags"))
    except OSError:
        return False


def lower_priority(niceness: int = NICENESS) -> None:
    """Let other processes go before this one: consensus never waits for training. Windows knows no degrees of it."""
    if sys.platform == "win32":
        kernel32 = ctypes.windll.kernel32
        kernel32.SetPriorityClass(kernel32.GetCurrentProcess(), WINDOWS_BELOW_NORMAL)
    else:
        os.nice(niceness)
