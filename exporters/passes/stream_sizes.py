"""Sizes in a streaming graph: a run has other numbers of frames than the arithmetic of the offline graph says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .stream_states import END, constant, ints, numbers_of
from .time_axis import time_axes

if TYPE_CHECKING:
    from .stream_states import States


def let_sizes_follow(states: States, node: ir.Node, time: str) -> None:
    """Make a ``Reshape`` or an ``Expand`` take the number of frames that comes, not one that was computed.

    Exporters compute ``(time - 1)//2 + 1`` from the size of an input. Here the element of time becomes -1 ("what is
    left") or 1 ("as it is"), the fixed sizes become constants, and only the others stay computed.

    Args:
        states: the graph's states.
        node: any node.
        time: name of the axis that is cut.
    """
    source, target = node.inputs[0] if node.inputs else None, node.outputs[0]
    axes = time_axes(target, time)
    if source is None:
        return
    if node.op_type == "Slice" and len(axes) == 1 and str(source.shape) == str(target.shape):
        ends = numbers_of(node.inputs[2])
        if ends is None:  # all of it, told by arithmetic on sizes
            node.replace_input_with(2, ints(states.graph, END))
    if node.op_type not in {"Reshape", "Expand"} or len(axes) != 1 or not time_axes(source, time):
        return
    wanted = node.inputs[1]
    if wanted is None or ir.convenience.get_const_tensor(wanted) is not None or target.shape is None:
        return
    free = -1 if node.op_type == "Reshape" else 1
    fixed = [free if axis == axes[0] else size for axis, size in enumerate(target.shape)]
    known = np.array([size if isinstance(size, int) else 0 for size in fixed], np.int64)
    computed = np.array([not isinstance(size, int) for size in fixed], np.int64)
    name = f"{node.name}/sizes"
    sizes = constant(states.graph, name, known)
    if computed.any():
        kept = constant(states.graph, f"{name}/computed", computed)
        sizes = states.node("Mul", [wanted, kept], {}, f"{name}/of_others")
        sizes = states.node("Add", [sizes, constant(states.graph, name, known)], {}, f"{name}/all")
    node.replace_input_with(1, sizes)


def stretched(states: States, value: ir.Value, beside: ir.Value, time: str, name: str) -> ir.Value | None:
    """A value that is the same at every step, as long as another sequence.

    Args:
        states: the graph's states.
        value: what an ``Expand`` or a ``ConstantOfShape`` made as long as the input is.
        beside: a sequence of the wanted length.
        time: name of the axis that is cut.
        name: for the new nodes.

    Returns:
        The new value; None where it is not the same at every step.
    """
    producer = value.producer()
    sized = {"Expand": 1, "ConstantOfShape": 0}.get("" if producer is None else producer.op_type)
    if producer is None or sized is None or (sized and time_axes(producer.inputs[0], time)) or value.shape is None:
        return None
    wanted, axis = producer.inputs[sized], time_axes(value, time)[0]
    at = time_axes(beside, time)[0]
    assert wanted is not None
    other = constant(
        states.graph, f"{name}/others", np.array([one != axis for one in range(len(value.shape))], np.int64)
    )
    own = constant(states.graph, f"{name}/own", np.array([one == axis for one in range(len(value.shape))], np.int64))
    frames = states.node("Shape", [beside], {"start": at, "end": at + 1}, f"{name}/frames")
    kept = states.node("Mul", [wanted, other], {}, f"{name}/kept")
    frames = states.node("Mul", [frames, own], {}, f"{name}/placed")
    sizes = states.node("Add", [kept, frames], {}, f"{name}/sizes")
    inputs = [producer.inputs[0], sizes] if sized else [sizes]
    attributes = {key: attribute.value for key, attribute in producer.attributes.items()}
    made = states.node(producer.op_type, [one for one in inputs if one is not None], attributes, f"{name}/as_long")
    made.type, made.shape = value.type, value.shape
    return made


def forget_sizes(graph: ir.Graph, time: str) -> None:
    """Take the axis of time out of every shape inside the graph.

    ONNX Runtime takes sizes of one name to be equal, and reuses memory by that; in a stream they are not.
    """
    outside = {*graph.inputs, *graph.outputs}
    for node in graph:
        for value in node.outputs:
            axes = time_axes(value, time)
            if axes and value not in outside and value.shape is not None:
                value.shape = ir.Shape([None if axis in axes else size for axis, size in enumerate(value.shape)])
