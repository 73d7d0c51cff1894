"""Small changes to the face of an ONNX file, made in its bytes, so that no onnx package is needed to deploy one.

An ONNX file is one Protocol Buffers message (https://protobuf.dev/programming-guides/encoding/): a ``ModelProto`` whose
field 7 is the ``GraphProto``. Only the graph's own list of fields is taken apart; nodes and weights are copied as they
are. Field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import DeployError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 11, 12
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT = 1, 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 3, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_TYPE, _ATTRIBUTE_IS_INT = 1, 3, 20, 2
#: ``TensorProto.DataType``.
_INT32, _INT64 = 6, 7
#: Wire types: a varint, eight bytes, bytes with their length, four bytes.
_VARINT, _BYTES = 0, 2
_SIZES = {1: 8, 5: 4}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Field:
    """One field of a message: ``raw`` is all of it, ``value`` the content of one that has a length."""

    number: int
    kind: int
    raw: memoryview
    value: memoryview


def rename_outputs(model: bytes, names: Mapping[str, str]) -> bytes:
    """The model with outputs of other names: an ``Identity`` each, which ONNX Runtime removes when it loads.

    Args:
        model: an ONNX file.
        names: new names by old ones.

    Raises:
        DeployError: the bytes are no ONNX file, or lack such an output.
    """
    nodes = b"".join(_node("Identity", old, new) for old, new in names.items())

    def changed(graph: memoryview) -> bytes:
        left = dict(names)
        parts: list[bytes | memoryview] = []
        for one in _fields(graph):
            new = left.pop(_value_name(one), None) if one.number == _GRAPH_OUTPUT else None
            parts.append(one.raw if new is None else _sized(_GRAPH_OUTPUT, _renamed(one.value, new)))
        if left:
            raise DeployError(f"the ONNX file has no output '{next(iter(left))}'. Export the bundle again.")
        return b"".join([*parts, nodes])

    return _with_graph(model, changed)


def narrow_input(model: bytes, name: str, new: str) -> bytes:
    """The model with an int64 input given as int32 under another name, for servers whose flags are int32.

    Raises:
        DeployError: the bytes are no ONNX file, or lack such an input.
    """
    node = _node("Cast", new, name, to=_INT64)

    def changed(graph: memoryview) -> bytes:
        parts: list[bytes | memoryview] = [node]  # nodes must stand before those that use them
        found = False
        for one in _fields(graph):
            if one.number == _GRAPH_INPUT and _value_name(one) == name:
                found = True
                parts.append(_sized(_GRAPH_INPUT, _retyped(_renamed(one.value, new), _INT32)))
            else:
                parts.append(one.raw)
        if not found:
            raise DeployError(f"the ONNX file has no input '{name}'. Export the bundle again.")
        return b"".join(parts)

    return _with_graph(model, changed)


def _with_graph(model: bytes, change: Callable[[memoryview], bytes]) -> bytes:
    parts: list[bytes | memoryview] = []
    found = False
    for one in _fields(memoryview(model)):
        if one.number == _MODEL_GRAPH and one.kind == _BYTES:
            found = True
            parts.append(_sized(_MODEL_GRAPH, change(one.value)))
        else:
            parts.append(one.raw)
    if not found:
        raise DeployError("these bytes are no ONNX file: they hold no graph. Export the bundle again.")
    return b"".join(parts)


def _value_name(one: _Field) -> str:
    return next((bytes(part.value).decode() for part in _fields(one.value) if part.number == _VALUE_NAME), "")


def _renamed(value: memoryview, name: str) -> bytes:
    return _sized(_VALUE_NAME, name.encode()) + b"".join(
        part.raw for part in _fields(value) if part.number != _VALUE_NAME
    )


def _retyped(value: bytes, element: int) -> bytes:
    """A ``ValueInfoProto`` whose tensors have another element type."""

    def in_tensor(tensor: memoryview) -> bytes:
        return _number(_TENSOR_ELEMENT, element) + b"".join(
            part.raw for part in _fields(tensor) if part.number != _TENSOR_ELEMENT
        )

    def in_type(kind: memoryview) -> bytes:
        return b"".join(
            _sized(_TYPE_TENSOR, in_tensor(part.value)) if part.number == _TYPE_TENSOR else part.raw
            for part in _fields(kind)
        )

    return b"".join(
        _sized(_VALUE_TYPE, in_type(part.value)) if part.number == _VALUE_TYPE else part.raw
        for part in _fields(memoryview(value))
    )


def _node(operator: str, given: str, made: str, **integers: int) -> bytes:
    """A field of the graph: a node of one input, one output and integer attributes."""
    attributes = b"".join(
        _sized(
            _NODE_ATTRIBUTE,
            _sized(_ATTRIBUTE_NAME, name.encode())
            + _number(_ATTRIBUTE_INT, value)
            + _number(_ATTRIBUTE_TYPE, _ATTRIBUTE_IS_INT),
        )
        for name, value in integers.items()
    )
    parts = ((_NODE_INPUT, given), (_NODE_OUTPUT, made), (_NODE_NAME, f"deploy/{made}"), (_NODE_OPERATOR, operator))
    return _sized(_GRAPH_NODE, b"".join(_sized(number, text.encode()) for number, text in parts) + attributes)


def _fields(message: memoryview) -> Iterator[_Field]:
    """The fields of a message, in order."""
    at = 0
    try:
        while at < len(message):
            start = at
            key, at = _varint(message, at)
            number, kind = key >> 3, key & 7
            first = at
            if kind == _VARINT:
                _, at = _varint(message, at)
            elif kind == _BYTES:
                size, first = _varint(message, at)
                at = first + size
            else:
                at += _SIZES[kind]
            # Past the end of a message there is nothing to yield: the index says so as it does for a number.
            _ = message[at - 1]
            yield _Field(number=number, kind=kind, raw=message[start:at], value=message[first:at])
    except (IndexError, KeyError):
        raise DeployError("these bytes are no ONNX file: a field ends behind its message. Copy it again.") from None


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _encoded(field << 3 | _VARINT) + _encoded(value)


def _sized(field: int, content: bytes) -> bytes:
    return _encoded(field << 3 | _BYTES) + _encoded(len(content)) + content
