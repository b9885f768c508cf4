"""The agent: one process on loopback that holds the relays, looks at the monitors, and does what its page asks.

Threads: one turns the HTTP loop, one carries bytes between the workers, one looks at the monitors, one does what was asked,
one thing after the other.
"""

import importlib.resources
import json
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from backend import local_cluster
from backend.addresses import parse_address
from backend.desktop.access import LOOPBACK, Access
from backend.lab.damage import flip_bit
from backend.lab.relay import Relays
from backend.lab.watch import Story, ask
from backend.local_state import LocalState, LocalWorker
from backend.processes import is_running, kill, pause, resume
from shared.errors import MinkaError, Refused
from shared.http1 import Request
from shared.http_connection import Answer
from shared.http_deferred import Deferred
from shared.http_delivery import delivered
from shared.http_errors import BadRequest, MethodNotAllowed, NotFound
from shared.http_files import StaticFiles
from shared.http_responses import Response, json_response
from shared.http_server import HttpServer

LOOK_S = 0.2
NOTICES = 50


class Lab:
    """What can be broken in one local cluster, and what is seen of it."""

    def __init__(self, data: Path, relays: Relays, rng: random.Random) -> None:
        self._data = data
        self._relays = relays
        self._rng = rng
        self._lock = threading.Lock()
        self._paused: set[str] = set()
        self._rows: dict[str, dict[str, Any] | None] = {}
        self._story = Story()
        self._acts: dict[str, Callable[[LocalWorker], None]] = {
            "pause": self._pause,
            "resume": self._resume,
            "kill": self._kill,
            "start": self._start,
            "flip": self._flip,
        }

    # --- breaking

    def act(self, asked: dict[str, Any]) -> None:
        """Do what the page asks. Raises `Refused`, `OSError`."""
        name = asked.get("act")
        if name in ("cut", "mend"):
            self._link(str(name), str(asked.get("worker")), str(asked.get("other")))
        elif name == "heal":
            self._heal()
        elif name in self._acts:
            self._acts[name](self._worker(str(asked.get("worker"))))
        else:
            raise Refused(f"There is nothing like {name!r} to do.")

    def _state(self) -> LocalState:
        return local_cluster.require_state(self._data)

    def _worker(self, id: str) -> LocalWorker:
        found = next((worker for worker in self._state().workers if worker.id == id), None)
        if found is None:
            raise Refused(f"There is no worker {id!r} here.")
        return found

    def _did(self, kind: str, **facts: Any) -> None:
        with self._lock:
            self._story.add(kind, **facts)

    def _pause(self, worker: LocalWorker) -> None:
        if worker.process is not None:
            pause(worker.process)
            self._paused.add(worker.id)
            self._did("pause", worker=worker.id)

    def _resume(self, worker: LocalWorker) -> None:
        if worker.process is not None:
            resume(worker.process)
            self._paused.discard(worker.id)
            self._did("resume", worker=worker.id)

    def _kill(self, worker: LocalWorker) -> None:
        if worker.process is not None:
            kill(worker.process)
            self._paused.discard(worker.id)
            self._did("kill", worker=worker.id)

    def _start(self, worker: LocalWorker) -> None:
        local_cluster.start_worker(self._data, worker.id)
        self._did("start", worker=worker.id)

    def _flip(self, worker: LocalWorker) -> None:
        where = flip_bit(self._data / worker.id, self._rng)
        self._did("flip", worker=worker.id, text=where)

    def _link(self, act: str, one: str, other: str) -> None:
        if one == other:
            raise Refused("A link joins two workers.")
        self._worker(one), self._worker(other)
        getattr(self._relays, act)(one, other)
        self._did(act, worker=one, other=other)

    def _heal(self) -> None:
        """Nothing is cut, paused or dead any more; what was flipped on a disk the cluster mends itself."""
        for link in self._relays.cuts:
            one, other = sorted(link)
            self._relays.mend(one, other)
        for worker in self._state().workers:
            if worker.process is not None and is_running(worker.process):
                if worker.id in self._paused:
                    self._resume(worker)
            else:
                self._start(worker)
        self._did("heal")

    # --- looking

    def look(self) -> None:
        """Ask every monitor once."""
        rows: dict[str, dict[str, Any] | None] = {}
        notices: dict[str, tuple[str, list[dict[str, Any]]]] = {}
        for worker in self._state().workers:
            rows[worker.id] = None
            if worker.process is None or worker.id in self._paused or not is_running(worker.process):
                continue
            try:
                rows[worker.id] = ask(parse_address(worker.monitor), "/api/status")
                told = ask(parse_address(worker.monitor), f"/api/notices?tail={NOTICES}")
                notices[worker.id] = (worker.process.started, told["notices"])
            except (OSError, ValueError, LookupError, TypeError):
                continue
        with self._lock:
            self._rows = rows
            self._story.saw(rows, len(rows))
            for id, (process, told) in notices.items():
                self._story.heard(id, process, told)

    def shown(self) -> dict[str, Any]:
        """All that the page shows."""
        workers = []
        for worker in self._state().workers:
            running = worker.process is not None and is_running(worker.process)
            process = "paused" if worker.id in self._paused and running else "running" if running else "gone"
            row = self._rows.get(worker.id) if process == "running" else None
            told = None if row is None else {name: value for name, value in row.items() if name != "peers"}
            workers.append({"id": worker.id, "monitor": worker.monitor, "process": process, "row": told})
        with self._lock:
            lines = list(self._story.lines)
        return {"workers": workers, "cuts": [sorted(link) for link in self._relays.cuts], "story": lines}


