"""The weights of a trained model as NumPy's NPZ, for programs that do not know Minka.

The weights' blob is all parameters as little-endian float32, one after the other in C order. The spec names them and says
their shapes: a dense layer's weight is [inputs, units], a convolution's [filters, channels, height, width]. Inputs are
``uint8`` pixels p, standardised per channel to (p - mean) / (2 deviation). An image enters a dense layer by row, then
channel, then column. The spec's "layers" say what comes when; docs/training.md says what they mean.
"""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import Refused

FLAT = "parameters"
"""The one array of a model whose spec does not name its parts."""


def parameter_shapes(spec: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a model's parameters in the order of its blob; empty for a spec that does not name them."""
    return [(str(name), tuple(shape)) for name, shape in spec.get("parameters", [])]


def split_weights(row: Mapping[str, Any], blob: bytes) -> dict[str, NDArray[np.float32]]:
    """The arrays in the weights' blob of the model in `row`: views of it, float32."""
    flat = np.frombuffer(blob, dtype="<f4")
    shapes = parameter_shapes(row["spec"])
    if sum(math.prod(shape) for _, shape in shapes) != flat.size:
        return {FLAT: flat}
    arrays, start = {}, 0
    for name, shape in shapes:
        end = start + math.prod(shape)
        arrays[name] = flat[start:end].reshape(shape)
        start = end
    return arrays


def write_npz(row: Mapping[str, Any], blob: bytes, target: Path) -> list[str]:
    """Write the arrays, the labels, and how inputs are standardised to `target`, whole or not at all.

    Returns the arrays' names. ``about`` is a JSON text: model, digest, spec, lineage. Raises `Refused` when the target
    cannot be written.
    """
    spec = row["spec"]
    about = {"model": row["id"], "digest": row["digest"], "spec": spec, "lineage": row["lineage"]}
    arrays: dict[str, NDArray[Any]] = {**split_weights(row, blob)}
    arrays["labels"] = np.array(
        [str(label) for label in row.get("dataset", {}).get("labels", [])], dtype=np.str_
    )
    for name in ("mean", "deviation"):
        if name in spec:
            arrays[name] = np.atleast_1d(np.array(spec[name], np.float32))
    arrays["about"] = np.array(json.dumps(about))
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # its stub takes the names for its own options
        os.replace(part, target)
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error
    return list(arrays)
