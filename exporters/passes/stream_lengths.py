"""Lengths in a streaming graph: they disappear, because every frame of a chunk is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from ...errors import StreamingError
from .stream_states import OURS, constant
from .time_axis import time_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .stream_states import States

#: Where ONNX's layers take lengths.
SEQUENCE_LENS = 4
_LAYERS = frozenset({"LSTM", "GRU", "RNN"})
#: Operators on a mask that broadcast, so that one element may stand for all.
_BROADCAST = frozenset({"And", "Or", "Not", "Xor", "Where", "Cast", "Mul", "Unsqueeze", "Identity"})


def drop_lengths_of_layers(graph: ir.Graph, lengths: tuple[str, ...]) -> None:
    """Layers lose the lengths that come from these inputs, by way of whatever a stride makes of them."""
    for node in graph:
        given = node.inputs[SEQUENCE_LENS] if node.op_type in _LAYERS and len(node.inputs) > SEQUENCE_LENS else None
        if given is not None and any(one.is_graph_input() and one.name in lengths for one in ancestors(given)):
            node.replace_input_with(SEQUENCE_LENS, None)


def drop_masks(graph: ir.Graph, masks: Mapping[str, bool]) -> None:
    """Masks that say the same of every frame, if all rows are whole, go.

    Args:
        graph: the graph.
        masks: what they say, by the value's name.
    """
    for node in list(graph):
        for value in node.outputs:
            said = masks.get(value.name or "")
            if said is None or value.shape is None:
                continue
            for use in list(value.uses()):
                if use.node.op_type == "Where" and use.idx == 0:
                    chosen = use.node.inputs[1 if said else 2]
                    if chosen is not None and str(chosen.shape) == str(use.node.outputs[0].shape):
                        ir.convenience.replace_all_uses_with(use.node.outputs[0], chosen, replace_graph_outputs=False)
                if use.node.op_type in _BROADCAST:
                    rank = len(value.shape)
                    one = constant(graph, f"stream_{said}_{rank}", np.full([1] * rank, said, np.bool_))
                    use.node.replace_input_with(use.idx, one)


def fill_lengths(states: States, name: str, time: str, lag: int) -> None:
    """Where lengths are still used, the chunk's own number of frames takes their place.

    Args:
        states: the graph's states.
        name: the input that holds lengths.
        time: name of the axis that is cut.
        lag: frames that a run after the first gives beyond those that it takes, at most.

    Raises:
        StreamingError: there is no batch axis for them.
    """
    graph = states.graph
    value = next(one for one in graph.inputs if one.name == name)
    if not value.uses():
        return
    timed = next(one for one in graph.inputs if time_axes(one, time))
    axis = time_axes(timed, time)[0]
    batch = next((i for i, size in enumerate(timed.shape or ()) if i != axis and not isinstance(size, int)), None)
    if batch is None:
        raise StreamingError(f"'{timed.name}' has no batch axis for the lengths '{name}' to be of.")
    frames = states.node("Shape", [timed], {"start": axis, "end": axis + 1}, f"{name}/frames")
    if lag > 0:
        earlier = states.node("Sub", [states.ints(1), states.fresh()], {}, f"{name}/begun")
        earlier = states.node("Mul", [earlier, states.ints(lag)], {}, f"{name}/earlier")
        frames = states.node("Add", [frames, earlier], {}, f"{name}/with_earlier")
    rows = states.node("Shape", [timed], {"start": batch, "end": batch + 1}, f"{name}/rows")
    full = states.node("Expand", [frames, rows], {}, f"{name}/full")
    if value.dtype != ir.DataType.INT64:
        full = states.node("Cast", [full], {"to": int(value.dtype or ir.DataType.INT64)}, f"{name}/cast")
    full.type, full.shape = value.type, value.shape
    ir.convenience.replace_all_uses_with(value, full)


def masks_of(graph: ir.Graph, lengths: tuple[str, ...]) -> list[str]:
    """Names of the booleans that are computed from lengths and from nothing else that is given but sizes."""
    found = []
    for node in graph:
        for value in node.outputs:
            if value.dtype == ir.DataType.BOOL and value.name and OURS not in node.metadata_props:
                given = {one.name for one in ancestors(value) if one.is_graph_input()}
                if given and given <= set(lengths):
                    found.append(value.name)
    return found


def ancestors(value: ir.Value) -> Iterator[ir.Value]:
    """This value and all that its numbers come from. A shape comes from nobody's numbers."""
    seen: set[ir.Value] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        producer = one.producer()
        if producer is not None and producer.op_type != "Shape":
            waiting += [source for source in producer.inputs if source is not None]
