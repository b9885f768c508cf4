"""The local bridge: serves the page on loopback and does what it asks; everything else is in the modules it joins.

Threads: one turns the HTTP loop; one watches the cluster; a few do what waits for the cluster, the disk or the person;
a few move files. None of them is the window's.
"""

import importlib.resources
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib.resources.abc import Traversable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backend.desktop.access import LOOPBACK, Access
from backend.desktop.api import Api, Chooser, error_answer
from backend.desktop.archives import Archives
from backend.desktop.board import Board
from backend.desktop.calls import Call, Route
from backend.desktop.choices import ChoiceFile
from backend.desktop.dataset_requests import DatasetRequests
from backend.desktop.finder import ClusterFinder, GivenCluster
from backend.desktop.handles import FileHandles
from backend.desktop.jobs import TransferDesk
from backend.desktop.link import ClusterLink, Find, Open
from backend.desktop.model_desk import ModelDesk
from backend.desktop.settings_requests import SettingsRequests
from backend.desktop.spool import Spool
from backend.desktop.transfer_queue import TransferQueue
from backend.desktop.watch import INTERVAL_S, ClusterWatch
from backend.local_names import free_path
from shared.errors import Busy, MinkaError
from shared.http1 import Limits, Request
from shared.http_connection import Answer, ServerLimits
from shared.http_deferred import Deferred
from shared.http_errors import MethodNotAllowed
from shared.http_events import EventStream, encode_event
from shared.http_files import StaticFiles
from shared.http_responses import Response, json_response
from shared.http_server import CONTENT_SECURITY_POLICY, HttpServer
from shared.messages import PREDICT_BYTES

REQUEST_THREADS = 6
WAITING_LIMIT = 256

log = logging.getLogger(__name__)


