"""Padding and cutting around a convolution, which other nodes do, as the convolution's own."""

from __future__ import annotations

import onnx_ir as ir

from ...errors import StreamingError
from .naming import MODULE
from .stream_states import ints, size_of
from .stream_windows import FAR, find_window, pad_amounts, slice_places
from .time_axis import time_axes


def absorb_zeros(graph: ir.Graph, time: str) -> None:
    """Zeros that are joined to a sequence along time become a ``Pad``."""
    for node in list(graph):
        if node.op_type != "Concat":
            continue
        timed = [place for place, value in enumerate(node.inputs) if time_axes(value, time)]
        source = node.inputs[timed[0]] if len(timed) == 1 else None
        rank = 0 if source is None or source.shape is None else len(source.shape)
        axis = node.attributes.get_int("axis", 0) % max(rank, 1)
        if source is None or time_axes(source, time) != [axis]:
            continue
        sizes = [size_of(value, axis) if _is_zero(value) else None for value in node.inputs]
        before, behind = sizes[: timed[0]], sizes[timed[0] + 1 :]
        if not all(isinstance(size, int) for size in (*before, *behind)):
            continue
        pads = [0] * (2 * rank)
        pads[axis] = sum(size for size in before if isinstance(size, int))
        pads[axis + rank] = sum(size for size in behind if isinstance(size, int))
        pad = ir.node("Pad", [source, ints(graph, *pads)], name=node.name)
        pad.metadata_props[MODULE] = node.metadata_props.get(MODULE, "")
        made, old = pad.outputs[0], node.outputs[0]
        made.type, made.shape, name = old.type, old.shape, old.name
        graph.insert_before(node, pad)
        ir.convenience.replace_all_uses_with(old, made, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        made.name = name


def _is_zero(value: ir.Value | None) -> bool:
    """Whether a value is zero everywhere, whatever its size."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return not tensor.numpy().any()
    producer = None if value is None else value.producer()
    if producer is None:
        return False
    if producer.op_type == "ConstantOfShape":
        filled = producer.attributes.get("value")
        return filled is None or not filled.as_tensor().numpy().any()
    return producer.op_type in {"Expand", "Identity", "Cast", "Reshape", "Unsqueeze"} and _is_zero(producer.inputs[0])


def absorb_crops(graph: ir.Graph, time: str) -> None:
    """A slice that takes off again what a convolution of stride 1 padded on the right becomes less padding.

    That is how causal convolutions are often written: padded on both sides by the whole reach, then cut (Bai et al.
    2018, https://arxiv.org/abs/1803.01271, ``Chomp1d``).
    """
    for node in list(graph):
        conv = node.inputs[0].producer() if node.op_type == "Slice" and node.inputs[0] is not None else None
        over = time_axes(conv.inputs[0], time) if conv is not None and conv.op_type == "Conv" else []
        alone = conv is not None and len(conv.outputs[0].uses()) == 1 and not conv.outputs[0].is_graph_output()
        if conv is None or over in ([], [0], [1]) or not alone:
            continue
        cropped = _cropped(node, over[0])
        rank = len(conv.outputs[0].shape or ()) - 2
        pads, at = list(conv.attributes.get_ints("pads", [0] * (2 * rank))), over[0] - 2
        strides = conv.attributes.get_ints("strides", [1] * rank)
        if cropped and strides[at] == 1 and pads[at + rank] >= cropped:
            pads[at + rank] -= cropped
            conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
            conv.outputs[0].shape, name = node.outputs[0].shape, node.outputs[0].name
            ir.convenience.replace_all_uses_with(node.outputs[0], conv.outputs[0], replace_graph_outputs=True)
            graph.remove(node, safe=True)
            conv.outputs[0].name = name


def _cropped(node: ir.Node, axis: int) -> int:
    """How many steps a slice takes off the end, where it does nothing else; 0 for any other."""
    places = slice_places(node)
    if places is None:
        return 0
    found = 0
    for place, (start, end, step) in places.items():
        if start or step != 1 or (end < FAR and (place != axis or end >= 0)):
            return 0
        found = -end if end < 0 else found
    return found


def absorb_pads(graph: ir.Graph, time: str) -> None:
    """A ``Pad`` of zeros that one convolution or mean alone uses becomes the padding of that node."""
    for node in list(graph):
        pad = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type not in {"Conv", "AveragePool"} or pad is None or pad.op_type != "Pad":
            continue
        padded, amounts = node.inputs[0], pad_amounts(pad)
        assert padded is not None
        explicit = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
        alone = len(padded.uses()) == 1 and not padded.is_graph_output()
        if amounts is None or not (explicit and alone) or pad.inputs[0] is None or min(amounts) < 0:
            continue
        rank = len(amounts) // 2
        own = list(node.attributes.get_ints("pads", [0] * (2 * rank - 4)))
        around = [amounts[side + axis] for side in (0, rank) for axis in (0, 1)]
        mean = node.op_type == "AveragePool"
        if any(around) or (mean and any(own) and not node.attributes.get_int("count_include_pad", 0)):
            continue
        added = [*amounts[2:rank], *amounts[rank + 2 :]]
        before = dict(node.attributes)
        node.attributes["pads"] = ir.AttrInt64s("pads", [one + more for one, more in zip(own, added, strict=True)])
        if mean:
            node.attributes["count_include_pad"] = ir.AttrInt64("count_include_pad", 1)
        node.replace_input_with(0, pad.inputs[0])
        try:
            find_window(node, time)
        except StreamingError:  # more padding than a window can carry; the Pad can by itself
            node.replace_input_with(0, padded)
            node.attributes.clear()
            node.attributes.update(before)
        else:
            graph.remove(pad, safe=True)
