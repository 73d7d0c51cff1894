"""Windows over time: convolutions, pooling, picked, padded and stacked frames, and how many frames each gives.

A window of reach ``R`` and stride ``s``, padded by ``l`` frames on the left and ``r`` on the right, answers from frames
``j*s - l`` to ``j*s - l + R - 1``. In a stream it keeps the last ``B`` frames, with ``R - s <= B <= R - 1`` and ``B``
congruent to ``l`` modulo ``s``: the one number for which ``m*s`` more frames always give ``m`` answers. Its first run
takes ``B - l`` frames more than that, which is its lag. In the last run the ``r`` frames of padding come behind.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import onnx_ir as ir

from ...errors import StreamingError
from .stream_states import numbers_of, size_of, whose
from .time_axis import time_axes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Where "to the end" begins: torch's exporters write the largest number of 32 or 64 bits.
FAR = 2**31 - 1
#: How a size says what it was for some numbers of frames, see :mod:`rnnx.exporters.stream_probe`: ``60:20``.
_COUNT = re.compile(r"(\d+):(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """How one node looks at time.

    Attributes:
        kind: ``filter`` (a convolution or a pool), ``pick`` (a slice), ``trim`` (a slice that leaves a multiple of
            ``reach`` frames), ``crop`` (a slice that leaves out the last ``reach - 1`` frames, so that each one waits
            until as many have come behind it), ``pad``, ``stack`` or ``delay``.
        axis: the source's time axis.
        reach: frames that one answer looks at.
        stride: frames from one answer to the next.
        left: frames of padding before the first frame; negative where the first frames are skipped.
        right: frames of padding behind the last one.
        fill: what the padding holds.
    """

    kind: str
    axis: int
    reach: int = 1
    stride: int = 1
    left: int = 0
    right: int = 0
    fill: float = 0.0

    @property
    def buffer(self) -> int:
        """How many frames it keeps."""
        if self.kind in {"pick", "trim", "pad", "stack"}:
            return 0
        return self.reach - self.stride + (self.left - self.reach) % self.stride

    @property
    def lag(self) -> int:
        """How many frames its first run takes beyond a multiple of its stride."""
        if self.kind == "pick":
            return -self.left - -self.left % self.stride
        return self.buffer - self.left

    def count(self, frames: int, *, begun: bool, ending: bool) -> int | None:
        """How many answers a run gives; None where ONNX Runtime cannot run it.

        Args:
            frames: what the run takes.
            begun: whether it is not the first run of its stream.
            ending: whether it is the last.
        """
        if self.kind == "stack":
            return None if frames % self.stride else frames // self.stride
        if self.kind == "trim":
            return frames - frames % self.reach
        if self.kind == "pick":
            skipped = -self.left % self.stride if begun else -self.left
            return max(0, math.ceil((frames - skipped) / self.stride))
        frames += (self.buffer if begun else self.left) + (self.right if ending else 0)
        if self.kind == "pad":
            return frames
        return (frames - self.reach) // self.stride + 1 if frames >= self.reach else 0


def find_window(node: ir.Node, time: str) -> Window | None:
    """The window of a node over time; None where every step is treated alone.

    Raises:
        StreamingError: it looks at time in a way that cannot be carried.
    """
    source = node.inputs[0] if node.inputs else None
    axes = time_axes(source, time)
    rule = {"Conv": _filter, "MaxPool": _filter, "AveragePool": _filter, "Slice": _pick, "Pad": _pad}.get(node.op_type)
    if node.op_type == "Reshape" and axes:
        return _stack(node, axes[0], time)
    if rule is None or not axes:
        return None
    return rule(node, axes[0])


def has_windows(graph: ir.Graph, time: str) -> bool:
    """Whether a node looks at several steps."""
    try:
        return any(find_window(node, time) is not None for node in graph)
    except StreamingError:
        return True  # it does, in a way that is refused later


def _filter(node: ir.Node, axis: int) -> Window | None:
    if axis == 0:  # time folded into the batch: an image a step, and no step sees another
        return None
    if axis == 1:
        refuse(node, "takes steps as channels")
    weights = node.inputs[1] if node.op_type == "Conv" else None
    shape = [] if weights is None or weights.shape is None else list(weights.shape)[2:]
    kernel = list(node.attributes.get_ints("kernel_shape", [size for size in shape if isinstance(size, int)]))
    at, ones = axis - 2, [1] * len(kernel)
    stride, dilation = (node.attributes.get_ints(name, ones)[at] for name in ("strides", "dilations"))
    reach = (kernel[at] - 1) * dilation + 1
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    pads = node.attributes.get_ints("pads", [0] * (2 * len(kernel)))
    left, right = (0, 0) if auto == "VALID" else (pads[at], pads[at + len(kernel)])
    if auto not in {"NOTSET", "VALID"} and (reach, stride) != (1, 1):
        refuse(node, f"pads by the number of steps (auto_pad {auto})")
    if (reach, stride, left, right) == (1, 1, 0, 0):
        return None
    if node.op_type != "Conv":
        right += _rounded_up(node, reach, stride, right)
        if node.op_type == "AveragePool" and left + right and not node.attributes.get_int("count_include_pad", 0):
            refuse(node, "leaves its padding out of the means (count_include_pad=False), which depends on the end")
    fill = -math.inf if node.op_type == "MaxPool" else 0.0
    window = Window(kind="filter", axis=axis, reach=reach, stride=stride, left=left, right=right, fill=fill)
    if window.lag < 0:
        refuse(node, f"pads {left} steps before a window of {reach}, so that its first answer sees padding alone")
    return window


def _rounded_up(node: ir.Node, reach: int, stride: int, right: int) -> int:
    """How much more padding does what rounding a pool's number of windows up does."""
    if len(node.outputs) > 1 and node.outputs[1].uses():
        refuse(node, "gives the positions of its steps")
    if not node.attributes.get_int("ceil_mode", 0) or stride == 1:
        return 0
    # Padding with what never is the largest does the same, unless that began a window of padding alone.
    if node.op_type != "MaxPool" or right + stride > reach:
        refuse(node, "rounds the number of its windows up (ceil_mode), and the last of them is cut short")
    return stride - 1


