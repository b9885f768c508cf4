"""Background processes of this machine: started apart from the terminal, found again later, ended.

A process is known by its number *and* the moment it started, so that a number that the system has given to somebody
else meanwhile is never taken for it. What differs between systems is here.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """One process, for as long as the machine runs: its number and when it started, in the system's own words."""

    pid: int
    started: str


_children: dict[int, "subprocess.Popen[bytes]"] = {}
"""Those that this very process has started: it has to take note of their end, or they stay as zombies."""


def start_detached(command: Sequence[str], log: Path) -> ProcessMark:
    """Start `command` in the background, without this terminal; all that it prints is appended to `log`.

    It keeps the working directory and the environment. Raises `OSError`.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with open(log, "ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            creationflags=flags,
        )
    _children[child.pid] = child
    return ProcessMark(child.pid, _start_of(child.pid) or "")


def is_running(process: ProcessMark) -> bool:
    """Whether that very process still runs."""
    child = _children.get(process.pid)
    if child is not None and child.poll() is not None:
        del _children[process.pid]
        return False
    return process.started != "" and _start_of(process.pid) == process.started


def kill(process: ProcessMark) -> None:
    """End it at once, as a power cut would; nothing happens if it does not run any more."""
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))


def pause(process: ProcessMark) -> None:
    """Let it stand still, as a machine that hangs; it keeps its sockets. Nothing happens if it does not run any more."""
    if sys.platform == "win32":
        _suspend(process, "NtSuspendProcess")
    else:
        _signal(process, signal.SIGSTOP)


def resume(process: ProcessMark) -> None:
    """Let it go on."""
    if sys.platform == "win32":
        _suspend(process, "NtResumeProcess")
    else:
        _signal(process, signal.SIGCONT)


def stop_all(processes: Iterable[ProcessMark], deadline_s: float) -> None:
    """Ask all to end, and kill those that have not after `deadline_s` seconds; returns when none of them runs."""
    left = [process for process in processes if is_running(process)]
    for process in left:
        _signal(process, signal.SIGTERM)
    left = _wait_for_end(left, deadline_s)
    for process in left:
        kill(process)
    _wait_for_end(left, deadline_s)


def wait_for_end(process: ProcessMark, timeout_s: float) -> bool:
    """Whether it has ended, within `timeout_s` seconds."""
    return not _wait_for_end([process], timeout_s)


@contextlib.contextmanager
def systems_libraries() -> Iterator[None]:
    """In the block, programs of the system that are started find the system's libraries, not those of a packaged Minka.

    What starts a packaged program puts its own folder first, and keeps what was there before under another name.
    """
    name = "LD_LIBRARY_PATH"
    own, before = os.environ.get(name), os.environ.get(f"{name}_ORIG")
    if not getattr(sys, "frozen", False) or own is None:
        yield
        return
    del os.environ[name]
    if before is not None:
        os.environ[name] = before
    try:
        yield
    finally:
        os.environ[name] = own


def available_cores() -> int:
    """How many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _wait_for_end(processes: Sequence[ProcessMark], timeout_s: float) -> list[ProcessMark]:
    """Those that still run after `timeout_s` seconds. They need not be our children, so they have to be looked at."""
    deadline = time.monotonic() + timeout_s
    left = [process for process in processes if is_running(process)]
    while left and time.monotonic() < deadline:
        time.sleep(POLL_S)
        left = [process for process in left if is_running(process)]
    return left


def _signal(process: ProcessMark, number: int) -> None:
    if is_running(process):
        with contextlib.suppress(ProcessLookupError):  # it may just have ended by itself
            os.kill(process.pid, number)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _QUERY = 0x1000
    _SYNCHRONIZE = 0x100000
    _WAIT_TIMEOUT = 0x102
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.OpenProcess.restype = wintypes.HANDLE
    _kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    _kernel.WaitForSingleObject.argtypes = (wintypes.HANDLE, wintypes.DWORD)
    _kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    _kernel.GetProcessTimes.argtypes = (wintypes.HANDLE, *[ctypes.POINTER(wintypes.FILETIME)] * 4)

    _SUSPEND_RESUME = 0x0800

    def _suspend(process: ProcessMark, call: str) -> None:
        handle = _kernel.OpenProcess(_SUSPEND_RESUME, False, process.pid) if is_running(process) else None
        if handle:
            try:
                getattr(ctypes.WinDLL("ntdll"), call)(wintypes.HANDLE(handle))
            finally:
                _kernel.CloseHandle(handle)

    def _start_of(pid: int) -> str | None:
        handle = _kernel.OpenProcess(_QUERY | _SYNCHRONIZE, False, pid)
        if not handle:
            return None
        try:
            times = [wintypes.FILETIME() for _ in range(4)]
            if _kernel.WaitForSingleObject(handle, 0) != _WAIT_TIMEOUT:
                return None
            if not _kernel.GetProcessTimes(handle, *(ctypes.byref(each) for each in times)):
                return None
            return f"{times[0].dwHighDateTime:08x}{times[0].dwLowDateTime:08x}"
        finally:
            _kernel.CloseHandle(handle)

elif sys.platform == "linux":

    def _start_of(pid: int) -> str | None:
        """The boot's id and the start in ticks since then; None for a zombie, or when there is none (proc(5))."""
        try:
            status = Path(f"/proc/{pid}/stat").read_bytes()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        after_name = status[status.rindex(b")") + 2 :].split()
        return None if after_name[0] in (b"Z", b"X") else f"{boot} {after_name[19].decode()}"

else:

    def _start_of(pid: int) -> str | None:
        """What ps says; None for a zombie, or when there is none."""
        command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
        shown = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"}
        )
        state, _, start = shown.stdout.strip().partition(" ")
        return None if not start or state.startswith("Z") else start.strip()
