"""The first exchange on a connection: both sides prove the key of a role. Frames in, frames out; no socket.

    client                                              server
      | HELLO      role, id, channel, cluster, nonce  ->  |
      |  <-  CHALLENGE             id, cluster, nonce     |
      | PROOF      HMAC(key, client label, all above) ->  |
      |  <-  WELCOME   HMAC(key, server label, all above) |

Here "client" is whoever opened the connection: a worker is one to another worker. Every field of HELLO and
CHALLENGE is part of what is proved, and the two proofs have different labels, so that neither can be sent back
as the other. The session keys, one for each direction, come from the same fields: docs/protocol.md says how,
to the byte.

A denied handshake raises on both sides: the server sends `refusal(error)` before it closes.
"""

import hmac
import secrets
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from shared.errors import (
    AccessDenied,
    Busy,
    MinkaError,
    ProtocolViolation,
    Refused,
    failure_fields,
    from_failure,
)
from shared.frames import VERSION, Frame, FrameType, ProtocolMisuse

NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
MAX_IDENTITY_BYTES: Final = 128
"""Of each of role, id, channel and cluster, in UTF-8."""

_PROTOCOL = f"minka/{VERSION}"
_CLIENT_PROOF = "client proof"
_SERVER_PROOF = "server proof"
_TO_SERVER = "client to server"
_TO_CLIENT = "server to client"
_WRONG_KEY_ADVICE = "Use the keys file of this cluster, and the one for this role."


