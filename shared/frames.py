"""Frames: the units of the wire. Bytes in, frames out; no socket, no clock.

    offset  0        4    5    6        8              12             16             20
            +--------+----+----+--------+--------------+--------------+--------------+--------+------+
            | "MNKA" | 1  |type| flags  | header bytes |  body bytes  |    CRC-32    | header | body |
            +--------+----+----+--------+--------------+--------------+--------------+--------+------+
    sealed (flag bit 0), a trailer follows:   | sequence, 8 bytes | BLAKE2b MAC, 16 bytes |

Integers are big-endian and unsigned. The CRC covers the first 16 bytes, the header and the body; the MAC
covers the prefix, the header, the body (not between a worker and its children) and the sequence. The header
is one JSON object in UTF-8. docs/protocol.md has the rest.

Two kinds of failure are kept apart: `ProtocolViolation` is the peer's, `ProtocolMisuse` is a bug of this
program.
"""

import hmac
import json
import math
import struct
import zlib
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Final

from shared.errors import ProtocolViolation
from shared.value import value

MAGIC: Final = b"MNKA"
VERSION: Final = 1
SEALED: Final = 1
PREFIX_BYTES: Final = 20
TRAILER_BYTES: Final = 24
MAC_BYTES: Final = 16

MAX_HEADER_BYTES: Final = 1 << 20
MAX_BODY_BYTES: Final = (16 << 20) + (64 << 10)
MAX_OPENING_HEADER_BYTES: Final = 4 << 10
"""The header's limit until the handshake is done; a body is not allowed at all until then."""
MAX_DEPTH: Final = 32
"""How deep objects and arrays of a header may be nested; the header itself is level 1."""

_PREFIX = struct.Struct(">4sBBHIII")
_CHECKED = struct.Struct(">4sBBHII")
_CRC = struct.Struct(">I")
_SEQUENCE = struct.Struct(">Q")


class FrameType(IntEnum):
    """What a frame is for; the number is its byte on the wire."""

    HELLO = 1
    CHALLENGE = 2
    PROOF = 3
    WELCOME = 4
    REQUEST = 16
    REPLY = 17
    FAILURE = 18
    NOTICE = 19
    RAFT = 32


OPENING_TYPES: Final = frozenset(
    {FrameType.HELLO, FrameType.CHALLENGE, FrameType.PROOF, FrameType.WELCOME, FrameType.FAILURE}
)
"""The types that travel unsealed, before the handshake is done."""
SEALED_TYPES: Final = frozenset(
    {FrameType.REQUEST, FrameType.REPLY, FrameType.FAILURE, FrameType.NOTICE, FrameType.RAFT}
)
"""The types that travel sealed, after the handshake."""
_TYPE_OF = {int(member): member for member in FrameType}


class ProtocolMisuse(RuntimeError):
    """A bug of this program: it asked for a frame that may not be sent, or for a step out of order."""


@value
class Frame:
    """One frame: `header` is a JSON object of finite numbers and 64-bit integers, `body` raw bytes."""

    type: FrameType
    header: dict[str, Any]
    body: bytes = b""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return fields


def _integer(text: str) -> int:
    if len(text) > 20 or not -(1 << 63) <= (number := int(text)) < 1 << 63:
        raise ValueError("an integer does not fit in 64 bits")
    return number


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_READER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_int=_integer, parse_constant=_no_constant
)
_WRITER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def _nested_too_deep(header: dict[str, Any]) -> bool:
    level: list[Any] = [header]
    for _ in range(MAX_DEPTH):
        level = [
            value
            for container in level
            for value in (container.values() if isinstance(container, dict) else container)
            if isinstance(value, dict | list)
        ]
        if not level:
            return False
    return True


