"""The bytes of one whole conversation, fixed, so that a program in another language can check itself.

``vectors/conversation.json`` has the keys and nonces, every value derived from them, and each frame with its bytes;
``vectors/violations.json`` has bytes that a decoder must refuse. To write them anew after a deliberate change of the
protocol: ``python -m tests.unit.wire.test_vectors``.
"""

import hmac
import json
import zlib
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from shared.errors import NotLeader, ProtocolViolation, failure_fields
from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType
from shared.handshake import ClientHandshake, Introduction, ServerHandshake

FOLDER = Path(__file__).parent / "vectors"
KEY = bytes(range(32))
CLIENT_NONCE = bytes(range(0x40, 0x60))
SERVER_NONCE = bytes(range(0x80, 0xA0))
ABOUT = Introduction(role="client", id="laptop-ñ", channel="requests", cluster="")
SERVER_ID, CLUSTER = "w1", "c1"
TYPED = tuple[str, Frame]

SEALED: list[TYPED] = [
    ("client", Frame(FrameType.REQUEST, {"id": 1, "op": "status"})),
    ("client", Frame(FrameType.REQUEST, {"id": 2, "op": "put", "name": "niña.png"}, b"\x89PNG\r\n")),
    (
        "server",
        Frame(FrameType.REPLY, {"id": 1, "term": 3, "commit_index": 17, "ratio": 0.25, "leader": None}),
    ),
    (
        "server",
        Frame(
            FrameType.FAILURE,
            {"id": 2, **failure_fields(NotLeader("w1 does not lead.", "Ask w2.", leader="10.0.0.2:7400"))},
        ),
    ),
    ("server", Frame(FrameType.NOTICE, {"about": "status", "row": {"id": "w1", "cores": 2}})),
    ("server", Frame(FrameType.RAFT, {"example": True}, b"")),
]


def conversation() -> dict[str, Any]:
    """What ``conversation.json`` must hold."""
    opener = ClientHandshake(ABOUT, KEY, nonce=CLIENT_NONCE)
    answerer = ServerHandshake(SERVER_ID, CLUSTER, {ABOUT.role: KEY}, nonce=SERVER_NONCE)
    encoders = {"client": FrameEncoder(), "server": FrameEncoder()}
    told: list[dict[str, Any]] = []

    def tell(sender: str, frame: Frame) -> None:
        told.append(
            {
                "from": sender,
                "type": frame.type.name,
                "header": frame.header,
                "body": frame.body.hex(),
                "bytes": encoders[sender].encode(frame).hex(),
            }
        )

    hello = opener.hello()
    challenge = answerer.receive(hello)
    proof = opener.receive(challenge)
    assert proof is not None
    welcome = answerer.receive(proof)
    opener.receive(welcome)
    for sender, frame in (("client", hello), ("server", challenge), ("client", proof), ("server", welcome)):
        tell(sender, frame)
    encoders["client"].seal(opener.keys.send)
    encoders["server"].seal(answerer.keys.send)
    for sender, frame in SEALED:
        tell(sender, frame)
    return {
        "key": KEY.hex(),
        "session_keys": {
            "client to server": opener.keys.send.hex(),
            "server to client": opener.keys.receive.hex(),
        },
        "frames": told,
    }


def violations() -> list[dict[str, str]]:
    """What ``violations.json`` must hold: changes of the first frame, HELLO, and why it is then refused."""
    hello = bytes.fromhex(conversation()["frames"][0]["bytes"])

    def changed(at: int, value: bytes) -> bytes:
        return hello[:at] + value + hello[at + len(value) :]

    cases = {
        "another magic": changed(0, b"HTTP"),
        "another version": changed(4, b"\x02"),
        "an unknown type": changed(5, b"\x63"),
        "a type that is sealed only": changed(5, b"\x10"),
        "an unknown flag": changed(6, b"\x00\x02"),
        "sealed before the handshake is done": changed(6, b"\x00\x01"),
        "a header over the limit": changed(8, b"\x00\x00\x10\x01"),
        "a body before the handshake is done": changed(12, b"\x00\x00\x00\x01"),
        "a wrong CRC-32": changed(16, b"\x00\x00\x00\x00"),
        "a changed header": changed(len(hello) - 2, b"'"),
    }
    return [{"what": what, "bytes": data.hex()} for what, data in cases.items()]


