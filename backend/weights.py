"""The weights of a trained model as NumPy's NPZ, for programs that do not know Minka.

The weights' blob is all parameters as little-endian float32, one after the other in C order. The spec names them and says
their shapes: a dense layer's weight is [inputs, units], a convolution's [filters, channels, height, width]. Inputs are
``uint8`` pixels p, standardised per channel to (p - mean) / (2 deviation). An image enters a dense layer by row, then
channel, then column. The spec's "layers" say what comes when; docs/training.md says what they mean.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from shared.errors import Refused

STANDARDS = ("mean", "deviation", "target_mean", "target_deviation")
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


def labels_of(row: Mapping[str, Any]) -> list[str]:
    """What the outputs of the model in `row` are called, in their order."""
    return [str(label) for label in row.get("dataset", {}).get("labels", [])]


def about(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an exported file says of the model: id, digest of the weights, spec, lineage."""
    return {"model": row["id"], "digest": row["digest"], "spec": row["spec"], "lineage": row["lineage"]}


def write_npz(row: Mapping[str, Any], blob: bytes, target: Path) -> list[str]:
    """Write the arrays, the labels, and how inputs are standardised to `target`, whole or not at all.

    Returns the arrays' names. ``about`` is a JSON text. Raises `Refused` when the target cannot be written.
    """
    spec = row["spec"]
    arrays: dict[str, NDArray[Any]] = {**split_weights(row, blob)}
    arrays["labels"] = np.array(labels_of(row), dtype=np.str_)
    for name in STANDARDS:
        if name in spec:
            arrays[name] = np.atleast_1d(np.array(spec[name], np.float32))
    arrays["about"] = np.array(json.dumps(about(row)))
    write_whole(target, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]  # its stub takes the names for its own options
    return list(arrays)


def write_whole(target: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` make the file `target`, whole or not at all. Raises `Refused` when it cannot be written."""
    part = target.with_name(f".{target.name}.part")
    try:
        with open(part, "wb") as stream:
            write(stream)
        os.replace(part, target)
    except OSError as error:
        raise Refused(f"{target} cannot be written: {error.strerror or error}.") from error
