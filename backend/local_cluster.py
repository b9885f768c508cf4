"""A cluster on this machine alone: its workers run in the background, each in its own process and directory.

DATA/cluster.json                who is in it, where, and which process; the token of its lab
DATA/cluster.keys, client.keys   its keys
DATA/w1/ ... DATA/wN/            the data of each worker, and its worker.log
DATA/lab.log                     what the agent of a laboratory said
"""

import contextlib
import random
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.addresses import parse_address
from backend.client import ClusterClient
from backend.keys import CLIENT_FILE, CLUSTER_FILE, load_client_key, new_keys
from backend.local_state import (
    STATE_FILE,
    LastStarted,
    LocalLab,
    LocalState,
    LocalWorker,
    forget_last,
    load_state,
    remember_last,
    save_state,
)
from backend.processes import (
    POLL_S,
    ProcessMark,
    available_cores,
    is_running,
    kill,
    resume,
    start_detached,
    stop_all,
    wait_for_end,
)
from shared.errors import Refused, TimedOut, Unreachable

HOST = "127.0.0.1"
PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: a worker that restarts must find its port free."""
WORKERS_LIMIT = 64
LOG_FILE = "worker.log"
LAB_LOG_FILE = "lab.log"
LAB_SCRUB_PAUSE_S = 2.0
"""In a laboratory one wants to see damage found."""
LOG_LIMIT_BYTES = 8 * 1_048_576
"""A longer log is put aside, as worker.log.1, when its worker starts."""
STOP_S = 10.0
LOOK_S = 0.5
"""How often, while a cluster starts, it is looked whether all its processes still run."""

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RunningCluster:
    """A local cluster that is ready: a leader is elected, all workers take part."""

    workers: tuple[LocalWorker, ...]
    leader: str
    keys: Path
    """The client's."""
    lab: LocalLab | None = None

    def row(self) -> dict[str, Any]:
        """As CONTRACT's `minka cluster up` answers."""
        rows = [
            {
                "id": worker.id,
                "address": worker.address,
                "monitor": worker.monitor,
                "pid": worker.process.pid if worker.process else None,
            }
            for worker in self.workers
        ]
        lab = {} if self.lab is None else {"lab": lab_address(self.lab)}
        return {"workers": rows, "leader": self.leader, "keys": str(self.keys), **lab}


def lab_address(lab: LocalLab) -> str:
    """Where its page opens, the token in the fragment, which is sent to no server."""
    return f"http://{HOST}:{lab.port}/#token={lab.token}"


def start(
    data: Path,
    workers: int | None,
    cores: int | None,
    timeout_s: float,
    report: Report,
    *,
    lab: bool = False,
) -> RunningCluster:
    """Start a cluster in `data`, or those of its workers that do not run, and wait until it is ready.

    `workers` (default 3, or as many as there are in `data`) and `cores` for each (default: a fair share of the machine's).
    With `lab`, which a cluster is born with, an agent stands between the workers that can break things.
    `report` is told what is being waited for. Raises `Refused` with the last lines of its log when a worker ends at once,
    `TimedOut` when no leader is elected in `timeout_s` seconds; what was started is stopped then.
    """
    data = data.resolve()
    try:
        known = load_state(data)
        state = (
            _new_state(data, workers, cores, lab)
            if known is None
            else _same_state(data, known, workers, cores, lab)
        )
        started: list[ProcessMark] = []
        try:
            state = _start_lab(data, state, started)
            state = _start_missing(data, state, started, report)
            leader = _wait_until_ready(data, state, timeout_s, report)
        except BaseException as error:
            stop_all(started, STOP_S)
            if known is None and isinstance(error, Refused):
                _remove_traces(data, state)
            raise
        addresses = ",".join(worker.address for worker in state.workers)
        remember_last(LastStarted(str(data), addresses, str(data / CLIENT_FILE)))
    except OSError as error:
        raise Refused(f"No cluster can be kept in {data}: {error.strerror or error}.") from error
    return RunningCluster(state.workers, leader, data / CLIENT_FILE, state.lab)


