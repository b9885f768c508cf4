"""What an HTTP request can be refused for; each class is one status code of RFC 9110.

Two families only: the client's fault (4xx) and what this server does not do (5xx). A bug of ours is neither.
"""

from typing import ClassVar


class HttpError(Exception):
    """A request that is answered with ``status``; ``reason`` is one line for a person.

    ``headers`` go into the answer. ``fatal`` says that the bytes that follow on the connection cannot be
    trusted to start a request, so that it must be closed.
    """

    status: ClassVar[int] = 500
    fatal: ClassVar[bool] = False

    def __init__(self, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.headers = headers


class BadRequest(HttpError):
    """The bytes are not one unambiguous HTTP request, or a field of it has no meaning here."""

    status = 400
    fatal = True


class Unauthorized(HttpError):
    """A password is asked for; ``WWW-Authenticate`` says so to the browser."""

    status = 401

    def __init__(self, realm: str) -> None:
        challenge = f'Basic realm="{realm}", charset="UTF-8"'
        super().__init__("This page asks for a password.", (("WWW-Authenticate", challenge),))


class Forbidden(HttpError):
    """The request is understood, and this client may not make it."""

    status = 403


class NotFound(HttpError):
    """Nothing lives at this path."""

    status = 404


class MethodNotAllowed(HttpError):
    """The path exists and does not take this method; ``Allow`` says which it takes."""

    status = 405

    def __init__(self, allowed: tuple[str, ...]) -> None:
        names = ", ".join(allowed)
        super().__init__(f"This address answers {names} only.", (("Allow", names),))


class RequestTimeout(HttpError):
    """The request did not arrive whole before its deadline."""

    status = 408
    fatal = True


class RangeNotSatisfiable(HttpError):
    """None of the bytes that were asked for exist; ``Content-Range`` says how many there are."""

    status = 416

    def __init__(self, size_bytes: int) -> None:
        super().__init__("These bytes are not there.", (("Content-Range", f"bytes */{size_bytes}"),))


class LengthRequired(HttpError):
    """A method that carries a body came without Content-Length and without chunks."""

    status = 411
    fatal = True


class ContentTooLarge(HttpError):
    """The body is longer than the limit."""

    status = 413
    fatal = True


class TargetTooLong(HttpError):
    """The request line is longer than the limit."""

    status = 414
    fatal = True


class ExpectationFailed(HttpError):
    """An ``Expect`` other than 100-continue."""

    status = 417
    fatal = True


class MisdirectedRequest(HttpError):
    """The ``Host`` is none of ours: a page of another site may be asking (DNS rebinding)."""

    status = 421
    fatal = True


class HeadersTooLarge(HttpError):
    """More header bytes or header fields than the limit."""

    status = 431
    fatal = True


class InternalError(HttpError):
    """The handler failed; what it raised is in the log, not in the answer."""

    status = 500


class UnknownMethod(HttpError):
    """A method or a transfer coding that this server does not speak."""

    status = 501
    fatal = True


class ServiceUnavailable(HttpError):
    """A limit of the server is reached for the moment."""

    status = 503
    fatal = True


class AnswerTimeout(HttpError):
    """The answer that another thread promised did not come in time."""

    status = 504


class VersionNotSupported(HttpError):
    """Neither HTTP/1.1 nor HTTP/1.0."""

    status = 505
    fatal = True
