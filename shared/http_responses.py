"""HTTP/1.1 answers as values, and their bytes (RFC 9110, RFC 9112)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from shared.http1 import FIELD_VALUE, TOKEN
from shared.http_errors import HttpError

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Response:
    """One whole answer; `encode_response` adds the length."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def json_response(value: Any, status: int = 200) -> Response:
    """`value` as a JSON document that no cache keeps."""
    body = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    headers = (("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store"))
    return Response(status, headers, body)


def text_response(text: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    """`text` as UTF-8 that no cache keeps."""
    return Response(status, (("Content-Type", content_type), ("Cache-Control", "no-store")), text.encode())


def error_response(error: HttpError) -> Response:
    """The answer that tells a client of `error`, in one line of text."""
    plain = text_response(error.reason + "\n", error.status)
    return Response(plain.status, plain.headers + error.headers, plain.body)


def encode_head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """A status line and header fields. Raises ValueError where a field could break out of its line."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    for name, value in headers:
        if not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            raise ValueError(f"the header field {name!r} cannot be written")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def encode_response(
    response: Response,
    *,
    keep_alive: bool = True,
    head_only: bool = False,
    extra: Iterable[tuple[str, str]] = (),
) -> bytes:
    """The bytes of an answer. `extra` fields go in where the response has none of that name.

    `head_only` is the answer to HEAD: the length of the body without the body (RFC 9110 section 9.3.2).
    """
    present = {name.lower() for name, _ in response.headers}
    headers = list(response.headers) + [field for field in extra if field[0].lower() not in present]
    bodiless = response.status in (204, 304)
    if not bodiless:
        headers.append(("Content-Length", str(len(response.body))))
    if not keep_alive:
        headers.append(("Connection", "close"))
    head = encode_head(response.status, headers)
    return head if head_only or bodiless else head + response.body