class DownloadsFolder:
    """Where files go when there is no window to ask with: the person's folder for downloads. Nothing can be chosen."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def open_files(self) -> list[Path]:
        """None: a browser has its own dialog."""
        return []

    def open_folder(self) -> list[Path]:
        """None, as `open_files`."""
        return []

    def save_as(self, name: str) -> Path | None:
        """A name that is still free there."""
        folder = self._folder or next(
            (place for place in (Path.home() / "Downloads", Path.home() / "Descargas") if place.is_dir()),
            Path.home(),
        )
        return free_path(folder, name)


class Bridge:
    """Listens from construction on; works between `start` and `close`."""

    def __init__(
        self,
        find: Find,
        open_client: Open,
        chooser: Chooser | None = None,
        *,
        choices: ChoiceFile | None = None,
        evaluates_scripts: bool = False,
        look_every_s: float = INTERVAL_S,
    ) -> None:
        """`choices` keep what the person has chosen, by default for this run only.

        `evaluates_scripts` allows what pywebview needs to talk to a page: scripts made from text. The cluster is looked at
        every `look_every_s` seconds.

        Raises OSError when there is no free port.
        """
        self.handles = FileHandles()
        self._board = Board()
        self._link = ClusterLink(find, open_client)
        self._watch = ClusterWatch(self._link, self._board, look_every_s)
        self._spool = Spool()
        self._queue = TransferQueue(lambda: self._board.touch("transfers"))
        desk = TransferDesk(self._link, self._queue, self._watch.soon)
        person = chooser or DownloadsFolder()
        models = ModelDesk(self._board, self._link, self.handles, person, self._watch.soon)
        self._archives = Archives(self.handles, desk)
        self._choices = choices or ChoiceFile(None)
        finder = find if isinstance(find, ClusterFinder) else GivenCluster()
        others = (
            *self._archives.routes,
            *DatasetRequests(self._board, self._link, self._watch.soon).routes,
            *SettingsRequests(finder, self._choices, self._watch.soon).routes,
        )
        self._api = Api(
            self._board,
            self._link,
            self._queue,
            desk,
            models,
            self.handles,
            self._spool,
            person,
            self._watch.soon,
            others,
        )
        self._pool = ThreadPoolExecutor(REQUEST_THREADS, thread_name_prefix="request")
        self._room = threading.BoundedSemaphore(WAITING_LIMIT)
        self._pages = PageFiles(importlib.resources.files("frontend"), evaluates_scripts)
        self._events = EventStream(lambda _: [encode_event("versions", self._board.versions())])
        self._telling = threading.Lock()
        limits = ServerLimits(request=Limits(body_bytes=PREDICT_BYTES + 64 * 1024))
        self._server = HttpServer(
            (LOOPBACK, 0), self._answer, allows_host=lambda name: name == LOOPBACK, limits=limits
        )
        self.access = Access(self._server.address[1])
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="bridge-http", daemon=True),
            threading.Thread(target=self._watch.run, name="bridge-watch", daemon=True),
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        """What to open: the page, in its fragment this run's token and how the person wants it to look."""
        chosen = self._choices.get()
        look = {"language": chosen.language, "theme": chosen.theme}
        wanted = "".join(f"&{name}={value}" for name, value in look.items())
        return self.access.address + wanted

    def start(self) -> None:
        """Begins to serve and to watch the cluster."""
        self._board.listen(self._tell)
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        """Returns when the bridge no longer serves; a signal may end it earlier."""
        self._threads[0].join()

    def close(self) -> None:
        """Ends everything that runs; what was under way ends with an error."""
        self._board.listen(None)
        self._watch.stop()
        self._link.close()
        self._queue.close()
        self._pool.shutdown(cancel_futures=True)
        self._server.stop()
        for thread in self._threads:
            thread.join()
        self._spool.close()
        self._archives.close()

    def _tell(self) -> None:
        """Publishes the versions once, however many changes come before the loop gets to it."""
        if not self._telling.acquire(blocking=False):
            return
        try:
            self._server.call_soon(self._publish)
        except Busy:
            self._telling.release()

    def _publish(self) -> None:
        self._telling.release()
        self._events.publish("versions", self._board.versions())

    def _answer(self, request: Request) -> Answer:
        self.access.check_place(request.head)
        if not request.path.startswith("/api/"):
            return self._pages.respond(request)
        self.access.check_token(request.head)
        if request.path == "/api/events":
            if request.method != "GET":
                raise MethodNotAllowed(("GET",))
            return self._events
        route, call = self._api.route(request)
        if not route.waits:
            return _result(route, call)
        deferred = Deferred()
        if not self._room.acquire(blocking=False):
            return error_answer(Busy("Too much is asked for at once.", "Try again in a moment."))
        self._pool.submit(self._work, route, call, deferred)
        return deferred

    def _work(self, route: Route, call: Call, deferred: Deferred) -> None:
        try:
            deferred.complete(_result(route, call))
        finally:
            self._room.release()


class PageFiles:
    """The page's own files: / is the application, /common/ is shared with the monitor."""

    def __init__(self, frontend: Traversable, evaluates_scripts: bool) -> None:
        self._app = StaticFiles(frontend / "app")
        self._common = StaticFiles(frontend / "common")
        self._headers: tuple[tuple[str, str], ...] = ()
        if evaluates_scripts:
            policy = CONTENT_SECURITY_POLICY.replace("script-src 'self'", "script-src 'self' 'unsafe-eval'")
            self._headers = (("Content-Security-Policy", policy),)

    def respond(self, request: Request) -> Response:
        """Raises `NotFound`, `MethodNotAllowed`."""
        folder, path = self._app, request.path
        if path.startswith("/common/"):
            folder, path = self._common, path.removeprefix("/common/")
        plain = folder.respond(request, path)
        return Response(plain.status, plain.headers + self._headers, plain.body)


def _result(route: Route, call: Call) -> Response:
    try:
        value: Any = route.answer(call)
    except MinkaError as error:
        return error_answer(error)
    except Exception as error:
        log.exception("%s %s failed", route.method, route.pattern.pattern)
        return error_answer(MinkaError(f"Minka itself failed: {error}", "Please report this."))
    return value if isinstance(value, Response) else json_response(value)
