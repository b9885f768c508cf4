"""HTTP/1.1 as a server speaks it, without I/O: bytes in, events out (RFC 9110, RFC 9112).

One request is ``Head``, then any number of ``Data``, then ``End``; the next request of the same connection
follows. The decoder reads what is unambiguous and refuses the rest, because two readers who disagree about
where a request ends are what request smuggling lives on. It is stricter than RFC 9112 in that

* a line ends with CRLF, never with a lone LF or CR; no empty line comes before a request line;
* Content-Length appears once, as digits; together with Transfer-Encoding it is an error; the only transfer
  coding is ``chunked``, and only in HTTP/1.1;
* chunk extensions and trailers are refused (their limit is zero bytes);
* the absolute form of a target must name the same host as ``Host``.

Every failure is an `HttpError`; after one the decoder stays broken and raises it again. The same bytes give
the same events and the same error, whole or one at a time.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote_to_bytes

from shared.http_errors import (
    BadRequest,
    ContentTooLarge,
    ExpectationFailed,
    HeadersTooLarge,
    HttpError,
    LengthRequired,
    TargetTooLong,
    UnknownMethod,
    VersionNotSupported,
)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")
_VERSION = re.compile(r"HTTP/[0-9]\.[0-9]")
_HOST = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z_.\-]{1,253})(?::(?P<port>[0-9]{1,5}))?")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CHUNK_SIZE = re.compile(r"[0-9A-Fa-f]{1,16}")
_DIGITS = re.compile(r"[0-9]{1,18}")
_SINGLE = frozenset(
    {"host", "content-length", "transfer-encoding", "expect", "content-type", "authorization"}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a request is taken before it is refused; in bytes, `header_count` in fields."""

    line_bytes: int = 8 * 1024
    header_bytes: int = 16 * 1024
    header_count: int = 64
    body_bytes: int = 1024 * 1024
    query_fields: int = 32


@dataclass(frozen=True, slots=True)
class Head:
    """The request line and the headers of one request.

    ``path`` is percent-decoded UTF-8 and starts with "/"; ``headers`` has lower-case names, repeated fields
    joined by ", "; ``host`` is lower-case, without its port ("" for HTTP/1.0 without Host); ``length`` is the
    body's length in bytes, None when it comes in chunks.
    """

    method: str
    target: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    port: int | None
    length: int | None
    keep_alive: bool
    expects_continue: bool


@dataclass(frozen=True, slots=True)
class Data:
    """The next bytes of the body."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The request is whole."""


Event = Head | Data | End


class _State(enum.Enum):
    REQUEST_LINE = "request line"
    FIELDS = "header fields"
    BODY = "body"
    CHUNK_SIZE = "chunk size"
    CHUNK_END = "end of a chunk"
    LAST_LINE = "end of the chunks"


