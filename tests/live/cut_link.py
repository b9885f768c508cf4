"""A link that can be cut: a proxy before one worker, which counts what passes and breaks connections in the middle."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Literal, Self

PIECE_BYTES = 16_384

Way = Literal["up", "down"]


class CutLink:
    """Listens at `address` and passes everything on to `port` of this machine. Use as a context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._cut: tuple[Way, int, bool] | None = None
        self.passed = {"up": 0, "down": 0}
        """Bytes so far: to the worker, and from it."""
        self.cuts = 0
        self.down = False
        """While it is, new connections are broken at once."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down = True
        self._listener.close()
        self._break()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()
        return host, port

    def cut_after(self, way: Way, size_bytes: int, *, stays_down: bool = False) -> None:
        """Break all connections once so many more bytes have passed this way."""
        with self._lock:
            self._cut = way, self.passed[way] + size_bytes, stays_down

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was closed
            while True:
                client, _ = self._listener.accept()
                try:
                    if self.down:
                        raise ConnectionRefusedError
                    worker = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._open |= {client, worker}
                for way, source, target in (("up", client, worker), ("down", worker, client)):
                    threading.Thread(target=self._pass, args=(way, source, target), daemon=True).start()

    def _pass(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE_BYTES):
                with self._lock:
                    self.passed[way] += len(data)
                    due = self._cut is not None and self._cut[0] == way and self.passed[way] >= self._cut[1]
                    if due and self._cut is not None:
                        self.down = self._cut[2]
                        self._cut = None
                        self.cuts += 1
                if due:
                    self._break()
                    return
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _break(self) -> None:
        with self._lock:
            broken, self._open = self._open, set()
        for end in broken:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
