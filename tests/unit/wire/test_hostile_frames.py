"""Whatever a peer sends, it gets `ProtocolViolation` and nothing else, and no changed byte passes for a frame."""

import struct
import zlib
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ProtocolViolation
from shared.frames import MAX_BODY_BYTES, MAX_HEADER_BYTES, Frame, FrameDecoder, FrameEncoder, FrameType

KEY = bytes(range(32))
CONVERSATION = [
    Frame(FrameType.REQUEST, {"id": 1, "op": "status"}),
    Frame(FrameType.REPLY, {"id": 1}, b"weights"),
    Frame(FrameType.RAFT, {"kind": "vote"}),
]


def sealing(frames: list[Frame], key: bytes = KEY) -> list[bytes]:
    encoder = FrameEncoder()
    encoder.seal(key)
    return [encoder.encode(frame) for frame in frames]


def reading() -> FrameDecoder:
    decoder = FrameDecoder()
    decoder.seal(KEY)
    return decoder


def prefixed(
    header: bytes, body: bytes = b"", *, kind: int = 1, flags: int = 0, magic: bytes = b"MNKA"
) -> bytes:
    checked = struct.pack(">4sBBHII", magic, 1, kind, flags, len(header), len(body))
    return checked + struct.pack(">I", zlib.crc32(checked + header + body)) + header + body


def outcome(decoder: FrameDecoder, pieces: list[bytes]) -> tuple[list[Frame], str | None]:
    frames: list[Frame] = []
    try:
        for piece in pieces:
            decoder.receive(piece)
            while (frame := decoder.next_frame()) is not None:
                frames.append(frame)
    except ProtocolViolation as violation:
        return frames, violation.reason
    return frames, None


def same_either_way(data: bytes, *, seal: bool) -> tuple[list[Frame], str | None]:
    """The outcome of `data` fed whole, which must be that of feeding one byte at a time."""
    whole, slow = (reading(), reading()) if seal else (FrameDecoder(), FrameDecoder())
    expected = outcome(whole, [data])
    assert outcome(slow, [data[at : at + 1] for at in range(len(data))]) == expected
    return expected


@given(st.binary(max_size=200), st.booleans())
def test_garbage_is_a_violation_whole_and_one_byte_at_a_time(data: bytes, seal: bool) -> None:
    frames, _ = same_either_way(data, seal=seal)
    assert frames == []


@given(st.binary(max_size=80), st.binary(max_size=20), st.integers(0, 40))
def test_a_right_prefix_around_garbage_gives_only_violations(header: bytes, body: bytes, kind: int) -> None:
    same_either_way(prefixed(header, body, kind=kind), seal=False)
    same_either_way(prefixed(header, body, kind=kind, flags=1) + bytes(24), seal=True)


@given(st.data())
def test_a_conversation_with_one_piece_replaced_never_yields_a_frame_that_was_not_sent(
    data: st.DataObject,
) -> None:
    stream = b"".join(sealing(CONVERSATION))
    low = data.draw(st.integers(0, len(stream)))
    high = data.draw(st.integers(low, len(stream)))
    changed = stream[:low] + data.draw(st.binary(max_size=40)) + stream[high:]
    frames, _ = same_either_way(changed, seal=True)
    assert frames == CONVERSATION[: len(frames)]