class RequestDecoder:
    """Turns the bytes of one connection into the events of its requests, in order."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._state = _State.REQUEST_LINE
        self._request_line = ""
        self._fields: list[tuple[str, str]] = []
        self._field_bytes = 0
        self._remaining = 0
        self._body_bytes = 0
        self._chunked = False
        self._broken: HttpError | None = None

    def __repr__(self) -> str:
        return f"RequestDecoder(in the {self._state.value}, {len(self._buffer)} bytes wait)"

    @property
    def buffered_bytes(self) -> int:
        """Bytes received that no event has been made of yet."""
        return len(self._buffer)

    @property
    def between_requests(self) -> bool:
        """No byte of a next request has come."""
        return self._state is _State.REQUEST_LINE and not self._buffer

    def receive(self, data: bytes | memoryview) -> None:
        """Takes bytes from the client; their events come from `next_event`."""
        self._buffer += data

    def next_event(self) -> Event | None:
        """The next event, or None until more bytes come. Raises `HttpError`, and then again at each call."""
        if self._broken is not None:
            raise self._broken
        try:
            while True:
                state = self._state
                event = self._step()
                if event is not None or self._state is state:
                    return event
        except HttpError as error:
            self._broken = error
            raise

    def _step(self) -> Event | None:
        """One event, or one change of state, or neither: then bytes are lacking."""
        match self._state:
            case _State.REQUEST_LINE:
                line = self._line(self._limits.line_bytes, TargetTooLong("The request line is too long."))
                if line is not None:
                    self._request_line = line
                    self._fields, self._field_bytes = [], 0
                    self._state = _State.FIELDS
                return None
            case _State.FIELDS:
                return self._step_fields()
            case _State.BODY:
                return self._step_body()
            case _State.CHUNK_SIZE:
                line = self._line(16, BadRequest("A chunk size is too long."))
                if line is not None:
                    self._begin_chunk(line)
                return None
            case _State.CHUNK_END:
                if self._line(0, BadRequest("A chunk is longer than its size.")) is not None:
                    self._state = _State.CHUNK_SIZE
                return None
            case _State.LAST_LINE:
                if self._line(0, BadRequest("Trailers are not taken.")) is None:
                    return None
                self._state = _State.REQUEST_LINE
                return End()

    def _line(self, limit: int, too_long: HttpError) -> str | None:
        """The next line without its CRLF, at most `limit` bytes; None while it is not whole."""
        end = self._buffer.find(b"\n", self._searched, limit + 2)
        if end < 0:
            if len(self._buffer) >= limit + 2:
                raise too_long
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._searched = 0
        if not line.endswith(b"\r") or line.find(b"\r") != len(line) - 1:
            raise BadRequest("A line does not end with CRLF.")
        return line[:-1].decode("latin-1")

    def _step_fields(self) -> Event | None:
        while True:
            room = self._limits.header_bytes - self._field_bytes
            line = self._line(room, HeadersTooLarge("The headers are too long."))
            if line is None:
                return None
            if not line:
                return self._begin_request()
            self._field_bytes += len(line)
            if len(self._fields) == self._limits.header_count:
                raise HeadersTooLarge("There are too many header fields.")
            self._fields.append(_parse_field(line))

    def _begin_request(self) -> Head:
        head = parse_head(self._request_line, self._fields, self._limits)
        self._body_bytes = 0
        self._chunked = head.length is None
        if head.length is None:
            self._state = _State.CHUNK_SIZE
        else:
            self._reserve(head.length)
            self._state = _State.BODY
        return head

    def _begin_chunk(self, line: str) -> None:
        if not _CHUNK_SIZE.fullmatch(line):
            raise BadRequest("A chunk size is not a hexadecimal number.")
        size = int(line, 16)
        self._reserve(size)
        self._state = _State.BODY if size else _State.LAST_LINE

    def _reserve(self, size: int) -> None:
        self._remaining = size
        self._body_bytes += size
        if self._body_bytes > self._limits.body_bytes:
            raise ContentTooLarge(f"The body is longer than {self._limits.body_bytes} bytes.")

    def _step_body(self) -> Event | None:
        if self._remaining == 0:
            self._state = _State.CHUNK_END if self._chunked else _State.REQUEST_LINE
            return None if self._chunked else End()
        if not self._buffer:
            return None
        data = bytes(memoryview(self._buffer)[: self._remaining])
        del self._buffer[: len(data)]
        self._remaining -= len(data)
        return Data(data)


def _parse_field(line: str) -> tuple[str, str]:
    """Name (lower case) and value of one header line, RFC 9112 section 5."""
    if line[0] in " \t":
        raise BadRequest("Folded header lines are not taken.")
    name, colon, value = line.partition(":")
    value = value.strip(" \t")
    if not colon or not TOKEN.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise BadRequest("A header field is malformed.")
    return name.lower(), value


def parse_head(request_line: str, fields: Iterable[tuple[str, str]], limits: Limits) -> Head:
    """The request that a request line and its header fields (lower-case names) make. Raises `HttpError`."""
    method, target, minor_version = _parse_request_line(request_line)
    headers = _combine(fields)
    host, port = _parse_host(headers.get("host"), required=minor_version == 1)
    authority, path, query = _parse_target(target, method)
    if authority is not None and _parse_host(authority, required=True) != (host, port):
        raise BadRequest("The target and the Host header name different hosts.")
    connection = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    expect = headers.get("expect", "").lower() if minor_version == 1 else ""
    if expect not in ("", "100-continue"):
        raise ExpectationFailed("Only the expectation 100-continue is understood.")
    length = _body_length(method, headers, minor_version)
    return Head(
        method=method,
        target=target,
        path=path,
        query=_parse_query(query, limits.query_fields),
        headers=headers,
        host=host,
        port=port,
        length=length,
        keep_alive=minor_version == 1 and "close" not in connection,
        expects_continue=expect == "100-continue" and length != 0,
    )


def _parse_request_line(line: str) -> tuple[str, str, int]:
    parts = line.split(" ")
    if len(parts) != 3:
        raise BadRequest("The request line is not method, target and version.")
    method, target, version = parts
    if not TOKEN.fullmatch(method) or not _TARGET.fullmatch(target) or not _VERSION.fullmatch(version):
        raise BadRequest("The request line is malformed.")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise VersionNotSupported("This server speaks HTTP/1.1.")
    if method not in METHODS:
        raise UnknownMethod("This method is not known here.")
    return method, target, int(version[-1])


def _combine(fields: Iterable[tuple[str, str]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in fields:
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise BadRequest(f"The header field {name} appears twice.")
        else:
            headers[name] = f"{headers[name]}, {value}"
    return headers


def _parse_host(value: str | None, *, required: bool) -> tuple[str, int | None]:
    if value is None:
        if required:
            raise BadRequest("The Host header is missing.")
        return "", None
    match = _HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        raise BadRequest("The Host header is malformed.")
    return match["name"].lower(), int(match["port"]) if match["port"] else None


def _parse_target(target: str, method: str) -> tuple[str | None, str, str]:
    """Authority (absolute form only), decoded path and raw query, RFC 9112 section 3.2."""
    authority = None
    if target == "*" and method == "OPTIONS":
        return None, "*", ""
    if target.lower().startswith("http://"):
        authority, slash, rest = target[7:].partition("/")
        target = slash + rest if slash else "/"
    if not target.startswith("/"):
        raise BadRequest("The target is not a path.")
    raw_path, _, query = target.partition("?")
    return authority, _unescape(raw_path), query


def _unescape(text: str) -> str:
    if _BROKEN_ESCAPE.search(text):
        raise BadRequest("A percent escape is broken.")
    try:
        decoded = unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest("The target is not UTF-8.") from error
    if any(ord(character) < 32 or ord(character) == 127 for character in decoded):
        raise BadRequest("The target holds a control character.")
    return decoded


def _parse_query(query: str, max_fields: int) -> dict[str, str]:
    if not query:
        return {}
    _unescape(query)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=max_fields)
    except ValueError as error:
        raise BadRequest("The query has too many fields.") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRequest("A field of the query appears twice.")
    return fields


def _body_length(method: str, headers: Mapping[str, str], minor_version: int) -> int | None:
    """Bytes of the body, None for chunks, RFC 9112 section 6.3."""
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if length is not None or minor_version == 0:
            raise BadRequest("Transfer-Encoding cannot stand beside Content-Length, nor in HTTP/1.0.")
        if coding.lower() != "chunked":
            raise UnknownMethod("The only transfer coding is chunked.")
        return None
    if length is None:
        if method in METHODS_WITH_BODY:
            raise LengthRequired("A request with a body must give its Content-Length.")
        return 0
    if not length.isascii() or not length.isdigit():
        raise BadRequest("Content-Length is not a number.")
    if not _DIGITS.fullmatch(length):
        raise ContentTooLarge("The body is too long.")
    return int(length)


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request as a handler sees it: its head, its body, and the address of the client."""

    head: Head
    body: bytes = b""
    client: str = ""

    @property
    def method(self) -> str:
        """GET, HEAD, POST ..."""
        return self.head.method

    @property
    def path(self) -> str:
        """The decoded path, "/" first."""
        return self.head.path