def stop(data: Path) -> list[str]:
    """Stop the workers in `data`; returns the ids of those that ran. Raises `Refused` when no cluster is there."""
    state = require_state(data)
    running = [worker for worker in state.workers if worker.process and is_running(worker.process)]
    marks = [worker.process for worker in running if worker.process]
    for mark in marks:
        resume(mark)  # who stands still hears nothing
    stop_all(marks, STOP_S)
    if state.lab is not None and state.lab.process is not None:
        stop_all([state.lab.process], STOP_S)
    forget_last(data)
    return [worker.id for worker in running]


def kill_worker(data: Path, id: str) -> None:
    """End one worker as a power cut would, and wait until it is gone. Raises `Refused` for an unknown one."""
    worker = next((worker for worker in require_state(data).workers if worker.id == id), None)
    if worker is None or worker.process is None:
        raise Refused(f"{data} has no worker {id}.")
    kill(worker.process)
    wait_for_end(worker.process, STOP_S)


def start_worker(data: Path, id: str) -> None:
    """Start one worker that does not run, and wait for nothing. Raises `Refused` for an unknown one, `OSError`."""
    state = require_state(data)
    if id not in {worker.id for worker in state.workers}:
        raise Refused(f"{data} has no worker {id}.")
    _start_missing(data, state, [], lambda _: None, only=id)


def require_state(data: Path) -> LocalState:
    """The cluster in this folder. Raises `Refused` when there is none."""
    state = load_state(data)
    if state is None:
        raise Refused(
            f"There is no local cluster in {data}.", "Name the directory that it was started with (--data)."
        )
    return state