def test_every_single_flipped_bit_of_a_sealed_conversation_is_noticed() -> None:
    pieces = sealing(CONVERSATION)
    stream = b"".join(pieces)
    ends = [len(b"".join(pieces[: count + 1])) for count in range(len(pieces))]
    for at in range(len(stream) * 8):
        changed = bytearray(stream)
        changed[at // 8] ^= 1 << at % 8
        decoder = reading()
        frames, reason = outcome(decoder, [bytes(changed)])
        whole_before = sum(end <= at // 8 for end in ends)
        assert frames == CONVERSATION[:whole_before]
        # A longer length leaves the decoder waiting for bytes: what follows, or the end, gives it away.
        assert reason is not None or decoder.pending_bytes > 0


def test_a_longer_length_is_noticed_when_the_announced_bytes_have_come() -> None:
    stream = bytearray(sealing(CONVERSATION)[0])
    stream[13] ^= 1  # 65,536 bytes more of body
    _, reason = outcome(reading(), [bytes(stream), bytes(1 << 16)])
    assert reason == "A frame's CRC-32 does not match its bytes."


@pytest.mark.parametrize("order", [[0, 0], [1], [1, 0], [0, 2], [0, 1, 0]])
def test_replayed_reordered_and_dropped_sealed_frames_are_noticed(order: list[int]) -> None:
    pieces = sealing(CONVERSATION)
    frames, reason = outcome(reading(), [pieces[at] for at in order])
    assert len(frames) == len(order) - 1 if order[0] == 0 else frames == []
    assert reason is not None
    assert "was due" in reason


def test_a_frame_sealed_with_another_key_is_noticed() -> None:
    _, reason = outcome(reading(), sealing(CONVERSATION, key=bytes(32)))
    assert reason == "A frame's seal is not that of this connection."


def test_a_frame_of_the_other_direction_cannot_be_sent_back() -> None:
    decoder = FrameDecoder()
    decoder.seal(b"the key of the other direction..")
    _, reason = outcome(decoder, sealing(CONVERSATION))
    assert reason == "A frame's seal is not that of this connection."


def test_an_unsealed_frame_after_the_handshake_is_a_violation() -> None:
    _, reason = outcome(reading(), [prefixed(b"{}", kind=FrameType.FAILURE)])
    assert reason == "A frame with flags 0x0000 is not allowed here."


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (prefixed(b"{}", magic=b"GET "), "does not speak"),
        (b"MNKA\x02" + prefixed(b"{}")[5:], "version 2"),
        (prefixed(b"{}", kind=99), "type 99"),
        (prefixed(b"{}", kind=FrameType.REQUEST), "REQUEST is not allowed before"),
        (prefixed(b"{}", flags=2), "flags 0x0002"),
        (prefixed(b"{}", flags=1), "flags 0x0001"),
        (prefixed(b"{}", b"body"), "body of 4 bytes"),
        (prefixed(b"{}")[:-1] + b"]", "CRC-32"),
    ],
)
def test_a_prefix_that_breaks_a_rule_is_named(data: bytes, reason: str) -> None:
    _, told = same_either_way(data, seal=False)
    assert told is not None
    assert reason in told


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[]",
        b'"text"',
        b"null",
        b"{",
        b"{}x",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e999}',
        b'{"a":9223372036854775808}',
        b'{"a":-9223372036854775809}',
        b'{"a":' + b"9" * 4000 + b"}",
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\uDC00":1}',
        b'{"a":"\n"}',
        b"\xef\xbb\xbf{}",
        b"{'a':1}",
        b'{"a":[' + b"[" * 1500 + b"]" * 1500 + b"]}",
        b"[" * 4000,
    ],
)
def test_a_header_that_is_not_strict_json_is_a_violation(header: bytes) -> None:
    frames, reason = same_either_way(prefixed(header), seal=False)
    assert frames == []
    assert reason is not None
    assert reason.startswith("A frame's header is n")


def test_escaped_pairs_of_surrogates_are_characters() -> None:
    frames, reason = same_either_way(prefixed(b'{"a":"\\ud83d\\ude00\\u00e9"}'), seal=False)
    assert (frames, reason) == ([Frame(FrameType.HELLO, {"a": "😀é"})], None)


def test_a_nesting_bomb_as_large_as_a_header_may_be_is_a_violation() -> None:
    bomb = b'{"a":' + b"[" * (MAX_HEADER_BYTES - 6) + b"}"
    _, reason = outcome(reading(), [sealed_by_hand(bomb)])
    assert reason is not None


def sealed_by_hand(header: bytes) -> bytes:
    """A frame whose header no `FrameEncoder` would write, under a right seal."""
    data = prefixed(header, kind=FrameType.NOTICE, flags=1) + bytes(8)
    return data + blake2b(data, key=KEY, digest_size=16).digest()


@pytest.mark.parametrize(
    ("header_bytes", "body_bytes"),
    [(MAX_HEADER_BYTES + 1, 0), (0, MAX_BODY_BYTES + 1), (0xFFFFFFFF, 0), (0, 0xFFFFFFFF)],
)
def test_a_length_over_the_limit_is_refused_from_the_prefix_alone(header_bytes: int, body_bytes: int) -> None:
    prefix = struct.pack(">4sBBHIII", b"MNKA", 1, FrameType.NOTICE, 1, header_bytes, body_bytes, 0)
    _, reason = outcome(reading(), [prefix])
    assert reason is not None
    assert "over the limit" in reason


def test_before_the_handshake_the_limits_are_lower() -> None:
    prefix = struct.pack(">4sBBHIII", b"MNKA", 1, FrameType.HELLO, 0, 4097, 0, 0)
    _, reason = outcome(FrameDecoder(), [prefix])
    assert reason == "A frame announces a header of 4097 bytes, over the limit."


def test_a_decoder_stays_broken_and_says_why_again() -> None:
    decoder = reading()
    good = sealing(CONVERSATION)[0]
    with pytest.raises(ProtocolViolation, match="does not speak"):
        decoder.feed(b"GET / HTTP/1.1\r\n\r\n\r\n")
    with pytest.raises(ProtocolViolation, match="does not speak"):
        decoder.receive(good)
    with pytest.raises(ProtocolViolation, match="does not speak"):
        decoder.next_frame()
    assert decoder.pending_bytes == 0
    assert "broken" in repr(decoder)
