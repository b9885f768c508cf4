"""How a child process that computes answers its node: one thread receives and makes ready, the other computes.

    node ==frames==> receiving thread: prepare(op, header, body) -> Work
                          | a queue of one
                     computing thread: Work() -> answer ==frames==> node

While one request computes, the next is already received, checked and made ready. Every request is answered once, with
its own id, by a REPLY or a FAILURE; no request ends the process.
"""

import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from shared.errors import MinkaError, Refused, TaskFailed, Unreachable, failure_fields
from shared.frames import Frame, FrameType, ProtocolMisuse
from shared.stream import FrameStream
from worker.training.shared_memory import SIZE_FIELD, SharedMemory

Answer = tuple[dict[str, Any], bytes]
"""Header fields and body of a REPLY."""
Work = Callable[[], Answer]
Prepare = Callable[[str, Mapping[str, Any], bytes], Work]

PREFETCHED = 1


def answer_requests(stream: FrameStream, prepare: Prepare, memory: SharedMemory | None = None) -> None:
    """Answer until the node closes the connection. Raises ProtocolViolation if it breaks the protocol.

    With `memory`, large bodies come and go there; then the node must wait for an answer before it asks again.
    """
    ready: queue.Queue[tuple[Any, Work] | None] = queue.Queue(PREFETCHED)
    computing = threading.Thread(target=_compute, args=(stream, ready, memory), name="compute")
    computing.start()
    try:
        while True:
            frame = stream.receive()
            if frame.type is FrameType.REQUEST:
                ready.put((frame.header.get("id"), _prepared(prepare, frame, memory)))
    except Unreachable:
        return
    finally:
        ready.put(None)
        computing.join()


def _prepared(prepare: Prepare, frame: Frame, memory: SharedMemory | None) -> Work:
    try:
        body = frame.body
        if memory is not None and SIZE_FIELD in frame.header:
            body = memory.take(frame.header[SIZE_FIELD])
        return prepare(str(frame.header.get("op")), frame.header, body)
    except Exception as error:
        failure = _failure(error)

        def fail() -> Answer:
            raise failure

        return fail


def _compute(
    stream: FrameStream, ready: "queue.Queue[tuple[Any, Work] | None]", memory: SharedMemory | None
) -> None:
    while (item := ready.get()) is not None:
        number, work = item
        try:
            fields, body = work()
            if memory is not None and memory.give(body):
                fields, body = {**fields, SIZE_FIELD: len(body)}, b""
            _send(stream, Frame(FrameType.REPLY, {"id": number, **fields}, body))
        except Exception as error:
            _send(stream, Frame(FrameType.FAILURE, {"id": number, **failure_fields(_failure(error))}))


def _send(stream: FrameStream, frame: Frame) -> None:
    """Raises Refused for an answer that does not fit a frame; nothing when the node is gone, which ends the receiver."""
    try:
        stream.send(frame)
    except ProtocolMisuse as error:
        raise Refused(f"the answer cannot be sent: {error}.", "Ask for less at a time.") from error
    except Unreachable:
        stream.close()


def _failure(error: Exception) -> MinkaError:
    """What a person is told: an error of the families as it is, any other as a failed task with its traceback."""
    where = "".join(traceback.format_exception(error))
    if isinstance(error, TaskFailed):
        return TaskFailed(error.reason, error.advice, error.traceback or where)
    if isinstance(error, MinkaError):
        return error
    return TaskFailed(
        f"{type(error).__name__}: {error}", "This is a fault of the program; please report it.", where
    )
