"""What is read from an ONNX file without the package onnx: the names at its face, and where its nodes come from.

Export writes the module of the source that a node comes from into the node's metadata. The file is read as Protocol
Buffers' wire format (protobuf.dev, "Encoding"); the numbers of the fields are those of ``onnx.proto3``. What is not
asked for is skipped, weights too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The key of a node's metadata that holds its module, as export writes it.
MODULE = "rnnx.module"

# onnx.proto3: ModelProto.graph; GraphProto.node, .input, .output; ValueInfoProto.name; NodeProto.name, .attribute,
# .metadata_props; AttributeProto.g; StringStringEntryProto.key, .value
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 1, 11, 12
_VALUE_NAME = 1
_NODE_NAME, _NODE_ATTRIBUTE, _NODE_METADATA = 3, 5, 9
_ATTRIBUTE_GRAPH = 6
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_CUT = "the ONNX file ends in the middle of a field"


def modules_of(model: bytes) -> dict[str, str]:
    """The qualified name of the source's module by node name, subgraphs included; only of nodes that have one.

    Args:
        model: an ONNX file's content.

    Raises:
        ValueError: it is no such file.
    """
    found: dict[str, str] = {}
    for graph in _children(memoryview(model), _MODEL_GRAPH):
        found.update(_of_graph(graph))
    return found


def face_of(model: bytes) -> tuple[list[str], list[str]]:
    """Names of the graph's inputs and of its outputs, in order.

    Args:
        model: an ONNX file's content.

    Raises:
        ValueError: it is no such file.
    """
    graph = next(_children(memoryview(model), _MODEL_GRAPH), memoryview(b""))
    inputs, outputs = (
        [bytes(name).decode() for value in _children(graph, which) for name in _children(value, _VALUE_NAME)]
        for which in (_GRAPH_INPUT, _GRAPH_OUTPUT)
    )
    return inputs, outputs


def _of_graph(graph: memoryview) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in _children(graph, _GRAPH_NODE):
        name, module = "", ""
        for field, value in _fields(node):
            if field == _NODE_NAME:
                name = bytes(value).decode()
            elif field == _NODE_METADATA:
                entry = {key: bytes(text).decode() for key, text in _fields(value)}
                module = entry.get(_VALUE, "") if entry.get(_KEY) == MODULE else module
            elif field == _NODE_ATTRIBUTE:
                for inner in _children(value, _ATTRIBUTE_GRAPH):
                    found.update(_of_graph(inner))
        if name and module:
            found[name] = module
    return found


def _children(message: memoryview, wanted: int) -> Iterator[memoryview]:
    return (value for field, value in _fields(message) if field == wanted)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each field that has a length; numbers are skipped."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in {_FIXED64, _FIXED32}:
            at += 8 if kind == _FIXED64 else 4
        elif kind == _BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError(_CUT)
            yield key >> 3, message[at : at + size]
            at += size
        else:
            raise ValueError(f"field {key >> 3} of an ONNX file is of the kind {kind}, which none of its fields is")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where the next field begins."""
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError(_CUT)
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
