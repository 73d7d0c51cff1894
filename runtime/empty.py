"""The answer to an empty batch, without ONNX Runtime.

ONNX Runtime's LSTM ends the whole process on a batch of zero rows (seen with 1.32 on the CPU, where the final cell
state is an output). Where every output has an axis of size zero there is nothing to compute, so nothing is run.
"""

from __future__ import annotations

import ast
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from ..signature import Axis, Signature

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def empty_answer(
    signature: Signature, feed: Mapping[str, NDArray[Any]], names: Sequence[str]
) -> dict[str, NDArray[Any]] | None:
    """Empty outputs by name where an axis is empty and every output has it; None where something is to be computed.

    Args:
        signature: the model's inputs and outputs.
        feed: every input, checked.
        names: the outputs that are asked for.

    Raises:
        ShapeError: an output is empty, and the size of another of its axes cannot be told.
    """
    sizes = {
        axis: size
        for spec in signature.inputs
        for axis, size in zip(spec.axes, feed[spec.name].shape, strict=True)
        if isinstance(axis, str)
    }
    empty = {axis for axis, size in sizes.items() if size == 0}
    specs = [signature.output(name) for name in names]
    if not empty or not all(empty & set(spec.dynamic_axes) for spec in specs):
        return None
    return {spec.name: np.zeros([_size(axis, sizes) for axis in spec.axes], spec.dtype) for spec in specs}


def _size(axis: Axis, sizes: Mapping[str, int]) -> int:
    """Size of an output's axis: a number, an input's axis, or an expression over such, like ``(time - 1)//2``."""
    if isinstance(axis, int):
        return axis
    try:
        return max(size_of(ast.parse(axis, mode="eval").body, sizes), 0)
    except (KeyError, SyntaxError, TypeError, ZeroDivisionError):
        known = ", ".join(f"'{name}'" for name in sizes)
        raise ShapeError(
            f"the answer to an empty batch needs the size of the axis '{axis}', which does not follow from {known}. "
            "Give at least one row."
        ) from None


def size_of(node: ast.expr, sizes: Mapping[str, int]) -> int:
    """Value of an axis expression that was parsed, such as ``time//2``, where axes have these sizes.

    Raises:
        KeyError, TypeError, ZeroDivisionError: it names another axis, or is no such expression.
    """
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return sizes[node.id]
    if isinstance(node, ast.BinOp):
        return _OPERATORS[type(node.op)](size_of(node.left, sizes), size_of(node.right, sizes))
    raise TypeError(type(node).__name__)
