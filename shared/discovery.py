"""How a client finds workers on its own network: one datagram asks, every worker that hears it answers with one.

```
 offset  size  field
      0     4  magic      4d 4e 4b 44, "MNKD"
      4     1  version    1
      5     1  type       1 question, 2 answer
      6    16  nonce      random; the answer repeats that of its question
     22        question: zeros up to 512 bytes in all; answer: one JSON object, at most 490 bytes
```

An answer is never longer than its question, so that nobody can use a worker to flood somebody else. It proves nothing:
whoever goes there finds out in the handshake. `key` only tells to whom it may be of interest.
"""

import hashlib
import json
from dataclasses import dataclass

from shared import fields
from shared.errors import ProtocolViolation

PORT = 7411
"""Of UDP, on every worker."""
GROUP = "239.255.77.75"
"""The multicast group that workers listen to; of the kind that stays within an organisation."""
DATAGRAM_BYTES = 512
NONCE_BYTES = 16
MAGIC, VERSION, QUESTION, ANSWER = b"MNKD", 1, 1, 2
START_BYTES = len(MAGIC) + 2


@dataclass(frozen=True, slots=True)
class Sighting:
    """A worker that has answered."""

    cluster: str
    key: str
    """`key_mark` of its client key."""
    worker: str
    address: str
    """HOST:PORT, as the worker is known in its cluster."""


def key_mark(client_key: bytes) -> str:
    """What is public of a client key, 32 bytes: who has it recognises its cluster, and nobody learns it."""
    return hashlib.blake2b(b"minka client", key=client_key, digest_size=8).hexdigest()


def question(nonce: bytes) -> bytes:
    """The datagram that asks who is there."""
    return _start(QUESTION, nonce).ljust(DATAGRAM_BYTES, b"\0")


def read_question(datagram: bytes) -> bytes | None:
    """The nonce of a question, None for anything else."""
    if len(datagram) != DATAGRAM_BYTES or not datagram.startswith(_start(QUESTION, b"")):
        return None
    return datagram[START_BYTES : START_BYTES + NONCE_BYTES]


def answer(nonce: bytes, sighting: Sighting) -> bytes:
    """The datagram that answers; raises ValueError when a name is too long for it."""
    told = json.dumps(fields.encode(sighting), ensure_ascii=False, separators=(",", ":")).encode()
    datagram = _start(ANSWER, nonce) + told
    if len(datagram) > DATAGRAM_BYTES:
        raise ValueError(f"an answer of {len(datagram)} bytes")
    return datagram


def read_answer(datagram: bytes, nonce: bytes) -> Sighting | None:
    """What an answer to the question with this nonce says, None for anything else."""
    start = _start(ANSWER, nonce)
    if len(datagram) > DATAGRAM_BYTES or not datagram.startswith(start):
        return None
    try:
        return fields.decode(Sighting, json.loads(datagram[len(start) :]))
    except (ValueError, RecursionError, ProtocolViolation):
        return None


def _start(kind: int, nonce: bytes) -> bytes:
    return MAGIC + bytes((VERSION, kind)) + nonce