class LabSite:
    """The page and its two addresses, for whoever shows the token."""

    def __init__(self, lab: Lab, access: Access) -> None:
        self._lab = lab
        self._access = access
        self._hands = ThreadPoolExecutor(1, "hands")
        frontend = importlib.resources.files("frontend")
        self._pages = StaticFiles(frontend.joinpath("lab"))
        self._common = StaticFiles(frontend.joinpath("common"))

    def handle(self, request: Request) -> Answer:
        """The handler of the HTTP server."""
        self._access.check_place(request.head)
        if not request.path.startswith("/api/"):
            pages = self._common if request.path.startswith("/common/") else self._pages
            return delivered(request, pages.respond(request, request.path.removeprefix("/common")))
        self._access.check_token(request.head)
        match request.path:
            case "/api/state":
                if request.method not in ("GET", "HEAD"):
                    raise MethodNotAllowed(("GET", "HEAD"))
                return json_response(self._lab.shown())
            case "/api/do":
                if request.method != "POST":
                    raise MethodNotAllowed(("POST",))
                return self._do(request)
        raise NotFound("There is no such address.")

    def _do(self, request: Request) -> Deferred:
        try:
            asked = json.loads(request.body)
        except (ValueError, RecursionError) as error:
            raise BadRequest("What is to be done is told as JSON.") from error
        if not isinstance(asked, dict):
            raise BadRequest("What is to be done is a JSON object.")
        deferred = Deferred()
        self._hands.submit(lambda: deferred.complete(self._done(asked)))
        return deferred

    def _done(self, asked: dict[str, Any]) -> Response:
        try:
            self._lab.act(asked)
        except MinkaError as error:
            return json_response({"reason": str(error)}, 409)
        except OSError as error:
            return json_response({"reason": f"The system refused: {error.strerror or error}."}, 409)
        return json_response({})


def run_agent(data: Path) -> None:
    """Serve until SIGTERM. Raises `Refused` for a cluster without a lab, or whose ports are taken."""
    state = local_cluster.require_state(data)
    if state.lab is None:
        raise Refused(f"The cluster in {data} was made without --lab.")
    over = threading.Event()
    relays = Relays()
    lab = Lab(data, relays, random.Random())
    access = Access(state.lab.port, state.lab.token)
    try:
        for worker in state.workers:
            assert worker.door is not None, "a lab has a door for each worker"
            relays.add(worker.id, parse_address(worker.door), parse_address(worker.address))
        server = HttpServer(
            (LOOPBACK, state.lab.port), LabSite(lab, access).handle, allows_host=lambda name: name == LOOPBACK
        )
    except OSError as error:
        raise Refused(f"The lab cannot listen: {error.strerror or error}.") from error

    def stop(_number: int, _frame: FrameType | None) -> None:
        over.set()
        server.stop()

    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), stop)
    threads = [threading.Thread(target=relays.run, name="relays", daemon=True)]
    threads.append(threading.Thread(target=_watch, args=(lab, over), name="watch", daemon=True))
    for thread in threads:
        thread.start()
    try:
        server.serve_forever()
    finally:
        over.set()
        relays.stop()
        for thread in threads:
            thread.join()


def _watch(lab: Lab, over: threading.Event) -> None:
    while not over.wait(LOOK_S):
        lab.look()
