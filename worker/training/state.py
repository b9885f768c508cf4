"""The state of a job between two rounds, as bytes: what is averaged, checkpointed, and named by its digest.

    parameters   P x float32       of each layer in order, each C-ordered
    slots        s x P x float32   what the optimiser keeps: momentum; for Adam, the means of the gradient and of its square
    average      P x float32       of the weights of the last rounds, only where the spec asks for it

Little-endian. The model itself is one of these arrays: the average if there is one, else the parameters. Its digest is the
SHA-256 of its bytes.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from shared.errors import MinkaError, Refused
from worker.training import architectures, plan
from worker.training.buffers import Array
from worker.training.network import initial_parameters

FLOAT = np.dtype("<f4")
CACHED_STATES = 3


class StateNeeded(MinkaError):
    """A task named a state by its digest alone, and this process has it no more."""

    code: ClassVar[str] = "state_needed"


def digest_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


def initial(spec: Mapping[str, Any]) -> bytes:
    """The state of round 0: fresh parameters, the rest zero."""
    parameters = initial_parameters(architectures.layers(spec), spec["seed"])
    return parameters.astype(FLOAT).tobytes() + bytes(parameters.nbytes * (plan.state_arrays(spec) - 1))


def weights(spec: Mapping[str, Any], state: bytes) -> bytes:
    """The model's own array. Raises Refused if these are not the bytes of a state of this spec."""
    if len(state) != plan.state_bytes(spec):
        raise Refused(
            f"a state of {len(state)} bytes does not fit the model, which needs {plan.state_bytes(spec)}."
        )
    size = len(state) // plan.state_arrays(spec)
    return state[-size:] if spec["averaging"] else state[:size]


def average(states: bytes, sizes: Sequence[int]) -> bytes:
    """The mean of K states that follow each other in `states`, added one by one in that order, in float32.

    Raises Refused unless they are of one size and fill `states`.
    """
    if not sizes or len(set(sizes)) != 1 or sum(sizes) != len(states) or sizes[0] % FLOAT.itemsize:
        raise Refused(f"{len(states)} bytes are not {len(sizes)} states of one size.")
    stacked = np.frombuffer(states, FLOAT).reshape(len(sizes), -1)
    mean: Array = stacked[0].astype(np.float32)
    for state in stacked[1:]:
        np.add(mean, state, out=mean)
    np.divide(mean, np.float32(len(sizes)), out=mean)
    return mean.astype(FLOAT, copy=False).tobytes()


class StateCache:
    """The last few states that went through this process, so that they need not be sent to it again."""

    def __init__(self) -> None:
        self._states: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, state: bytes) -> str:
        """Remember this state; its digest."""
        digest = digest_of(state)
        self._states[digest] = state
        self._states.move_to_end(digest)
        while len(self._states) > CACHED_STATES:
            self._states.popitem(last=False)
        return digest

    def find(self, digest: str, body: bytes) -> bytes:
        """The state with this digest: `body`, or the cached one if `body` is empty.

        Raises StateNeeded if it is neither sent nor cached, Refused if `body` has another digest.
        """
        if body:
            if self.keep(body) != digest:
                raise Refused("the state has another digest than the task says.")
            return body
        if digest not in self._states:
            raise StateNeeded("the state of this round is not here.", "Send it with the task.")
        self._states.move_to_end(digest)
        return self._states[digest]