def written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize(("name", "make"), [("conversation", conversation), ("violations", violations)])
def test_the_vectors_are_what_this_program_says_to_the_byte(name: str, make: Any) -> None:
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == written(make())


def test_each_side_reads_the_bytes_of_the_other() -> None:
    recorded = json.loads((FOLDER / "conversation.json").read_text(encoding="utf-8"))
    keys = recorded["session_keys"]
    for sender, label in (("client", "client to server"), ("server", "server to client")):
        decoder = FrameDecoder()
        for line in (line for line in recorded["frames"] if line["from"] == sender):
            (frame,) = decoder.feed(bytes.fromhex(line["bytes"]))
            expected = Frame(FrameType[line["type"]], line["header"], bytes.fromhex(line["body"]))
            assert frame == expected
            if frame.type in (FrameType.PROOF, FrameType.WELCOME):
                decoder.seal(bytes.fromhex(keys[label]))


def test_the_vectors_follow_from_the_document_without_this_program() -> None:
    """docs/protocol.md in a few lines of the standard library; nothing of `shared` is used."""
    recorded = json.loads((FOLDER / "conversation.json").read_text(encoding="utf-8"))
    key = bytes.fromhex(recorded["key"])
    hello, challenge, proof, welcome = (line["header"] for line in recorded["frames"][:4])
    said = [
        *(hello[name].encode() for name in ("role", "id", "channel", "cluster")),
        bytes.fromhex(hello["nonce"]),
        *(challenge[name].encode() for name in ("id", "cluster")),
        bytes.fromhex(challenge["nonce"]),
    ]

    def tag(label: str) -> bytes:
        parts = [b"minka/1", label.encode(), *said]
        return hmac.digest(key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), "sha256")

    assert proof["proof"] == tag("client proof").hex()
    assert welcome["proof"] == tag("server proof").hex()
    session = {label: tag(label) for label in ("client to server", "server to client")}
    assert recorded["session_keys"] == {label: value.hex() for label, value in session.items()}

    sequences = dict.fromkeys(session, 0)
    for position, line in enumerate(recorded["frames"]):
        data, body = bytes.fromhex(line["bytes"]), bytes.fromhex(line["body"])
        header_end = 20 + int.from_bytes(data[8:12], "big")
        end = header_end + int.from_bytes(data[12:16], "big")
        assert data[:6] == b"MNKA\x01" + bytes([FrameType[line["type"]]])
        assert json.loads(data[20:header_end].decode()) == line["header"]
        assert data[header_end:end] == body
        assert int.from_bytes(data[16:20], "big") == zlib.crc32(data[:16] + data[20:end])
        if position < 4:
            assert (data[6:8], data[end:]) == (b"\0\0", b"")
        else:
            label = "client to server" if line["from"] == "client" else "server to client"
            sequence = sequences[label].to_bytes(8, "big")
            sequences[label] += 1
            mac = blake2b(data[:end] + sequence, digest_size=16, key=session[label]).digest()
            assert (data[6:8], data[end:]) == (b"\0\1", sequence + mac)


@pytest.mark.parametrize("case", violations(), ids=lambda case: case["what"])
def test_each_violation_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(ProtocolViolation):
        FrameDecoder().feed(bytes.fromhex(case["bytes"]))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, make in (("conversation", conversation), ("violations", violations)):
        (FOLDER / f"{name}.json").write_text(written(make()), encoding="utf-8", newline="\n")