def _new_state(data: Path, workers: int | None, cores: int | None, lab: bool) -> LocalState:
    count = 3 if workers is None else workers
    if not 1 <= count <= WORKERS_LIMIT:
        raise Refused(f"A local cluster has 1 to {WORKERS_LIMIT} workers, not {count}.")
    data.mkdir(parents=True, exist_ok=True)
    if not (data / CLUSTER_FILE).exists() or not (data / CLIENT_FILE).exists():
        new_keys(data)
    with _free_ports((3 * count + 1) if lab else 2 * count) as ports:
        members = tuple(
            LocalWorker(
                f"w{number + 1}",
                f"{HOST}:{ports[2 * number]}",
                f"{HOST}:{ports[2 * number + 1]}",
                door=f"{HOST}:{ports[2 * count + number]}" if lab else None,
            )
            for number in range(count)
        )
        agent = LocalLab(ports[-1], secrets.token_urlsafe(32)) if lab else None
    state = LocalState(members, cores or max(1, available_cores() // count), agent)
    save_state(data, state)
    return state


def _same_state(
    data: Path, state: LocalState, workers: int | None, cores: int | None, lab: bool
) -> LocalState:
    if lab and state.lab is None:
        raise Refused(f"The cluster in {data} was made without --lab.", "Choose another directory.")
    if workers not in (None, len(state.workers)):
        raise Refused(
            f"The cluster in {data} has workers {state.workers[0].id} to {state.workers[-1].id}, not {workers} of them.",
            "Leave out --workers to start it again, or choose another directory.",
        )
    return replace(state, cores=cores or state.cores)


@contextlib.contextmanager
def _free_ports(count: int) -> Iterator[list[int]]:
    """Different ports that nobody listens on; held until the block ends."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        candidates = random.SystemRandom().sample(PORTS, len(PORTS))
        while len(ports) < count and candidates:
            port = candidates.pop()
            try:
                held.enter_context(socket.create_server((HOST, port)))
            except OSError:
                continue
            ports.append(port)
        if len(ports) < count:
            raise Refused(f"This machine has no {count} free ports from {PORTS.start} to {PORTS.stop - 1}.")
        yield ports


def _start_lab(data: Path, state: LocalState, started: list[ProcessMark]) -> LocalState:
    """Start the agent, if this cluster has one and it does not run."""
    lab = state.lab
    if lab is None or (lab.process is not None and is_running(lab.process)):
        return state
    process = start_detached(
        [*_program("minka", "backend"), "lab-agent", "--data", str(data)], data / LAB_LOG_FILE
    )
    started.append(process)
    state = replace(state, lab=replace(lab, process=process))
    save_state(data, state)
    return state


def _start_missing(
    data: Path, state: LocalState, started: list[ProcessMark], report: Report, only: str | None = None
) -> LocalState:
    """Start the workers that do not run, or `only` one; each is written down, in `started` too, before the next starts."""
    for position, worker in enumerate(state.workers):
        running = worker.process is not None and is_running(worker.process)
        if running or only not in (None, worker.id):
            continue
        report(f"starting {worker.id} at {worker.address}")
        process = start_detached(_command(data, state, worker), _fresh_log(data / worker.id))
        started.append(process)
        members = list(state.workers)
        members[position] = replace(worker, process=process)
        state = replace(state, workers=tuple(members))
        save_state(data, state)
    return state


def _program(name: str, package: str) -> list[str]:
    """How a program of ours is started. A frozen one has no interpreter: there the others lie beside it."""
    if not getattr(sys, "frozen", False):
        return [sys.executable, "-m", package]
    suffix = ".exe" if sys.platform == "win32" else ""
    return [str(Path(sys.executable).with_name(f"{name}{suffix}"))]


def _command(data: Path, state: LocalState, worker: LocalWorker) -> list[str]:
    peers = ",".join(f"{each.id}={each.door or each.address}" for each in state.workers)
    return [
        *_program("minka-worker", "worker"),
        *("--id", worker.id),
        *("--data", str(data / worker.id)),
        *("--listen", worker.address),
        *("--monitor", worker.monitor),
        *("--peers", peers),
        *("--keys", str(data / CLUSTER_FILE)),
        *("--cores", str(state.cores)),
        *(() if worker.door is None else ("--scrub-pause", str(LAB_SCRUB_PAUSE_S))),
    ]


def _fresh_log(directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    log = directory / LOG_FILE
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(directory / f"{LOG_FILE}.1")
    return log


def _wait_until_ready(data: Path, state: LocalState, timeout_s: float, report: Report) -> str:
    """The id of the leader, once all workers take part."""
    deadline = time.monotonic() + timeout_s
    report("waiting for a leader")
    addresses = [parse_address(worker.address) for worker in state.workers]
    with ClusterClient(addresses, load_client_key(data / CLIENT_FILE), LOOK_S) as client:
        while True:
            for worker in state.workers:
                if worker.process is None or not is_running(worker.process):
                    raise Refused(
                        f"Worker {worker.id} ended at once: {_last_words(data / worker.id / LOG_FILE)}"
                    )
            missing: Sequence[str] = [worker.id for worker in state.workers]
            try:
                status = client.status()
                rows = status["workers"]
                missing = [row["id"] for row in rows if not (row["reachable"] and row["monitor"])]
                if not missing and len(rows) == len(state.workers):
                    return str(status["leader"])
            except (Unreachable, TimedOut):
                pass  # not yet
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"The cluster was not ready within {timeout_s:g} s: {', '.join(missing)} did not take part.",
                    f"Look into {data / missing[0] / LOG_FILE}." if missing else "",
                )
            time.sleep(POLL_S)


def _last_words(log: Path) -> str:
    """The last lines of a log, in one."""
    try:
        with open(log, "rb") as stream:
            stream.seek(max(0, log.stat().st_size - 2_000))
            lines = stream.read().decode("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    said = [line.strip() for line in lines if line.strip()]
    return " | ".join(said[-3:]) or "it left no word."


def _remove_traces(data: Path, state: LocalState) -> None:
    """A cluster that never came to life is made anew by the next attempt, on other ports."""
    for worker in state.workers:
        shutil.rmtree(data / worker.id, ignore_errors=True)
    (data / STATE_FILE).unlink(missing_ok=True)
