"""Both sides prove a key, or both learn that it was not proved; nothing that was said can be changed or sent back."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import (
    AccessDenied,
    Busy,
    MinkaError,
    NotLeader,
    OutcomeUnknown,
    ProtocolViolation,
    Refused,
    failure_fields,
)
from shared.frames import Frame, FrameDecoder, FrameEncoder, FrameType, ProtocolMisuse
from shared.handshake import ClientHandshake, Introduction, ServerHandshake, refusal

CLIENT_KEY = bytes(range(32))
CLUSTER_KEY = bytes(range(32, 64))
KEYS = {"client": CLIENT_KEY, "worker": CLUSTER_KEY}
ABOUT = Introduction(role="client", id="laptop", channel="requests", cluster="c1")
identities = st.text(st.characters(exclude_categories=["Cs"]), max_size=32)


def client(about: Introduction = ABOUT, key: bytes = CLIENT_KEY) -> ClientHandshake:
    return ClientHandshake(about, key)


def server() -> ServerHandshake:
    return ServerHandshake("w1", "c1", KEYS)


def carried(frame: Frame) -> Frame:
    """The frame after its way over the wire."""
    (arrived,) = FrameDecoder().feed(FrameEncoder().encode(frame))
    return arrived


def shake(opener: ClientHandshake, answerer: ServerHandshake) -> None:
    challenge = answerer.receive(carried(opener.hello()))
    proof = opener.receive(carried(challenge))
    assert proof is not None
    assert opener.receive(carried(answerer.receive(carried(proof)))) is None


@given(identities, identities, identities, identities, st.sampled_from(["client", "worker"]))
def test_both_sides_end_with_the_same_keys_and_know_each_other(
    id: str, channel: str, server_id: str, cluster: str, role: str
) -> None:
    about = Introduction(role, id, channel, cluster)
    opener, answerer = ClientHandshake(about, KEYS[role]), ServerHandshake(server_id, cluster, KEYS)
    shake(opener, answerer)
    assert opener.done
    assert answerer.done
    assert opener.keys.send == answerer.keys.receive
    assert opener.keys.receive == answerer.keys.send
    assert opener.keys.send != opener.keys.receive
    assert answerer.about == about
    assert opener.peer == {"id": server_id, "cluster": cluster}


def test_every_connection_has_keys_of_its_own() -> None:
    keys = set()
    for _ in range(3):
        opener = client()
        shake(opener, server())
        keys |= {opener.keys.send, opener.keys.receive}
    assert len(keys) == 6


def test_a_wrong_key_is_denied_on_both_sides() -> None:
    opener, answerer = client(key=CLUSTER_KEY), server()
    proof = opener.receive(answerer.receive(opener.hello()))
    assert proof is not None
    with pytest.raises(AccessDenied, match="not that of this cluster") as denied:
        answerer.receive(proof)
    with pytest.raises(AccessDenied, match="not that of this cluster"):
        opener.receive(carried(refusal(denied.value)))
    assert not answerer.done
    assert not opener.done


@pytest.mark.parametrize("role", ["worker", "child", ""])
def test_the_key_of_one_role_does_not_open_another(role: str) -> None:
    opener, answerer = client(replace(ABOUT, role=role)), server()
    with pytest.raises(AccessDenied):
        shake(opener, answerer)


def test_a_server_without_the_key_is_denied_by_the_client() -> None:
    with pytest.raises(AccessDenied, match="w1, could not prove"):
        shake(client(), Impostor("w1", "c1", {"client": CLIENT_KEY}))


class Impostor(ServerHandshake):
    """Lets everybody in, without knowing the key."""

    def receive(self, frame: Frame) -> Frame:
        if frame.type is FrameType.PROOF:
            return Frame(FrameType.WELCOME, {"proof": bytes(32).hex()})
        return super().receive(frame)


def test_a_proof_that_is_reflected_proves_nothing() -> None:
    opener = client()
    proof = opener.receive(server().receive(opener.hello()))
    assert proof is not None
    with pytest.raises(AccessDenied):
        opener.receive(Frame(FrameType.WELCOME, proof.header))


def test_frames_of_one_direction_reflected_on_the_same_connection_are_noticed() -> None:
    opener = client()
    shake(opener, server())
    encoder, decoder = FrameEncoder(), FrameDecoder()
    encoder.seal(opener.keys.send)
    decoder.seal(opener.keys.receive)
    with pytest.raises(ProtocolViolation, match="seal"):
        decoder.feed(encoder.encode(Frame(FrameType.NOTICE, {})))


def test_a_proof_of_an_earlier_connection_proves_nothing() -> None:
    opener, first, second = client(), server(), server()
    hello = opener.hello()
    proof = opener.receive(first.receive(hello))
    assert proof is not None
    first.receive(proof)
    second.receive(hello)
    with pytest.raises(AccessDenied):
        second.receive(proof)


@pytest.mark.parametrize(
    ("name", "value"),
    [("role", "worker"), ("id", "other"), ("channel", "other"), ("cluster", ""), ("nonce", "00" * 32)],
)
def test_no_field_of_hello_can_be_changed_on_its_way(name: str, value: str) -> None:
    opener, answerer = client(), server()
    hello = opener.hello()
    proof = opener.receive(answerer.receive(Frame(FrameType.HELLO, hello.header | {name: value})))
    assert proof is not None
    with pytest.raises(AccessDenied):
        answerer.receive(proof)


@pytest.mark.parametrize(("name", "value"), [("id", "w2"), ("cluster", ""), ("nonce", "00" * 32)])
def test_no_field_of_the_challenge_can_be_changed_on_its_way(name: str, value: str) -> None:
    opener, answerer = client(), server()
    challenge = answerer.receive(opener.hello())
    proof = opener.receive(Frame(FrameType.CHALLENGE, challenge.header | {name: value}))
    assert proof is not None
    with pytest.raises(AccessDenied):
        answerer.receive(proof)


def test_moving_a_letter_from_one_field_to_the_next_changes_the_proof() -> None:
    answerer = server()
    opener = client(Introduction("client", "ab", "c", ""))
    hello = opener.hello()
    proof = opener.receive(
        answerer.receive(Frame(FrameType.HELLO, hello.header | {"id": "a", "channel": "bc"}))
    )
    assert proof is not None
    with pytest.raises(AccessDenied):
        answerer.receive(proof)


def test_another_cluster_is_refused_on_both_sides() -> None:
    opener, answerer = client(replace(ABOUT, cluster="c2")), server()
    proof = opener.receive(answerer.receive(opener.hello()))
    assert proof is not None
    with pytest.raises(Refused, match="cluster c1, not to c2") as refused:
        answerer.receive(proof)
    with pytest.raises(Refused, match="cluster c1, not to c2"):
        opener.receive(carried(refusal(refused.value)))


@pytest.mark.parametrize(("wanted", "met"), [("", "c1"), ("c1", ""), ("", "")])
def test_who_names_no_cluster_meets_any(wanted: str, met: str) -> None:
    opener = client(replace(ABOUT, cluster=wanted))
    shake(opener, ServerHandshake("w1", met, KEYS))
    assert opener.peer["cluster"] == met


@pytest.mark.parametrize("error", [Busy("full"), Refused("no"), AccessDenied("no"), ProtocolViolation("no")])
def test_a_refusal_before_any_proof_is_told_as_what_it_is(error: MinkaError) -> None:
    opener = client()
    opener.hello()
    with pytest.raises(type(error), match=error.reason):
        opener.receive(carried(refusal(error)))


@pytest.mark.parametrize("error", [NotLeader("go there", leader="evil:1"), OutcomeUnknown("who knows")])
def test_a_side_that_proved_nothing_gives_no_hints(error: MinkaError) -> None:
    opener = client()
    opener.hello()
    with pytest.raises(ProtocolViolation, match=error.reason):
        opener.receive(Frame(FrameType.FAILURE, failure_fields(error)))


NONCE = "ab" * 32
HELLO = {"role": "client", "id": "i", "channel": "c", "cluster": "", "nonce": NONCE}


@pytest.mark.parametrize(
    "header",
    [
        {},
        HELLO | {"more": 1},
        {name: value for name, value in HELLO.items() if name != "role"},
        HELLO | {"id": 7},
        HELLO | {"id": "x" * 129},
        HELLO | {"id": "é" * 65},
        HELLO | {"nonce": NONCE.upper()},
        HELLO | {"nonce": NONCE[2:]},
        HELLO | {"nonce": NONCE + "00"},
        HELLO | {"nonce": "zz" * 32},
        HELLO | {"nonce": " " + NONCE[1:]},
        HELLO | {"nonce": None},
    ],
)
def test_a_malformed_hello_is_a_violation(header: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolation):
        server().receive(Frame(FrameType.HELLO, header))


@given(
    st.sampled_from(sorted(FrameType)),
    st.dictionaries(
        st.sampled_from([*HELLO, "proof", "code", "reason"]),
        st.sampled_from([None, 7, True, "", "client", "access_denied", NONCE, NONCE * 4, [], {}, 0.5]),
    ),
)
def test_any_frame_at_any_moment_gives_an_answer_or_an_error_of_the_peer(
    kind: FrameType, header: dict[str, Any]
) -> None:
    frame = Frame(kind, header)
    waiting_client, waiting_server = client(), server()
    proving_client, challenging_server = client(), server()
    waiting_client.hello()
    proving_client.receive(challenging_server.receive(proving_client.hello()))
    for side in (waiting_client, waiting_server, proving_client, challenging_server):
        try:
            side.receive(frame)
        except MinkaError:
            with pytest.raises(ProtocolMisuse):
                side.receive(frame)
        assert not side.done


def test_frames_out_of_order_are_violations() -> None:
    for frame in (Frame(FrameType.PROOF, {"proof": NONCE}), Frame(FrameType.REQUEST, {}), client().hello()):
        opener = client()
        opener.hello()
        with pytest.raises(ProtocolViolation, match="awaits challenge"):
            opener.receive(frame)
    with pytest.raises(ProtocolViolation, match="awaits hello"):
        server().receive(Frame(FrameType.PROOF, {"proof": NONCE}))


def test_steps_out_of_order_on_this_side_are_misuse() -> None:
    opener, answerer = client(), server()
    with pytest.raises(ProtocolMisuse):
        opener.receive(Frame(FrameType.CHALLENGE, {}))
    with pytest.raises(ProtocolMisuse):
        _ = opener.keys
    with pytest.raises(ProtocolMisuse):
        _ = answerer.about
    shake(opener, answerer)
    with pytest.raises(ProtocolMisuse):
        opener.hello()
    with pytest.raises(ProtocolMisuse):
        answerer.receive(Frame(FrameType.HELLO, HELLO))
    with pytest.raises(ProtocolMisuse):
        client(replace(ABOUT, id="x" * 129))


def test_no_key_shows_in_a_representation() -> None:
    opener, answerer = client(), server()
    shake(opener, answerer)
    shown = f"{opener!r} {answerer!r} {opener.keys!r}"
    assert shown == "<ClientHandshake done> <ServerHandshake done> SessionKeys()"