def _read_header(data: bytearray) -> dict[str, Any]:
    try:
        header = _READER.decode(data.decode("utf-8"))
        if b"\\u" in data:  # maybe an escaped surrogate: alone, it is no character of UTF-8
            _WRITER.encode(header).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation(f"A frame's header is not valid JSON in UTF-8: {str(error)[:200]}.") from None
    if not isinstance(header, dict):
        raise ProtocolViolation("A frame's header is not a JSON object.")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _nested_too_deep(header):
        raise ProtocolViolation(f"A frame's header is nested deeper than {MAX_DEPTH} levels.")
    return header


def _write_header(header: dict[str, Any]) -> bytes:
    try:
        return _WRITER.encode(header).encode("utf-8")
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolMisuse(f"this header cannot be written as JSON: {error}") from error


class FrameEncoder:
    """Turns frames into bytes, for one direction of one connection."""

    __slots__ = ("_bodies", "_sequence", "_state")

    def __init__(self) -> None:
        self._state: blake2b | None = None
        self._bodies = True
        self._sequence = 0

    def __repr__(self) -> str:
        return f"<FrameEncoder {'open' if self._state is None else 'sealed'}, {self._sequence} sealed frames>"

    def seal(self, key: bytes, *, bodies: bool = True) -> None:
        """Seals every later frame with `key` (the direction's session key, 32 bytes). Once only.

        Without `bodies` the MAC covers of a body its CRC-32 alone.
        """
        if self._state is not None:
            raise ProtocolMisuse("the encoder is sealed already")
        self._bodies = bodies
        self._state = blake2b(digest_size=MAC_BYTES, key=key)

    def encode(self, frame: Frame) -> bytes:
        """The whole frame in one buffer. Raises `ProtocolMisuse` for what a peer would not accept.

        The peer must be given the frames in the order of these calls.
        """
        sealed = self._state is not None
        header, body = _write_header(frame.header), frame.body
        if frame.type not in (SEALED_TYPES if sealed else OPENING_TYPES):
            raise ProtocolMisuse(f"{frame.type.name} is not sent {'sealed' if sealed else 'unsealed'}")
        if len(header) > (MAX_HEADER_BYTES if sealed else MAX_OPENING_HEADER_BYTES):
            raise ProtocolMisuse(f"a header of {len(header)} bytes is over the limit")
        if len(body) > (MAX_BODY_BYTES if sealed else 0):
            raise ProtocolMisuse(f"a body of {len(body)} bytes is over the limit")
        checked = _CHECKED.pack(MAGIC, VERSION, frame.type, SEALED if sealed else 0, len(header), len(body))
        crc = zlib.crc32(body, zlib.crc32(header, zlib.crc32(checked)))
        lead = b"".join((checked, _CRC.pack(crc), header))
        if self._state is None:
            return lead
        sequence = _SEQUENCE.pack(self._sequence)
        self._sequence += 1
        mac = self._state.copy()
        mac.update(lead)
        if self._bodies:
            mac.update(body)
        mac.update(sequence)
        return b"".join((lead, body, sequence, mac.digest()))


