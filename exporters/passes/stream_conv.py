"""Causal convolutions in streams: the frames that they still look back at are their state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from .time_axis import time_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME_AXIS = 2  # of (batch, channels, time)


def left_context(node: ir.Node, time: str) -> tuple[int, ir.Value, ir.Node | None] | None:
    """How many frames a causal convolution looks back at, its unpadded input, and the ``Pad`` before it, if any.

    Causal means: over time alone, one step for each step, and padded with zeros by its whole reach on the left only,
    by itself or by a ``Pad`` that nobody else uses. None for any other convolution.
    """
    if node.op_type != "Conv":
        return None
    source, weights = node.inputs[0], node.inputs[1]
    if source is None or weights is None or weights.shape is None:
        return None
    if time_axes(source, time) != [_TIME_AXIS] and time_axes(node.outputs[0], time) != [_TIME_AXIS]:
        return None
    kernel = list(weights.shape)[2:]
    ones = [1] * len(kernel)
    one_step = list(node.attributes.get_ints("strides", ones)) == [1]
    explicit = node.attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
    if len(kernel) != 1 or not isinstance(kernel[0], int) or kernel[0] == 1 or not (one_step and explicit):
        return None
    (dilation,) = node.attributes.get_ints("dilations", ones)
    reach = (kernel[0] - 1) * dilation
    left, right = node.attributes.get_ints("pads", [0, 0])
    pad = source.producer()
    if pad is not None and pad.op_type == "Pad" and len(source.uses()) == 1 and pad.inputs[0] is not None:
        around = _zeros_around(pad)
        if around is None:
            return None
        left, right, source = left + around[0], right + around[1], pad.inputs[0]
    else:
        pad = None
    return (reach, source, pad) if (left, right) == (reach, 0) else None


def _zeros_around(pad: ir.Node) -> tuple[int, int] | None:
    """Zeros before and after the third axis, where a ``Pad`` does nothing else."""
    if pad.attributes.get_string("mode", "constant") != "constant":
        return None
    inputs = [*pad.inputs, None, None, None]
    amounts = _numbers(inputs[1])
    value = _numbers(inputs[2]) if inputs[2] is not None else [0]
    if amounts is None or value is None or any(value):
        return None
    rank = len(amounts) // 2
    axes = list(range(rank)) if inputs[3] is None else _numbers(inputs[3])
    if axes is None:
        return None
    before = dict(zip((axis % 3 for axis in axes), amounts[:rank], strict=True))
    after = dict(zip((axis % 3 for axis in axes), amounts[rank:], strict=True))
    if any(before.get(axis, 0) or after.get(axis, 0) for axis in (0, 1)):
        return None
    return before.get(_TIME_AXIS, 0), after.get(_TIME_AXIS, 0)


def _numbers(value: ir.Value | None) -> Sequence[int] | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else [int(one) for one in tensor.numpy().ravel()]