def slice_places(node: ir.Node) -> dict[int, tuple[int, int, int]] | None:
    """Start, end and step of a slice by axis; None where one of them is computed."""
    given = [*node.inputs[1:], None, None]
    starts, ends = numbers_of(given[0]), numbers_of(given[1])
    if starts is None or ends is None or node.inputs[0] is None or node.inputs[0].shape is None:
        return None
    axes = list(range(len(starts))) if given[2] is None else numbers_of(given[2])
    steps = [1] * len(starts) if given[3] is None else numbers_of(given[3])
    if axes is None or steps is None:
        return None
    rank = len(node.inputs[0].shape)
    return {axis % rank: what for axis, what in zip(axes, zip(starts, ends, steps, strict=True), strict=True)}


def _pick(node: ir.Node, axis: int) -> Window | None:
    places = slice_places(node)
    if places is None:
        axes = numbers_of(node.inputs[3]) if len(node.inputs) > 3 else None
        rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 0
        return _trim(node, axis) if axes is None or axis in {one % rank for one in axes} else None
    start, end, step = places.get(axis, (0, FAR, 1))
    if start >= 0 and end < 0 and step == 1:
        return Window(kind="crop", axis=axis, reach=1 - end, left=-start)
    if start < 0 or step < 1 or end < FAR:
        refuse(node, "picks steps by number")
    if (start, step) == (0, 1):
        return None
    return Window(kind="pick", axis=axis, stride=step, left=-start)


