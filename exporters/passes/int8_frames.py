"""What the quantized layers share: which frames are a row's own, and values that only change their rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .stream_states import numbers_of

if TYPE_CHECKING:
    from ..layer import Builder

_LAYERS = {"LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"}
#: Nodes that move values of a sequence and leave zeros zeros.
_MOVERS = {"Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Concat"}
#: Metadata of a ``Scan`` of ours, while the pass runs. That it gives zeros beyond the lengths: the name of the value
#: that holds them. That its answers lie between -1 and 1, but for what an initial state brings.
LENGTHS, BOUNDED = "rnnx.int8.lengths", "rnnx.int8.bounded"


def optional_input(node: ir.Node, index: int) -> ir.Value | None:
    """An optional input of a node; None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def directions(node: ir.Node) -> list[int]:
    """Of each direction of a recurrent layer, whether it goes in reverse."""
    direction = node.attributes.get_string("direction", "forward") or "forward"
    return {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[direction]


def valid_frames(sequence: ir.Value, lengths: ir.Value, builder: Builder) -> ir.Value:
    """Which frames are a row's own: bool ``(time, batch, 1)`` for a sequence ``(time, batch, features)``."""

    def make() -> ir.Value:
        zero, one = (builder.constant(f"i64_scalar_{n}", np.array(n, np.int64)) for n in (0, 1))
        count = builder.call("Squeeze", builder.call("Shape", sequence, start=0, end=1))
        column = builder.call("Unsqueeze", builder.call("Range", zero, count, one), builder.ints(1, 2))
        whole = builder.call("Cast", lengths, to=int(ir.DataType.INT64))
        return builder.call("Less", column, builder.call("Unsqueeze", whole, builder.ints(0, 2)))

    return builder.made_once(("int8 valid", sequence, lengths), make)


def masked(sequence: ir.Value, lengths: ir.Value, builder: Builder) -> ir.Value:
    """The sequence with zeros beyond each row's length.

    One scale serves a whole tensor, so that what happens to stand in padding would decide how finely all rows are
    quantized, and a NaN there would reach all of them.
    """
    zero = builder.constant("int8_f32_zero", np.array(0, np.float32))
    return builder.call("Where", valid_frames(sequence, lengths, builder), sequence, zero)


def zeros_beyond(sequence: ir.Value, lengths: ir.Value) -> bool:
    """Whether a sequence is a layer's answer, which is zeros beyond the same lengths."""
    node = sequence.producer()
    if node is None:
        return False
    if node.op_type in _MOVERS:
        return all(one is not None and zeros_beyond(one, lengths) for one in node.inputs[: _moved(node)])
    if node.op_type in _LAYERS:
        return optional_input(node, 4) is lengths
    return node.metadata_props.get(LENGTHS) == lengths.name


def is_even(value: ir.Value) -> bool:
    """Whether a value is a layer's answer, whose frames are all of about the same size.

    One scale then serves all of them. Frames of a model's own input may differ by orders of magnitude.
    """
    node = value.producer()
    if node is None:
        return False
    if node.op_type in _MOVERS:
        return all(one is not None and is_even(one) for one in node.inputs[: _moved(node)])
    if node.op_type == "RNN":
        return all(one.lower() == "tanh" for one in node.attributes.get_strings("activations", ()))
    return node.op_type in _LAYERS or BOUNDED in node.metadata_props


def _moved(node: ir.Node) -> int | None:
    return None if node.op_type == "Concat" else 1


def without_axis(value: ir.Value, axis: int, builder: Builder) -> ir.Value:
    """A value less an axis of size one; what was there before somebody put the axis in, where that can be seen."""
    node = value.producer()
    if node is not None and node.op_type == "Unsqueeze" and numbers_of(node.inputs[1]) == [axis]:
        assert node.inputs[0] is not None
        return node.inputs[0]
    return builder.call("Squeeze", value, builder.ints(axis))


def give(old: ir.Value, flat: ir.Value, axis: int, builder: Builder) -> None:
    """Let ``flat`` take the place of ``old``, which has one more axis, of size one.

    Where that axis is taken out again right away, neither is done.
    """
    for user, _ in list(old.uses()):
        if user.op_type != "Squeeze" or numbers_of(optional_input(user, 1)) != [axis]:
            continue
        squeezed = user.outputs[0]
        if squeezed.is_graph_output() and flat.is_graph_output():
            continue  # one value cannot be two outputs
        flat.shape = squeezed.shape
        take_place(squeezed, flat)
        assert user.graph is not None
        user.graph.remove(user, safe=True)
    if old.uses() or old.is_graph_output():
        take_place(old, builder.call("Unsqueeze", flat, builder.ints(axis)))


def take_place(old: ir.Value, new: ir.Value) -> None:
    """Replace a value everywhere; a face keeps its names."""
    was_output = old.is_graph_output()
    if new.type is None:
        new.type = old.type
    if new.shape is None:
        new.shape = old.shape
    ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    if was_output:
        name = old.name
        old.name = None
        new.name = name
