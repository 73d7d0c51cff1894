"""Where time is in each value of a graph, and which operators mix its steps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import onnx_ir as ir

from ...errors import StreamingError
from .naming import MODULE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Operators that treat every step alike, whatever axis time is.
_POINTWISE = frozenset(
    """
    Abs Add And BatchNormalization Cast CastLike Ceil Clip Cos Div Dropout Elu Equal Erf Exp Expand Floor Gelu
    Greater GreaterOrEqual HardSigmoid HardSwish Identity LeakyRelu Less LessOrEqual Log Max Min Mish Mod Mul
    Neg Not Or PRelu Pow Range Reciprocal Relu Reshape Round Selu Shape Sigmoid Sign Sin Softplus Softsign
    Split Sqrt Squeeze Sub Sum Swish Tanh ThresholdedRelu Transpose Unsqueeze Where Xor
    """.split()  # noqa: SIM905  (a list of this length reads better so)
)


def time_axes(value: ir.Value | None, time: str) -> list[int]:
    """Axes of a value whose size depends on the number of steps."""
    if value is None or value.shape is None:
        return []
    return [
        axis
        for axis, size in enumerate(value.shape)
        if isinstance(size, ir.SymbolicDim) and re.search(rf"\b{re.escape(time)}\b", str(size.value))
    ]


def check_node(node: ir.Node, time: str) -> None:
    """Refuse an operator that mixes steps, or that is not known not to.

    Raises:
        StreamingError: names the operator, its module and what it does with time.
    """
    for value in (*node.inputs, *node.outputs):
        if len(time_axes(value, time)) > 1:
            _refuse(node, "compares every step with every other")
    if not any(time_axes(value, time) for value in node.inputs) or node.op_type in _POINTWISE:
        return
    rule = _RULES.get(node.op_type)
    if rule is None:
        _refuse(node, "is not known to treat every step alike")
    elif (reason := rule(node, time)) != "":
        _refuse(node, reason)


def _refuse(node: ir.Node, reason: str) -> None:
    module = node.metadata_props.get(MODULE, "")
    whose = f" of module '{module}'" if module else ""
    raise StreamingError(f"'{node.name}' ({node.op_type}{whose}) {reason}, so it needs the whole of time.")


def _carried(_node: ir.Node, _time: str) -> str:
    return ""


def _instance_norm(node: ir.Node, time: str) -> str:
    return "normalises over time" if any(axis > 1 for axis in time_axes(node.inputs[0], time)) else ""


def _reduction(node: ir.Node, time: str) -> str:
    source = node.inputs[0]
    axes = node.attributes.get_ints("axes", None) if "axes" in node.attributes else None
    if axes is None and len(node.inputs) > 1:
        known = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] is not None else None
        axes = None if known is None else [int(one) for one in known.numpy().ravel()]
    if axes is None:
        return "reduces over all axes"
    return "reduces over time" if _normal(axes, source) & set(time_axes(source, time)) else ""


def _single_axis(default: int, what: str) -> Callable[[ir.Node, str], str]:
    def rule(node: ir.Node, time: str) -> str:
        source = node.inputs[0]
        return (
            what if _normal([node.attributes.get_int("axis", default)], source) & set(time_axes(source, time)) else ""
        )

    return rule


def _running_sum(node: ir.Node, time: str) -> str:
    source = node.inputs[0]
    axis = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] is not None else None
    if axis is not None and not _normal([int(axis.numpy().item())], source) & set(time_axes(source, time)):
        return ""
    return "adds up steps"


def _layer_norm(node: ir.Node, time: str) -> str:
    source = node.inputs[0]
    (first,) = _normal([node.attributes.get_int("axis", -1)], source)
    return "normalises over time" if any(axis >= first for axis in time_axes(source, time)) else ""


def _product(node: ir.Node, time: str) -> str:
    left, right = node.inputs[0], node.inputs[1]
    rank_left, rank_right = _rank(left), _rank(right)
    contracted = (rank_left - 1 in time_axes(left, time)) or (max(rank_right - 2, 0) in time_axes(right, time))
    return "sums over time" if contracted else ""


def _gemm(node: ir.Node, time: str) -> str:
    left = 0 if node.attributes.get_int("transA", 0) else 1
    return "sums over time" if left in time_axes(node.inputs[0], time) or time_axes(node.inputs[1], time) else ""


def _gather(node: ir.Node, time: str) -> str:
    axis = node.attributes.get_int("axis", 0)
    if not _normal([axis], node.inputs[0]) & set(time_axes(node.inputs[0], time)):
        return ""
    index = ir.convenience.get_const_tensor(node.inputs[1]) if node.inputs[1] is not None else None
    # The last step so far is what a stream's answer so far rests on.
    return "" if index is not None and index.numpy().ravel().tolist() == [-1] else "picks steps by number"


_RULES: dict[str, Callable[[ir.Node, str], str]] = {
    # What they keep between chunks is the business of the passes beside this module, which also refuse.
    **dict.fromkeys(
        ("LSTM", "GRU", "RNN", "Scan", "Conv", "MaxPool", "AveragePool", "Slice", "Pad"),
        _carried,
    ),
    "MatMul": _product,
    "Gemm": _gemm,
    "Gather": _gather,
    "LayerNormalization": _layer_norm,
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization"), _instance_norm),
    "Softmax": _single_axis(-1, "normalises over time"),
    "LogSoftmax": _single_axis(-1, "normalises over time"),
    "ArgMax": _single_axis(0, "compares all steps"),
    "ArgMin": _single_axis(0, "compares all steps"),
    "TopK": _single_axis(-1, "compares all steps"),
    "Concat": _single_axis(0, "joins sequences along time"),
    "CumSum": _running_sum,
    **dict.fromkeys(
        ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
         "ReduceProd", "ReduceSum", "ReduceSumSquare"),
        _reduction,
    ),
}  # fmt: skip


def _normal(axes: Sequence[int], value: ir.Value | None) -> set[int]:
    rank = _rank(value)
    return {axis % rank if rank else axis for axis in axes}


def _rank(value: ir.Value | None) -> int:
    return 0 if value is None or value.shape is None else len(value.shape)
