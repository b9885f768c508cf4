"""The families of failure that cross a socket, and how each is written on the wire.

A FAILURE frame carries ``code``, ``reason`` and ``advice`` (what a person can do), and for ``not_leader`` the
address of the leader if the worker knows it. `failure_fields` and `from_failure` are each other's inverse, for texts of
sane length.
Our own bugs are none of these: they are assertions, and end the process.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class MinkaError(Exception):
    """What failed and why, in one line, and what to do about it.

    ``reason`` and ``advice`` are sentences for a person; ``code`` is for programs.
    """

    code: ClassVar[str] = "failed"

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.reason} {self.advice}".strip()


class ProtocolViolation(MinkaError):
    """The peer broke the protocol: its connection is closed and counted, nothing else is touched."""

    code = "violation"


class AccessDenied(MinkaError):
    """The other side could not prove the key of its role."""

    code = "access_denied"


class Unreachable(MinkaError):
    """No connection could be made, or it broke before a request was sent whole."""

    code = "unreachable"


class TimedOut(MinkaError):
    """No answer came in time to a request that changes nothing."""

    code = "timed_out"


class OutcomeUnknown(MinkaError):
    """Nobody can say (any more) whether a command was carried out: the same ticket may safely be sent again.

    Its answer was lost, or its leader stepped down before it was committed.
    """

    code = "outcome_unknown"


class NotLeader(MinkaError):
    """This worker does not lead; ``leader`` is the address "host:port" of the one that does, if it is known."""

    code = "not_leader"

    def __init__(self, reason: str, advice: str = "", leader: str | None = None) -> None:
        super().__init__(reason, advice)
        self.leader = leader


class Busy(MinkaError):
    """A limit of the cluster is reached for the moment; the same request may succeed later."""

    code = "busy"


class Refused(MinkaError):
    """The request was understood and cannot be done, for a reason that a person can act on."""

    code = "refused"


class SessionExpired(Refused):
    """The session is unknown or was closed for disuse: what became of an unanswered command can't be told any more."""

    code = "session_expired"


class BytesMissing(Refused):
    """A command names bytes that the leader does not hold (yet): see that it has them, and send the command again.

    It does not say what became of an earlier try of it.
    """

    code = "bytes_missing"


class NoSpace(Refused):
    """A disk is full: the leader's takes nothing new. It does not say what became of an earlier try of the command."""

    code = "no_space"


class TaskFailed(MinkaError):
    """A training or prediction task ended with an error; ``traceback`` says where."""

    code = "task_failed"

    def __init__(self, reason: str, advice: str = "", traceback: str = "") -> None:
        super().__init__(reason, advice)
        self.traceback = traceback


FAMILIES: Mapping[str, type[MinkaError]] = {
    family.code: family
    for family in (
        MinkaError,
        ProtocolViolation,
        AccessDenied,
        Unreachable,
        TimedOut,
        OutcomeUnknown,
        NotLeader,
        Busy,
        Refused,
        SessionExpired,
        BytesMissing,
        NoSpace,
        TaskFailed,
    )
}


SENTENCE_CHARACTERS = 2_000
TRACEBACK_CHARACTERS = 20_000
"""What of a reason or advice, and of a traceback (its end), is told: an error must always fit a frame."""


def failure_fields(error: MinkaError) -> dict[str, Any]:
    """The header fields of the FAILURE frame that tells of `error`."""
    fields: dict[str, Any] = {
        "code": error.code,
        "reason": _writable(error.reason[:SENTENCE_CHARACTERS]),
        "advice": _writable(error.advice[:SENTENCE_CHARACTERS]),
    }
    if isinstance(error, NotLeader):
        fields["leader"] = error.leader
    if isinstance(error, TaskFailed):
        fields["traceback"] = _writable(error.traceback[-TRACEBACK_CHARACTERS:])
    return fields


def _writable(text: str) -> str:
    """Without lone surrogates, which file names of foreign systems may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def from_failure(fields: Mapping[str, Any]) -> MinkaError:
    """The error that a FAILURE frame's header tells of; an unknown code becomes a plain `MinkaError`."""
    reason, advice = str(fields.get("reason", "no reason was given")), str(fields.get("advice", ""))
    family = FAMILIES.get(str(fields.get("code")), MinkaError)
    if family is NotLeader:
        leader = fields.get("leader")
        return NotLeader(reason, advice, leader if isinstance(leader, str) else None)
    if family is TaskFailed:
        return TaskFailed(reason, advice, str(fields.get("traceback", "")))
    return family(reason, advice)
