"""A window over time becomes one that carries its frames: what it keeps is state, its padding comes when it is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .stream_states import END, StreamState, constant, numbers_of
from .stream_windows import Window, refuse

if TYPE_CHECKING:
    from .stream_states import States


def open_window(states: States, node: ir.Node, window: Window) -> None:
    """Rewrite a node so that its runs, one after the other, give the answers of one run over everything.

    Raises:
        StreamingError: what it would keep has no fixed sizes.
    """
    if window.kind == "filter":
        _open_filter(states, node, window)
    elif window.kind == "pad":
        _open_pad(states, node, window)
    elif window.kind == "crop" or (window.kind == "pick" and window.lag):
        _open_slice(states, node, window)


def delayed(states: States, node: ir.Node, value: ir.Value, window: Window) -> ir.Value:
    """The same value some frames later: as many as ``window.right``.

    Args:
        states: the graph's states.
        node: who asks for it.
        value: a sequence.
        window: of the kind ``delay``.
    """
    producer = value.producer()
    made_by = value.name if producer is None else producer.name
    if producer is not None and len(producer.outputs) > 1:
        made_by = f"{made_by}.{value.index()}"
    name = f"{made_by}/delay{window.right}"
    whole = _keeping(states, node, value, window, f"{made_by}.delay{window.right}")
    start = states.node("Mul", [states.fresh(), states.ints(window.buffer)], {}, f"{name}/start")
    # All but the newest frames; in the last run those too.
    far = states.node("Mul", [states.ending(), states.ints(1 << 40)], {}, f"{name}/far")
    end = states.node("Sub", [far, states.ints(window.right)], {}, f"{name}/end")
    late = states.node("Slice", [whole, start, end, states.ints(window.axis)], {}, name)
    late.type, late.shape = value.type, value.shape
    return late


def _open_filter(states: States, node: ir.Node, window: Window) -> None:
    source = node.inputs[0]
    assert source is not None
    whole = _keeping(states, node, source, window, f"{node.name}.context")
    # Zeros at the beginning are what the buffer holds then; anything else is padded where it is due.
    padded = window.left if window.fill else 0
    kept = 0 if window.fill else window.left
    if window.buffer > kept:
        start = states.node("Mul", [states.fresh(), states.ints(window.buffer - kept)], {}, f"{node.name}/start")
        ends = [states.ints(END), states.ints(window.axis)]
        whole = states.node("Slice", [whole, start, *ends], {}, f"{node.name}/begun")
    if padded or window.right:
        pads = _pads(states, node, window.axis, padded, window.right)
        fill = [] if not window.fill else [_fill(states, source, window.fill)]
        whole = states.node("Pad", [whole, pads, *fill], {}, f"{node.name}/padded")
    rank = len(_shape(node)) - 2
    node.replace_input_with(0, whole)
    pads_now = list(node.attributes.get_ints("pads", [0] * (2 * rank)))
    pads_now[window.axis - 2] = pads_now[window.axis - 2 + rank] = 0
    node.attributes["pads"] = ir.AttrInt64s("pads", pads_now)
    if window.fill:
        node.attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 0)  # rounding up has become padding


def _open_slice(states: States, node: ir.Node, window: Window) -> None:
    """In the first run the frames before the first picked one are skipped, later only what the stride leaves."""
    source = node.inputs[0]
    assert source is not None
    starts = numbers_of(node.inputs[1]) or []
    axes = numbers_of(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    rank = len(_shape(node))
    at = [axis % rank for axis in axes].index(window.axis) if axes is not None else window.axis
    later = 0 if window.kind == "crop" else starts[at] - window.lag
    base = [later if place == at else start for place, start in enumerate(starts)]
    more = [window.lag * (place == at) for place in range(len(starts))]
    skipped = states.node("Mul", [states.fresh(), states.ints(*more)], {}, f"{node.name}/skipped")
    node.replace_input_with(0, _keeping(states, node, source, window, f"{node.name}.context"))
    node.replace_input_with(1, states.node("Add", [skipped, states.ints(*base)], {}, f"{node.name}/starts"))


def _open_pad(states: States, node: ir.Node, window: Window) -> None:
    rank = len(_shape(node))
    given = numbers_of(node.inputs[1]) or []
    axes = numbers_of(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else list(range(rank))
    always = [0] * (2 * rank)
    for place, axis in enumerate(axes or []):
        if axis % rank != window.axis:
            always[axis % rank], always[axis % rank + rank] = given[place], given[place + len(axes or [])]
    pads = _pads(states, node, window.axis, window.left, window.right, rank=rank)
    if any(always):
        pads = states.node("Add", [pads, states.ints(*always)], {}, f"{node.name}/pads")
    node.replace_input_with(1, pads)
    if len(node.inputs) > 3:
        node.replace_input_with(3, None)


def _pads(states: States, node: ir.Node, axis: int, left: int, right: int, *, rank: int = 0) -> ir.Value:
    """int64 ``(2 * rank,)``: ``left`` frames in the first run, ``right`` in the last."""
    rank = rank or len(_shape(node))
    parts = []
    for flag, place, amount in ((states.fresh, axis, left), (states.ending, axis + rank, right)):
        if amount:
            where = states.ints(*(amount * (one == place) for one in range(2 * rank)))
            parts.append(states.node("Mul", [flag(), where], {}, f"{node.name}/pad{place}"))
    return parts[0] if len(parts) == 1 else states.node("Add", parts, {}, f"{node.name}/pads_of_time")


def _keeping(states: States, node: ir.Node, source: ir.Value, window: Window, name: str) -> ir.Value:
    """The frames that were kept and the chunk behind them; the last ``window.buffer`` of them are kept again."""
    count, axis = window.buffer, window.axis
    if not count:
        return source
    sizes = [size if isinstance(size, int) else str(size.value) for size in _shape(node, source)]
    row = _row(states.rows, sizes, axis)
    if row is None and states.rows != 1:
        refuse(node, f"looks at steps of '{source.name}', which has no batch axis for its streams")
    order = [row, *(one for one in range(len(sizes)) if one != row)] if row is not None else []
    behind = [count if one == axis else sizes[one] for one in (order[1:] if order else range(len(sizes)))]
    fixed = tuple(size for size in behind if isinstance(size, int))
    if len(fixed) < len(behind):
        refuse(node, f"looks at steps of '{source.name}' {sizes}, whose sizes beside time are not fixed")
    layer, _, kind = name.rpartition(".")
    dtype = str((source.dtype or ir.DataType.FLOAT).numpy())
    state = states.add(StreamState(name=name, meaning=f"{kind} of {layer}", dtype=dtype, rows=states.rows, sizes=fixed))
    back = [order.index(one) for one in range(len(sizes))] if order else []
    before = state
    if not order:
        before = states.node("Squeeze", [state, states.ints(0)], {}, f"{name}/in")
    elif row:
        before = states.node("Transpose", [state], {"perm": back}, f"{name}/in")
    whole = states.node("Concat", [before, source], {"axis": axis}, f"{name}/whole")
    ends = [states.ints(-count), states.ints(END), states.ints(axis)]
    last = states.node("Slice", [whole, *ends], {}, f"{name}/out")
    if not order:
        last = states.node("Unsqueeze", [last, states.ints(0)], {}, f"{name}/lifted")
    elif row:
        last = states.node("Transpose", [last], {"perm": order}, f"{name}/turned")
    states.give(state, last)
    return whole


def _row(rows: str | int, sizes: list[int | str], axis: int) -> int | None:
    """Which axis is the batch; None where there is none."""
    fitting = [one for one, size in enumerate(sizes) if size == rows and one != axis]
    if isinstance(rows, int):  # a number may stand anywhere, but a batch stands first, or second behind time
        fitting = [one for one in fitting if one == int(axis == 0)]
    return fitting[0] if fitting else None


def _shape(node: ir.Node, value: ir.Value | None = None) -> ir.Shape:
    value = value if value is not None else node.inputs[0]
    if value is None or value.shape is None:
        refuse(node, "looks at a value whose shape is not known")
    return value.shape


def _fill(states: States, source: ir.Value, fill: float) -> ir.Value:
    dtype = (source.dtype or ir.DataType.FLOAT).numpy()
    return constant(states.graph, f"stream_fill_{fill}_{dtype}", np.array(fill, dtype))
