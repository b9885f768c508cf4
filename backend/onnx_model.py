"""A trained model as ONNX, operator set 13, for programs that do not know Minka.

The file is written field by field: protocol buffers are pairs of a tag (number x 8 + kind) and a value, a whole number of
variable length (kind 0) or counted bytes (kind 2). The numbers of the fields are those of onnx.proto.

Input: ``images``, uint8 [n, height, width, channels], normalised as the spec says (`shared.images`), or ``numbers``, float32
[n, columns]. Output: ``probabilities`` [n, labels], or ``values`` [n, outputs] in the units of the targets. The metadata
hold "labels" and "about", both JSON.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from backend.weights import FLAT, about, labels_of, split_weights, write_whole
from shared.errors import Refused

IR_VERSION = 7
OPERATOR_SET = 13
FLOAT, UINT8 = 1, 2
"""TensorProto.DataType."""
INT_ATTRIBUTE, INTS_ATTRIBUTE = 2, 7
"""AttributeProto.AttributeType."""
INPUT_DEVIATION = 0.5
"""Of an image's pixels as the network sees them."""
EPSILON = 1e-5
"""Of layer normalisation."""


def write_onnx(row: Mapping[str, Any], blob: bytes, target: Path) -> list[str]:
    """Write the model in `row` to `target`, whole or not at all; the names of its arrays.

    Raises `Refused` for a model whose spec does not name its parts, and when the target cannot be written.
    """
    arrays = split_weights(row, blob)
    if FLAT in arrays:
        raise Refused(f"{row['id']} does not say what it is made of.", "Export it as npz.")
    graph = _Graph(arrays)
    graph.network(row["spec"])
    metadata = {"labels": json.dumps(labels_of(row)), "about": json.dumps(about(row))}
    model = (
        _field(1, IR_VERSION),
        _field(2, "minka"),
        _field(7, graph.encoded(row["id"])),
        _field(8, _field(1, ""), _field(2, OPERATOR_SET)),
        *(_field(14, _field(1, name), _field(2, text)) for name, text in metadata.items()),
    )
    write_whole(target, lambda stream: stream.write(b"".join(model)))
    return list(arrays)