def _trim(node: ir.Node, axis: int) -> Window | None:
    """A slice to a number of steps that is computed: the largest multiple of something, or all of them."""
    starts, axes, steps = (numbers_of(one) for one in (*node.inputs[1:2], *node.inputs[3:], None, None)[:3])
    rank = len(node.inputs[0].shape or ()) if node.inputs[0] is not None else 0
    if starts != [0] or axes not in ([axis], [axis - rank]) or steps not in (None, [1]):
        refuse(node, "picks steps by number")
    before, after = (str(size_of(value, axis)) for value in (node.inputs[0], node.outputs[0]))
    if before == after:
        return None
    counts = {int(frames): int(taken) for frames, taken in _COUNT.findall(after)} if before.isidentifier() else {}
    multiple = next((n for n in range(2, max(counts, default=0)) if _leaves_multiples(counts, n)), None)
    if multiple is None:
        refuse(node, "picks steps by number")
    return Window(kind="trim", axis=axis, reach=multiple)


def _leaves_multiples(counts: Mapping[int, int], multiple: int) -> bool:
    exact = all(taken == frames - frames % multiple for frames, taken in counts.items())
    return exact and any(frames % multiple for frames in counts)


def _pad(node: ir.Node, axis: int) -> Window | None:
    source = node.inputs[0]
    assert source is not None
    amounts = pad_amounts(node, any_value=True)
    rank = len(source.shape or ())
    if amounts is not None and not amounts[axis] and not amounts[axis + rank]:
        return None
    mode = node.attributes.get_string("mode", "constant")
    if mode != "constant":
        refuse(node, f"pads with steps of its own (mode '{mode}')")
    if amounts is None or amounts[axis] < 0 or amounts[axis + rank] < 0:
        refuse(node, "pads or cuts steps by a number that is not known before")
    return Window(kind="pad", axis=axis, left=amounts[axis], right=amounts[axis + rank])


def pad_amounts(pad: ir.Node, *, any_value: bool = False) -> list[int] | None:
    """How far a ``Pad`` pads each axis before, then behind; None where it does not pad with a constant of zero."""
    inputs = [*pad.inputs, None, None, None]
    amounts, axes = numbers_of(inputs[1]), numbers_of(inputs[3])
    source = pad.inputs[0]
    if amounts is None or source is None or source.shape is None or (inputs[3] is not None and axes is None):
        return None
    if not any_value:
        value = None if inputs[2] is None else ir.convenience.get_const_tensor(inputs[2])
        zero = inputs[2] is None or (value is not None and not value.numpy().any())
        if pad.attributes.get_string("mode", "constant") != "constant" or not zero:
            return None
    rank = len(source.shape)
    whole = [0] * (2 * rank)
    chosen = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    for place, axis in enumerate(chosen):
        whole[axis], whole[axis + rank] = amounts[place], amounts[place + len(chosen)]
    return whole


def _stack(node: ir.Node, axis: int, time: str) -> Window | None:
    """A reshape that lays neighbouring frames beside each other: what is behind time grows by a whole number."""
    source, target = node.inputs[0], node.outputs[0]
    after = time_axes(target, time)
    assert source is not None
    if not after or source.shape is None or target.shape is None:
        refuse(node, "lays all steps beside each other")
    before_size, before_names = _volume(list(source.shape)[axis + 1 :])
    after_size, after_names = _volume(list(target.shape)[after[0] + 1 :])
    same = str(list(source.shape)[axis]) == str(list(target.shape)[after[0]])
    if before_names != after_names:
        if same or 0 in {axis, after[0]}:  # time folded into the batch, or out of it: each step stays a step
            return None
        refuse(node, "reshapes time in a way that cannot be followed")
    stacked, rest = divmod(after_size, before_size)
    if rest:
        refuse(node, "reshapes time in a way that cannot be followed")
    return None if stacked == 1 else Window(kind="stack", axis=axis, reach=stacked, stride=stacked)


def _volume(sizes: Sequence[int | ir.SymbolicDim]) -> tuple[int, list[str]]:
    numbers = [size for size in sizes if isinstance(size, int)]
    return math.prod(numbers), sorted(str(size.value) for size in sizes if not isinstance(size, int))


def refuse(node: ir.Node, reason: str) -> NoReturn:
    """Say that a node looks at time in a way that no state can carry.

    Raises:
        StreamingError: always.
    """
    raise StreamingError(f"'{node.name}' ({node.op_type}{whose(node)}) {reason}, so it cannot be carried over chunks.")
