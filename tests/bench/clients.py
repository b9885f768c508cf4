"""Closed-loop clients in one process: each sends its next request when the last one is answered.

`python -m tests.bench.clients` is started by the benches, so that the load has a core's share of its own:
``minka|etcd put|read CLIENTS SECONDS HOST:PORT [ID KEY]``, ``minka predict`` with several ``HOST:PORT`` and ``ID`` behind
commas, and a MODEL at the end, or ``http predict``. The requests are there as bytes before the clock starts, ours as the
others': what making them costs is not the cluster's. It prints one JSON object, {"rate", "p50_ms", "p99_ms"}.
"""

import base64
import functools
import hashlib
import itertools
import json
import os
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType
from shared.handshake import ClientHandshake, Introduction
from worker.loop import Loop
from worker.settings import read_address

VALUE_BYTES = 1_024
IMAGE_BYTES = 28 * 28
SAMPLE = Path(__file__).parents[2] / "packaging" / "samples" / "mnist-test-images.idx.gz"


PREPARED_A_SECOND = 12_000
"""Requests of all clients together, for each second, that are there as bytes before the first is sent."""


class Meter:
    """Latencies of all answers since `begin`."""

    def __init__(self) -> None:
        self.began = 0.0
        self._latencies_s: list[float] = []

    def begin(self) -> None:
        self.began = time.perf_counter()

    def answered(self, sent: float) -> None:
        self._latencies_s.append(time.perf_counter() - sent)

    def result(self) -> dict[str, float]:
        seconds = time.perf_counter() - self.began
        ordered = sorted(self._latencies_s)
        return {
            "rate": len(ordered) / seconds,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[len(ordered) * 99 // 100] * 1e3,
        }


@functools.cache
def digits() -> Iterator[bytes]:
    """The images of the sample's test set, one after the other, for ever."""
    from shared.datasets import load_inputs  # brings numpy: only where it is needed

    return itertools.cycle([image.tobytes() for image in load_inputs(SAMPLE, "test")])


class MinkaClient:
    """One connection to a worker: puts of 1 KiB, reads that take a read index, or predictions of one image."""

    def __init__(
        self,
        loop: Loop,
        address: tuple[str, int],
        worker: str,
        key: bytes,
        op: str,
        meter: Meter,
        prepared: int,
        model: str = "",
    ) -> None:
        """Opens its session, and makes the bytes of its first `prepared` requests: what they cost is not the cluster's."""
        self._op, self._meter, self._model = op, meter, model
        self._image = next(digits()) if op == "predict" else b""
        self._session = self._number = 0
        self._encoder, self._decoder = FrameEncoder(), FrameDecoder()
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._shake_hands(worker, key)
        if op != "predict":
            self._open_session()
        self._prepared = deque(self._request(number) for number in range(1, prepared + 1))
        loop.watch(self._socket, selectors.EVENT_READ, self._readable)

    def _shake_hands(self, worker: str, key: bytes) -> None:
        handshake = ClientHandshake(Introduction("client", "bench", "client", ""), key)
        say: Frame | None = handshake.hello()
        while not handshake.done:
            if say is not None:
                self._socket.sendall(self._encoder.encode(say))
            frames = self._decoder.feed(self._socket.recv(65_536))
            for frame in frames:
                say = handshake.receive(frame)
        assert handshake.peer["id"] == worker
        self._encoder.seal(handshake.keys.send)
        self._decoder.seal(handshake.keys.receive)

    def _open_session(self) -> None:
        asked = Frame(FrameType.REQUEST, {"id": 0, "op": "session", "client": "bench"})
        self._socket.sendall(self._encoder.encode(asked))
        while not (frames := self._decoder.feed(self._socket.recv(65_536))):
            pass
        if frames[0].type is not FrameType.REPLY:
            raise SystemExit(f"no session was opened: {frames[0]}")
        self._session = frames[0].header["session"]

    def begin(self) -> None:
        """Send the first request; from then on, each follows on an answer."""
        self._next()

    def _next(self) -> None:
        self._number += 1
        request = self._prepared.popleft() if self._prepared else self._request(self._number)
        self._sent = time.perf_counter()
        self._socket.sendall(request)

    def _request(self, number: int) -> bytes:
        header: dict[str, Any] = {"id": number, "op": "file", "file": "bench"}
        body = self._image
        if self._op == "put":
            body = os.urandom(VALUE_BYTES)  # what is there already would not be written again
            header = {
                "id": number,
                "op": "put",
                "ticket": {"session": self._session, "sequence": number, "waiting_from": number},
                "name": f"v{number}",
                "digest": hashlib.sha256(body).hexdigest(),
                "size_bytes": VALUE_BYTES,
            }
        if self._op == "predict":
            image = {"form": "array", "size_bytes": IMAGE_BYTES, "shape": [1, 28, 28]}
            header = {"id": number, "op": "predict", "model": self._model, "inputs": [image]}
        return self._encoder.encode(Frame(FrameType.REQUEST, header, body))

    def _readable(self, _: int) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise SystemExit("a worker closed a connection")
        for frame in self._decoder.feed(data):
            if frame.type is not FrameType.REPLY or frame.header["id"] != self._number:
                raise SystemExit(f"a request was answered with {frame}")
            self._meter.answered(self._sent)
            self._next()


class HttpClient:
    """One keep-alive connection that asks the same again and again: `path` with this body."""

    def __init__(
        self, loop: Loop, address: tuple[str, int], path: str, kind: str, body: bytes, meter: Meter
    ) -> None:
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: bench",
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}",
        )
        self._request = "\r\n".join((*lines, "", "")).encode() + body
        self._meter = meter
        self._received = b""
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop.watch(self._socket, selectors.EVENT_READ, self._readable)

    def begin(self) -> None:
        """Send the first request; from then on, each follows on an answer."""
        self._next()

    def _next(self) -> None:
        self._sent = time.perf_counter()
        self._socket.sendall(self._request)

    def _readable(self, _: int) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise SystemExit("the server closed a connection")
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        length = next(
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length")
        )
        if len(body) < length:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(self._received.decode())
        self._received = b""
        self._meter.answered(self._sent)
        self._next()