@dataclass(frozen=True, slots=True)
class Introduction:
    """Who opens a connection, and for what.

    ``role`` "client", "worker" or "child" names the key that is proved; ``id`` is the opener's own; ``channel``
    what the connection is for; ``cluster`` the id of the cluster that is expected, or "" for any.
    """

    role: str
    id: str
    channel: str
    cluster: str


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys that seal one connection, 32 bytes each, as one side sees them; `bodies`: whether bodies are sealed too.

    Between a worker and its children they are not: nobody but the system itself can put bytes into a loopback connection.
    """

    send: bytes = field(repr=False)
    receive: bytes = field(repr=False)
    bodies: bool = field(default=True, repr=False)


class HandshakeState(Enum):
    """Where one side of a handshake stands."""

    NEW = "new"
    AWAITS_HELLO = "awaits hello"
    AWAITS_CHALLENGE = "awaits challenge"
    AWAITS_PROOF = "awaits proof"
    AWAITS_WELCOME = "awaits welcome"
    DONE = "done"
    FAILED = "failed"


_OVER = (HandshakeState.NEW, HandshakeState.DONE, HandshakeState.FAILED)


@dataclass(frozen=True, slots=True)
class _Transcript:
    """All that both sides have said; the base of the proofs and of the session keys."""

    about: Introduction
    client_nonce: bytes
    server_id: str
    server_cluster: str
    server_nonce: bytes

    def tag(self, key: bytes, label: str) -> bytes:
        """HMAC-SHA256 with `key` over the label and all fields, each after its length in 4 bytes."""
        about = self.about
        parts = (
            _PROTOCOL.encode(),
            label.encode(),
            about.role.encode(),
            about.id.encode(),
            about.channel.encode(),
            about.cluster.encode(),
            self.client_nonce,
            self.server_id.encode(),
            self.server_cluster.encode(),
            self.server_nonce,
        )
        return hmac.digest(key, b"".join(struct.pack(">I", len(part)) + part for part in parts), "sha256")

    def keys(self, key: bytes, send: str, receive: str) -> SessionKeys:
        """The session keys of the side that sends under the label `send`."""
        return SessionKeys(self.tag(key, send), self.tag(key, receive), self.about.role != "child")

    def agree_on_cluster(self) -> None:
        """Raises `Refused` where both sides name a cluster and the names differ."""
        wanted, met = self.about.cluster, self.server_cluster
        if wanted and met and wanted != met:
            raise Refused(
                f"Worker {self.server_id} belongs to cluster {met}, not to {wanted}.",
                "Check the address, or join with an empty data directory.",
            )


def _text(header: Mapping[str, Any], name: str) -> str:
    value = header[name]
    if not isinstance(value, str) or len(value.encode()) > MAX_IDENTITY_BYTES:
        raise ProtocolViolation(
            f'The handshake\'s field "{name}" is not a text of at most {MAX_IDENTITY_BYTES} bytes.'
        )
    return value


def _hex(header: Mapping[str, Any], name: str, size_bytes: int) -> bytes:
    value = header[name]
    try:
        data = bytes.fromhex(value) if isinstance(value, str) and len(value) == 2 * size_bytes else b""
    except ValueError:
        data = b""
    if len(data) != size_bytes or data.hex() != value:
        raise ProtocolViolation(
            f'The handshake\'s field "{name}" is not {size_bytes} bytes in lower-case hex.'
        )
    return data


def _expect_fields(frame: Frame, *names: str) -> None:
    if frame.header.keys() != set(names):
        raise ProtocolViolation(f"{frame.type.name} does not have exactly the fields {', '.join(names)}.")


def _checked_identity(*texts: str) -> None:
    if any(len(text.encode()) > MAX_IDENTITY_BYTES for text in texts):
        raise ProtocolMisuse(f"role, id, channel and cluster have at most {MAX_IDENTITY_BYTES} bytes each")


def refusal(error: MinkaError) -> Frame:
    """The unsealed FAILURE that tells the other side why the handshake ends here."""
    return Frame(FrameType.FAILURE, failure_fields(error))


class _Handshake:
    """The state that both sides share, and the one place where frames meet it."""

    def __init__(self, state: HandshakeState) -> None:
        self.state = state
        self._keys: SessionKeys | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state.value}>"

    @property
    def done(self) -> bool:
        """Whether both proofs were right: every later frame is sealed with `keys`."""
        return self.state is HandshakeState.DONE

    @property
    def keys(self) -> SessionKeys:
        """The session keys, once `done`."""
        if self._keys is None or not self.done:
            raise ProtocolMisuse("the handshake is not done")
        return self._keys

    def _steps(self) -> Mapping[tuple[HandshakeState, FrameType], Callable[[Frame], Frame | None]]:
        raise NotImplementedError

    def _step(self, frame: Frame) -> Frame | None:
        if self.state in _OVER:
            raise ProtocolMisuse(f"no frame is awaited: the handshake is {self.state.value}")
        try:
            step = self._steps().get((self.state, frame.type))
            if step is None:
                raise ProtocolViolation(f"{frame.type.name} came in a handshake that {self.state.value}.")
            return step(frame)
        except MinkaError:
            self.state = HandshakeState.FAILED
            raise


class ClientHandshake(_Handshake):
    """The side that opened the connection. Send `hello()`, then what `receive` returns, until `done`."""

    def __init__(self, about: Introduction, key: bytes, *, nonce: bytes | None = None) -> None:
        """`key` is that of the role; `nonce` (32 bytes, never used twice) is random unless given."""
        super().__init__(HandshakeState.NEW)
        _checked_identity(about.role, about.id, about.channel, about.cluster)
        self.peer: dict[str, str] = {}
        """Once `done`: the "id" and the "cluster" of the server."""
        self._about = about
        self._key = key
        self._nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
        self._transcript: _Transcript | None = None

    def hello(self) -> Frame:
        """The frame that opens the exchange."""
        if self.state is not HandshakeState.NEW:
            raise ProtocolMisuse("a handshake begins once")
        self.state = HandshakeState.AWAITS_CHALLENGE
        about = self._about
        return Frame(
            FrameType.HELLO,
            {
                "role": about.role,
                "id": about.id,
                "channel": about.channel,
                "cluster": about.cluster,
                "nonce": self._nonce.hex(),
            },
        )

    def receive(self, frame: Frame) -> Frame | None:
        """Takes the server's frame, returns the answer to send, if there is one.

        Raises `AccessDenied` where either side could not prove the key, `Refused` or `Busy` where the server
        says so or is of another cluster, `ProtocolViolation` for anything out of order.
        """
        return self._step(frame)

    def _steps(self) -> Mapping[tuple[HandshakeState, FrameType], Callable[[Frame], Frame | None]]:
        return {
            (HandshakeState.AWAITS_CHALLENGE, FrameType.CHALLENGE): self._take_challenge,
            (HandshakeState.AWAITS_CHALLENGE, FrameType.FAILURE): self._take_failure,
            (HandshakeState.AWAITS_WELCOME, FrameType.WELCOME): self._take_welcome,
            (HandshakeState.AWAITS_WELCOME, FrameType.FAILURE): self._take_failure,
        }

    def _take_challenge(self, frame: Frame) -> Frame:
        _expect_fields(frame, "id", "cluster", "nonce")
        transcript = _Transcript(
            self._about,
            self._nonce,
            _text(frame.header, "id"),
            _text(frame.header, "cluster"),
            _hex(frame.header, "nonce", NONCE_BYTES),
        )
        self._transcript = transcript
        self.state = HandshakeState.AWAITS_WELCOME
        return Frame(FrameType.PROOF, {"proof": transcript.tag(self._key, _CLIENT_PROOF).hex()})

    def _take_welcome(self, frame: Frame) -> None:
        assert self._transcript is not None
        _expect_fields(frame, "proof")
        proof = _hex(frame.header, "proof", PROOF_BYTES)
        transcript = self._transcript
        if not hmac.compare_digest(proof, transcript.tag(self._key, _SERVER_PROOF)):
            raise AccessDenied(
                f"The other side, which calls itself {transcript.server_id}, could not prove the cluster's key.",
                "Check the address; it may not be a worker of this cluster.",
            )
        transcript.agree_on_cluster()
        self.peer = {"id": transcript.server_id, "cluster": transcript.server_cluster}
        self._keys = transcript.keys(self._key, _TO_SERVER, _TO_CLIENT)
        self.state = HandshakeState.DONE

    def _take_failure(self, frame: Frame) -> None:
        """A side that has proved nothing may end the handshake, and no more: no hint of its is followed."""
        error = from_failure(frame.header)
        if isinstance(error, AccessDenied | Busy | Refused | ProtocolViolation):
            raise error
        raise ProtocolViolation(f"The other side ended the handshake: {error.reason}")


class ServerHandshake(_Handshake):
    """The side that was connected to. Send what `receive` returns, until `done`."""

    def __init__(
        self, id: str, cluster: str, keys: Mapping[str, bytes], *, nonce: bytes | None = None
    ) -> None:
        """`keys` has the key of each role that is welcome; `nonce` is random unless given."""
        super().__init__(HandshakeState.AWAITS_HELLO)
        _checked_identity(id, cluster)
        self._id = id
        self._cluster = cluster
        self._role_keys = dict(keys)
        self._nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
        self._transcript: _Transcript | None = None

    @property
    def about(self) -> Introduction:
        """Who connected, and for what, once `done`."""
        if self._transcript is None or not self.done:
            raise ProtocolMisuse("nobody has proved who they are")
        return self._transcript.about

    def receive(self, frame: Frame) -> Frame:
        """Takes the client's frame, returns the answer to send; with the answer to PROOF it is `done`.

        WELCOME itself goes unsealed; everything after it is sealed. Raises `AccessDenied` for a wrong key or
        role, `Refused` for another cluster, `ProtocolViolation` for anything out of order: then send
        `refusal(error)` and close.
        """
        answer = self._step(frame)
        assert answer is not None
        return answer

    def _steps(self) -> Mapping[tuple[HandshakeState, FrameType], Callable[[Frame], Frame | None]]:
        return {
            (HandshakeState.AWAITS_HELLO, FrameType.HELLO): self._take_hello,
            (HandshakeState.AWAITS_PROOF, FrameType.PROOF): self._take_proof,
        }

    def _take_hello(self, frame: Frame) -> Frame:
        _expect_fields(frame, "role", "id", "channel", "cluster", "nonce")
        header = frame.header
        about = Introduction(*(_text(header, name) for name in ("role", "id", "channel", "cluster")))
        client_nonce = _hex(header, "nonce", NONCE_BYTES)
        if about.role not in self._role_keys:
            raise AccessDenied(f'No key is known here for the role "{about.role}".', _WRONG_KEY_ADVICE)
        self._transcript = _Transcript(about, client_nonce, self._id, self._cluster, self._nonce)
        self.state = HandshakeState.AWAITS_PROOF
        return Frame(
            FrameType.CHALLENGE, {"id": self._id, "cluster": self._cluster, "nonce": self._nonce.hex()}
        )

    def _take_proof(self, frame: Frame) -> Frame:
        assert self._transcript is not None
        _expect_fields(frame, "proof")
        proof = _hex(frame.header, "proof", PROOF_BYTES)
        transcript = self._transcript
        key = self._role_keys[transcript.about.role]
        if not hmac.compare_digest(proof, transcript.tag(key, _CLIENT_PROOF)):
            raise AccessDenied(
                f'The key for the role "{transcript.about.role}" is not that of this cluster.',
                _WRONG_KEY_ADVICE,
            )
        transcript.agree_on_cluster()
        self._keys = transcript.keys(key, _TO_CLIENT, _TO_SERVER)
        self.state = HandshakeState.DONE
        return Frame(FrameType.WELCOME, {"proof": transcript.tag(key, _SERVER_PROOF).hex()})