class FrameDecoder:
    """Turns bytes into frames, for one direction of one connection.

    Call `receive` with what the socket gave, then `next_frame` until it gives None. `seal` may be called
    between two calls of `next_frame`: the bytes that are here already are then read as sealed. Whoever drains
    the frames like this after each `receive` bounds what is held at one frame and what was received last. The
    first `ProtocolViolation` is final: every later call raises it again.
    """

    __slots__ = ("_bodies", "_broken", "_buffer", "_sequence", "_start", "_state")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._state: blake2b | None = None
        self._bodies = True
        self._sequence = 0
        self._broken: ProtocolViolation | None = None

    def __repr__(self) -> str:
        state = "broken" if self._broken else "open" if self._state is None else "sealed"
        return f"<FrameDecoder {state}, {self._sequence} sealed frames, {self.pending_bytes} bytes pending>"

    @property
    def pending_bytes(self) -> int:
        """How many bytes are held that no frame was made of yet: 0 where a connection may end decently."""
        return len(self._buffer) - self._start

    def seal(self, key: bytes, *, bodies: bool = True) -> None:
        """Demands that every later frame is sealed with `key`, as `FrameEncoder.seal` does it. Once only."""
        if self._state is not None:
            raise ProtocolMisuse("the decoder is sealed already")
        self._bodies = bodies
        self._state = blake2b(digest_size=MAC_BYTES, key=key)

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what the socket gave, of any length; `data` is copied."""
        self._check_intact()
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next_frame(self) -> Frame | None:
        """The next whole frame, or None until more bytes come. Raises `ProtocolViolation`."""
        self._check_intact()
        try:
            return self._take_frame()
        except ProtocolViolation as violation:
            self._broken = violation
            self._buffer = bytearray()
            self._start = 0
            raise

    def feed(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """`receive`, then all whole frames. Where a violation follows them, they are lost with it."""
        self.receive(data)
        frames = []
        while (frame := self.next_frame()) is not None:
            frames.append(frame)
        return frames

    def _check_intact(self) -> None:
        if self._broken is not None:
            raise ProtocolViolation(self._broken.reason, self._broken.advice)

    def _take_frame(self) -> Frame | None:
        start, buffer, sealed = self._start, self._buffer, self._state is not None
        if len(buffer) - start < PREFIX_BYTES:
            return None
        magic, version, code, flags, header_bytes, body_bytes, crc = _PREFIX.unpack_from(buffer, start)
        if magic != MAGIC:
            raise ProtocolViolation(
                "The peer does not speak Minka's protocol.", "Check the address and the port."
            )
        if version != VERSION:
            raise ProtocolViolation(
                f"The peer speaks version {version} of the protocol, this side version {VERSION}.",
                "Install the same release of Minka on both machines.",
            )
        frame_type = _TYPE_OF.get(code)
        if frame_type not in (SEALED_TYPES if sealed else OPENING_TYPES):
            name = code if frame_type is None else frame_type.name
            raise ProtocolViolation(
                f"A frame of type {name} is not allowed {'after' if sealed else 'before'} the handshake."
            )
        if flags != (SEALED if sealed else 0):
            raise ProtocolViolation(f"A frame with flags {flags:#06x} is not allowed here.")
        if header_bytes > (MAX_HEADER_BYTES if sealed else MAX_OPENING_HEADER_BYTES):
            raise ProtocolViolation(f"A frame announces a header of {header_bytes} bytes, over the limit.")
        if body_bytes > (MAX_BODY_BYTES if sealed else 0):
            raise ProtocolViolation(f"A frame announces a body of {body_bytes} bytes, over the limit.")
        body_start = start + PREFIX_BYTES + header_bytes
        end = body_start + body_bytes
        if len(buffer) < (end + TRAILER_BYTES if sealed else end):
            return None
        with memoryview(buffer) as view:
            checked_crc = zlib.crc32(view[start : start + 16])
            if zlib.crc32(view[start + PREFIX_BYTES : end], checked_crc) != crc:
                raise ProtocolViolation("A frame's CRC-32 does not match its bytes.")
            if self._state is not None:
                self._check_seal(self._state, view, start, body_start, end)
            body = bytes(view[body_start:end]) if body_bytes else b""
        header = _read_header(buffer[start + PREFIX_BYTES : body_start])
        self._start = end + TRAILER_BYTES if sealed else end
        return Frame(frame_type, header, body)

    def _check_seal(self, state: blake2b, view: memoryview, start: int, body_start: int, end: int) -> None:
        sequence_end = end + _SEQUENCE.size
        mac = state.copy()
        if self._bodies:
            mac.update(view[start:sequence_end])
        else:
            mac.update(view[start:body_start])
            mac.update(view[end:sequence_end])
        if not hmac.compare_digest(mac.digest(), view[sequence_end : end + TRAILER_BYTES]):
            raise ProtocolViolation("A frame's seal is not that of this connection.")
        (sequence,) = _SEQUENCE.unpack_from(view, end)
        if sequence != self._sequence:
            raise ProtocolViolation(f"Sealed frame {sequence} came where {self._sequence} was due.")
        self._sequence += 1
