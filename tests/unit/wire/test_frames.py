"""What goes in as a frame comes out as the same frame, and a program that asks for the impossible is told so."""

import hashlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProtocolViolation
from shared.frames import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    MAX_HEADER_BYTES,
    MAX_OPENING_HEADER_BYTES,
    OPENING_TYPES,
    PREFIX_BYTES,
    SEALED_TYPES,
    TRAILER_BYTES,
    Frame,
    FrameDecoder,
    FrameEncoder,
    FrameType,
    ProtocolMisuse,
)

KEY = bytes(range(32))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=8,
)
headers = st.dictionaries(texts, values, max_size=5)
frames = st.builds(Frame, st.sampled_from(sorted(SEALED_TYPES)), headers, st.binary(max_size=300))


def sealed_pair() -> tuple[FrameEncoder, FrameDecoder]:
    encoder, decoder = FrameEncoder(), FrameDecoder()
    encoder.seal(KEY)
    decoder.seal(KEY)
    return encoder, decoder


@given(st.lists(frames, max_size=5), st.data())
def test_sealed_frames_come_out_as_they_went_in_however_the_bytes_are_cut(
    sent: list[Frame], data: st.DataObject
) -> None:
    encoder, decoder = sealed_pair()
    stream = b"".join(encoder.encode(frame) for frame in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    received: list[Frame] = []
    for low, high in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += decoder.feed(stream[low:high])
    assert received == sent
    assert decoder.pending_bytes == 0


@given(st.sampled_from(sorted(OPENING_TYPES)), headers)
def test_unsealed_frames_come_out_as_they_went_in_byte_by_byte(
    kind: FrameType, header: dict[str, Any]
) -> None:
    decoder = FrameDecoder()
    received = [
        frame for byte in FrameEncoder().encode(Frame(kind, header)) for frame in decoder.feed(bytes([byte]))
    ]
    assert received == [Frame(kind, header)]


def test_sealed_bytes_behind_the_last_unsealed_frame_are_read_with_the_key_given_between_them() -> None:
    encoder, decoder = FrameEncoder(), FrameDecoder()
    stream = encoder.encode(Frame(FrameType.WELCOME, {"proof": ""}))
    encoder.seal(KEY)
    stream += encoder.encode(Frame(FrameType.NOTICE, {"about": "a"}, b"body"))
    decoder.receive(stream)
    assert decoder.next_frame() == Frame(FrameType.WELCOME, {"proof": ""})
    decoder.seal(KEY)
    assert decoder.next_frame() == Frame(FrameType.NOTICE, {"about": "a"}, b"body")
    assert decoder.next_frame() is None


def test_the_largest_body_and_the_largest_header_pass() -> None:
    encoder, decoder = sealed_pair()
    body = bytes(MAX_BODY_BYTES)
    header = {"a": "x" * (MAX_HEADER_BYTES - len('{"a":""}'))}
    data = encoder.encode(Frame(FrameType.REPLY, header, body))
    assert len(data) == PREFIX_BYTES + MAX_HEADER_BYTES + MAX_BODY_BYTES + TRAILER_BYTES
    assert decoder.feed(data) == [Frame(FrameType.REPLY, header, body)]


def test_the_given_buffer_may_be_used_again_at_once() -> None:
    encoder, decoder = sealed_pair()
    buffer = bytearray(encoder.encode(Frame(FrameType.NOTICE, {"about": "a"}, b"body")))
    decoder.receive(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert decoder.next_frame() == Frame(FrameType.NOTICE, {"about": "a"}, b"body")


def nested(depth: int) -> dict[str, Any]:
    value: Any = {}
    for level in range(depth - 1):
        value = [value] if level % 2 and level < depth - 2 else {"a": value}
    assert isinstance(value, dict)
    return value


def test_nesting_is_allowed_to_its_limit_and_not_beyond() -> None:
    encoder, decoder = sealed_pair()
    deepest = Frame(FrameType.NOTICE, nested(MAX_DEPTH))
    wide = Frame(FrameType.NOTICE, {"rows": [[{"a": []}]] * 1000})
    assert decoder.feed(encoder.encode(deepest) + encoder.encode(wide)) == [deepest, wide]
    with pytest.raises(ProtocolViolation, match="deeper than 32"):
        decoder.feed(encoder.encode(Frame(FrameType.NOTICE, nested(MAX_DEPTH + 1))))


@pytest.mark.parametrize(
    "frame",
    [
        Frame(FrameType.REQUEST, {"id": 1}),
        Frame(FrameType.HELLO, {}, b"body"),
        Frame(FrameType.HELLO, {"a": "x" * MAX_OPENING_HEADER_BYTES}),
    ],
)
def test_asking_for_a_frame_that_may_not_open_a_connection_is_misuse(frame: Frame) -> None:
    with pytest.raises(ProtocolMisuse):
        FrameEncoder().encode(frame)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(FrameType.HELLO, {}),
        Frame(FrameType.NOTICE, {"a": "x" * MAX_HEADER_BYTES}),
        Frame(FrameType.NOTICE, {}, bytes(MAX_BODY_BYTES + 1)),
        Frame(FrameType.NOTICE, {"a": math.nan}),
        Frame(FrameType.NOTICE, {"a": math.inf}),
        Frame(FrameType.NOTICE, {"a": b"bytes"}),
        Frame(FrameType.NOTICE, {"a": "\ud800"}),
    ],
)
def test_a_frame_that_no_peer_accepts_is_misuse_and_costs_no_sequence_number(frame: Frame) -> None:
    encoder, decoder = sealed_pair()
    with pytest.raises(ProtocolMisuse):
        encoder.encode(frame)
    good = Frame(FrameType.NOTICE, {})
    assert decoder.feed(encoder.encode(good)) == [good]


def test_a_header_that_contains_itself_is_misuse() -> None:
    header: dict[str, Any] = {}
    header["itself"] = header
    with pytest.raises(ProtocolMisuse):
        FrameEncoder().encode(Frame(FrameType.HELLO, header))


def test_sealing_twice_is_misuse() -> None:
    encoder, decoder = sealed_pair()
    with pytest.raises(ProtocolMisuse):
        encoder.seal(KEY)
    with pytest.raises(ProtocolMisuse):
        decoder.seal(KEY)


def test_keys_do_not_show_in_the_representation() -> None:
    encoder, decoder = sealed_pair()
    encoder.encode(Frame(FrameType.NOTICE, {}))
    assert repr(encoder) == "<FrameEncoder sealed, 1 sealed frames>"
    assert repr(decoder) == "<FrameDecoder sealed, 0 sealed frames, 0 bytes pending>"


def test_between_a_worker_and_its_children_a_body_has_its_checksum_alone() -> None:
    encoder, decoder = FrameEncoder(), FrameDecoder()
    encoder.seal(KEY, bodies=False)
    decoder.seal(KEY, bodies=False)
    frame = Frame(FrameType.REQUEST, {"id": 1}, b"body" * 9)
    data = encoder.encode(frame)
    assert decoder.feed(data) == [frame]
    mac = hashlib.blake2b(digest_size=16, key=KEY)
    mac.update(data[:-TRAILER_BYTES].removesuffix(frame.body) + data[-TRAILER_BYTES:-16])
    assert data[-16:] == mac.digest()
    again = bytearray(encoder.encode(frame))
    again[-TRAILER_BYTES - 1] ^= 1
    with pytest.raises(ProtocolViolation, match="CRC"):
        decoder.feed(again)