def etcd(loop: Loop, address: tuple[str, int], number: int, op: str, meter: Meter) -> HttpClient:
    """Puts of 1 KiB, or linearizable ranges, through etcd's HTTP gateway."""
    value = base64.b64encode(os.urandom(VALUE_BYTES)).decode()
    key = base64.b64encode(f"key-{number}".encode()).decode()
    body = json.dumps({"key": key, "value": value} if op == "put" else {"key": key}).encode()
    path = "/v3/kv/put" if op == "put" else "/v3/kv/range"
    return HttpClient(loop, address, path, "application/json", body, meter)


def http(loop: Loop, address: tuple[str, int], meter: Meter) -> HttpClient:
    """Predictions of one image by `tests.bench.http_rival`."""
    return HttpClient(loop, address, "/predict", "application/octet-stream", next(digits()), meter)


def main(arguments: list[str]) -> None:
    """See the module's docstring."""
    system, op, clients, seconds, where, *more = arguments
    loop, meter, addresses = Loop(), Meter(), [read_address(one) for one in where.split(",")]
    kept: list[MinkaClient | HttpClient] = []
    if system == "minka":
        workers, key, model = more[0].split(","), bytes.fromhex(more[1]), "".join(more[2:])
        places = list(zip(addresses, workers, strict=True))
        prepared = int(float(seconds) * PREPARED_A_SECOND / int(clients))
        for number in range(int(clients)):
            place = places[number % len(places)]
            kept.append(MinkaClient(loop, *place, key, op, meter, prepared, model))
    elif system == "http":
        kept += [http(loop, addresses[0], meter) for _ in range(int(clients))]
    else:
        kept += [etcd(loop, addresses[0], number, op, meter) for number in range(int(clients))]
    meter.begin()
    for client in kept:
        client.begin()
    loop.now = time.monotonic()  # it stood still while the requests were made
    loop.call_later(float(seconds), loop.stop)
    loop.run(lambda: None)
    print(json.dumps(meter.result()))


if __name__ == "__main__":
    main(sys.argv[1:])
