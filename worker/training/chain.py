"""The hash chain over the rounds of a job: one SHA-256 that commits to the data, the spec and every state on the way.

    link 0 = H(H(origin) + state 0)        origin: the data set's digest and the spec, as canonical JSON
    link r = H(link r-1  + state r)        state r: the SHA-256 of the state after round r

The same for the same spec and data, whoever computes and whatever dies; the last round's link is in the model's lineage.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def origin(dataset_digest: str, spec: Mapping[str, Any]) -> str:
    """What comes before the first state."""
    text = json.dumps({"dataset": dataset_digest, "spec": spec}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def link(before: str, state_digest: str) -> str:
    """The next link; "" stays "": a job that an older release began has no chain."""
    if not before:
        return ""
    return hashlib.sha256(bytes.fromhex(before) + bytes.fromhex(state_digest)).hexdigest()
