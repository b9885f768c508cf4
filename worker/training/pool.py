"""The trainer processes of one worker, one per core, and the queue of tasks before them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import Busy, MinkaError, Refused, TaskFailed
from worker.children import Child, Children
from worker.connections import Done
from worker.loop import Loop
from worker.training.shared_memory import SIZE_FIELD, SharedMemory

QUEUE_LIMIT = 1_024
ATTEMPTS = 3
"""A task whose process died is given to another so often; then the task itself is to blame."""


@dataclass(slots=True)
class _Task:
    op: str
    fields: dict[str, Any]
    body: bytes
    done: Done
    first: bool
    attempts: int = 0
    given_up: bool = False
    """Its model has ended."""


class TrainerPool:
    """Gives every task to a free process; each process computes one at a time."""

    def __init__(self, loop: Loop, children: Children, cores: int, environment: Mapping[str, str]) -> None:
        self._loop = loop
        self._urgent: deque[_Task] = deque()
        self._queue: deque[_Task] = deque()
        self._free: list[Child] = []
        self._at_work: dict[str, tuple[Child, _Task]] = {}
        """Name of the process -> it, and what it computes."""
        self._memory: dict[str, SharedMemory | None] = {}
        for number in range(cores):
            memory = SharedMemory.create()
            told = {"id": number, "memory": None if memory is None else memory.path}
            child = children.add(f"trainer-{number}", "worker.training.trainer", told, environment)
            self._memory[child.name] = memory
            child.joined = lambda child=child: self._joined(child)  # type: ignore[misc]
            child.left = lambda error, child=child: self._left(child)  # type: ignore[misc]
            child.start()

    def submit(
        self, op: str, fields: dict[str, Any], body: bytes, done: Done, *, first: bool = False
    ) -> None:
        """Run a task on some process; `first` puts it before those that wait. `done` hears once."""
        queue = self._queue_of(first)
        if len(queue) >= QUEUE_LIMIT:
            self._loop.call_later(0.0, lambda: done(Busy("Too many tasks wait on this worker."), b""))
            return
        queue.append(_Task(op, fields, body, done, first))
        self._assign()

    @property
    def busy(self) -> int:
        """How many processes compute now."""
        return len(self._at_work)

    def give_up(self, model: str) -> None:
        """Nobody wants to know any more what is computed for this model: a process that does so is started anew."""
        for queue in (self._urgent, self._queue):
            kept = [task for task in queue if task.fields.get("model") != model]
            dropped = [task for task in queue if task.fields.get("model") == model]
            queue.clear()
            queue.extend(kept)
            for task in dropped:
                task.done(_given_up(), b"")
        for child, task in list(self._at_work.values()):
            if task.fields.get("model") == model:
                task.given_up = True
                child.restart()

    def _queue_of(self, first: bool) -> deque[_Task]:
        return self._urgent if first else self._queue

    def _assign(self) -> None:
        while self._free and (queue := self._urgent or self._queue):
            self._give(self._free.pop(), queue.popleft())

    def _give(self, child: Child, task: _Task) -> None:
        assert child.connection is not None
        connection = child.connection
        task.attempts += 1
        self._at_work[child.name] = (child, task)
        memory = self._memory[child.name]

        def came(answer: dict[str, Any] | MinkaError, body: bytes) -> None:
            if self._at_work.get(child.name) == (child, task):
                del self._at_work[child.name]
            if child.connection is connection:
                if memory is not None and isinstance(answer, dict) and SIZE_FIELD in answer:
                    body = memory.take(answer.pop(SIZE_FIELD))
                self._free.append(child)
                task.done(answer, body)
            elif task.given_up:
                task.done(_given_up(), b"")
            elif task.attempts < ATTEMPTS:
                self._queue_of(task.first).appendleft(task)
            else:
                reason = f"The process that ran {task.op!r} died {ATTEMPTS} times."
                task.done(TaskFailed(reason, "The machine may be out of memory."), b"")
            self._assign()

        if memory is not None and memory.give(task.body):
            connection.call(task.op, {**task.fields, SIZE_FIELD: len(task.body)}, b"", came)
        else:
            connection.call(task.op, task.fields, task.body, came)

    def _joined(self, child: Child) -> None:
        self._free.append(child)
        self._assign()

    def _left(self, child: Child) -> None:
        if child in self._free:
            self._free.remove(child)


def _given_up() -> Refused:
    return Refused("The job of this task has ended.", 'See "minka show".')