class _Graph:
    """A chain of nodes, each of which takes what the one before gave."""

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self._arrays = arrays
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._ends: list[bytes] = []
        self._last = ""

    def network(self, spec: Mapping[str, Any]) -> None:
        """From the input to the output. A ReLU follows each conv and dense but the last: docs/training.md."""
        self._entrance(spec)
        parts = [part.split() for part in spec["layers"].split(", ")]
        place = 0
        while place < len(parts):
            kind, end = parts[place][0], place + 1
            for follower in {"conv": ("pool", "norm"), "dense": ("norm",)}.get(kind, ()):
                end += parts[end : end + 1] != [] and parts[end][0] == follower
            for number in range(place, end):
                self._part(number + 1, parts[number])
            if kind in ("conv", "dense") and end < len(parts):
                self._node("Relu")
            place = end
        if spec["loss"] == "squared":
            self._with("Mul", spec["target_deviation"])
            self._with("Add", spec["target_mean"])
            self._end(12, "values", FLOAT, (spec["outputs"],))
        else:
            self._node("Softmax", axis=1)
            self._end(12, "probabilities", FLOAT, (spec["outputs"],))

    def encoded(self, name: str) -> bytes:
        """GraphProto."""
        nodes = [_field(1, node) for node in self._nodes]
        tensors = [_field(5, tensor) for tensor in self._tensors]
        return b"".join((*nodes, _field(2, name), *tensors, *self._ends))

    def _entrance(self, spec: Mapping[str, Any]) -> None:
        shape, mean, deviation = spec["input_shape"], np.array(spec["mean"]), np.array(spec["deviation"])
        self._image = len(shape) == 3
        self._last = "images" if self._image else "numbers"
        self._ends.append(_field(11, _value(self._last, UINT8 if self._image else FLOAT, shape)))
        if self._image:
            self._node("Cast", to=FLOAT)
            deviation = deviation / INPUT_DEVIATION
        self._with("Sub", mean)
        self._with("Div", deviation)
        if self._image:
            self._node("Transpose", perm=(0, 3, 1, 2))

    def _part(self, number: int, words: Sequence[str]) -> None:
        match words:
            case ["conv", _, size, *same]:
                above, left = (int(side) // 2 if same else 0 for side in size.split("x"))
                self._node("Conv", *self._parameters(number, "conv"), pads=(above, left, above, left))
            case ["pool", size]:
                self._node("MaxPool", kernel_shape=(int(size), int(size)), strides=(int(size), int(size)))
            case ["dense", *_]:
                if self._image:  # which enters by row, then channel, then column
                    self._node("Transpose", perm=(0, 2, 1, 3))
                    self._node("Flatten", axis=1)
                    self._image = False
                self._node("Gemm", *self._parameters(number, "dense"))
            case ["norm"]:
                self._norm(number)
            case ["dropout", _]:
                pass  # in training alone
            case _:
                raise Refused(f"{' '.join(words)!r} cannot be written as ONNX.", "Export the model as npz.")

    def _norm(self, number: int) -> None:
        """(x - mean) / sqrt(mean of squares + epsilon), times scale, plus shift."""
        axes = (1, 2, 3) if self._image else (1,)
        whole = self._last
        mean = self._node("ReduceMean", axes=axes, keepdims=1)
        self._last = whole
        centred = self._node("Sub", mean)
        self._node("Mul", centred)
        self._node("ReduceMean", axes=axes, keepdims=1)
        self._with("Add", EPSILON)
        deviation = self._node("Sqrt")
        self._last = centred
        self._node("Div", deviation)
        per_channel = (-1, 1, 1) if self._image else (-1,)
        for operator, name in (("Mul", "scale"), ("Add", "shift")):
            self._with(operator, self._arrays[f"{number}.norm.{name}"].reshape(per_channel))

    def _parameters(self, number: int, kind: str) -> list[str]:
        return [
            self._tensor(f"{number}.{kind}.{name}", self._arrays[f"{number}.{kind}.{name}"])
            for name in ("weight", "bias")
        ]

    def _with(self, operator: str, constant: ArrayLike) -> None:
        """A node whose other input is this number, or one for each channel, column or output."""
        self._node(operator, self._tensor(f"constant{len(self._tensors)}", constant))

    def _tensor(self, name: str, values: ArrayLike) -> str:
        """TensorProto: little-endian float32 in C order."""
        array = np.asarray(values, "<f4")
        dims = [_field(1, size) for size in array.shape]
        self._tensors.append(b"".join((*dims, _field(2, FLOAT), _field(8, name), _field(9, array.tobytes()))))
        return name

    def _node(self, operator: str, *others: str, **attributes: int | tuple[int, ...]) -> str:
        """NodeProto; the name of what it gives."""
        taken = [_field(1, name) for name in (self._last, *others)]
        self._last = f"{operator.lower()}{len(self._nodes)}"
        told = [_field(5, _attribute(name, value)) for name, value in attributes.items()]
        self._nodes.append(b"".join((*taken, _field(2, self._last), _field(4, operator), *told)))
        return self._last

    def _end(self, number: int, name: str, kind: int, shape: Sequence[int]) -> None:
        self._nodes.append(_field(1, self._last) + _field(2, name) + _field(4, "Identity"))
        self._ends.append(_field(number, _value(name, kind, shape)))


def _value(name: str, kind: int, shape: Sequence[int]) -> bytes:
    """ValueInfoProto: of n rows of this shape."""
    dims = [_field(1, _field(2, "n")), *(_field(1, _field(1, size)) for size in shape)]
    tensor = _field(1, _field(1, kind), _field(2, *dims))
    return _field(1, name) + _field(2, tensor)


def _attribute(name: str, value: int | tuple[int, ...]) -> bytes:
    """AttributeProto."""
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, INT_ATTRIBUTE)
    return b"".join((_field(1, name), *(_field(8, one) for one in value), _field(20, INTS_ATTRIBUTE)))


def _field(number: int, *value: int | str | bytes) -> bytes:
    """A whole number, a text, or the fields of a message."""
    if isinstance(value[0], int):
        return _variable(number << 3) + _variable(value[0])
    data = b"".join(
        one.encode() if isinstance(one, str) else one for one in value if not isinstance(one, int)
    )
    return _variable(number << 3 | 2) + _variable(len(data)) + data


def _variable(number: int) -> bytes:
    """Seven bits in each byte, the lowest first; the highest bit of a byte says that others follow."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])
