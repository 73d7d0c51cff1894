"""Weights in eight bits: symmetric, one scale a column, found behind whatever only moves them.

Weights are signed and their zero is zero. ONNX Runtime multiplies unsigned activations by signed weights with the
processor's own instructions (VNNI); unsigned weights took three to four times as long where they were measured, and one
scale for a whole matrix lost 14 to 20 dB on weights with heavy tails (``benchmarks/notes/quantization.md``).

Processors without VNNI (AVX2, and the first with AVX-512) add such products up in pairs that saturate at 16 bits
(``vpmaddubsw``; Intel's "Software Developer's Manual", volume 2, PMADDUBSW). There a column whose weights fill their
eight bits gives other answers. So scales are chosen for which no pair can saturate, whatever it is multiplied with: the
same whole numbers come out on every processor. That costs 1 to 2 dB: scales become 1.2 to 1.4 times as large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layer import Builder

#: Domain of ONNX Runtime's own operators.
CONTRIB = "com.microsoft"
#: Largest magnitude of a weight in eight bits; -128 is not used, so that zero stays zero.
LIMIT = 127


def in_columns(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Eight bits with one scale for each column, of which no two that are multiplied as a pair can saturate.

    A pair are the weights of inputs ``2 j`` and ``2 j + 1``. Of one sign, their sum ``w`` in eight bits is 128 at most,
    so that ``255 w`` is below ``2 ** 15``; of two signs they cannot saturate.

    Args:
        matrix: float32 ``(..., inputs, outputs)``.

    Returns:
        int8 of the same shape, and float32 scales ``(..., outputs)``.
    """
    odd = matrix[..., 1::2, :]
    even = matrix[..., 0::2, :][..., : odd.shape[-2], :]
    pairs = np.where(np.signbit(even) == np.signbit(odd), np.abs(even + odd), np.float32(0))
    return _quantize(matrix, (-2,), pairs.max(axis=-2, keepdims=True, initial=0.0))


def in_rows(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Eight bits with one scale for each index of the first axis; the scales' shape is ``(rows,)``."""
    return _quantize(table, tuple(range(1, table.ndim)))


def constant_of(value: ir.Value | None) -> NDArray[Any] | None:
    """The numbers of a weight, seen through transpositions; None where they are computed, or the model's input."""
    if value is None:
        return None
    if value.const_value is not None:
        # A value that a caller may give in place of the stored one is no constant.
        return None if value.is_graph_input() else value.const_value.numpy()
    node = value.producer()
    if node is None or node.domain not in {"", "ai.onnx"} or node.op_type not in {"Transpose", "Identity", "Constant"}:
        return None
    if node.op_type == "Constant":
        tensor = ir.convenience.get_const_tensor(value)
        return None if tensor is None else tensor.numpy()
    found = constant_of(node.inputs[0])
    if found is None or node.op_type == "Identity":
        return found
    return np.transpose(found, node.attributes["perm"].as_ints() if "perm" in node.attributes else None)


def float_weight(value: ir.Value | None, rank: int) -> NDArray[np.float32] | None:
    """A constant of float32 and this rank; None where it is anything else."""
    found = constant_of(value)
    return found if found is not None and found.dtype == np.float32 and found.ndim == rank else None


def contrib(
    builder: Builder,
    op_type: str,
    *inputs: ir.Value | None,
    name: str,
    count: int = 1,
    **attributes: Any,  # noqa: ANN401
) -> list[ir.Value]:
    """The outputs of a node of ONNX Runtime's own operators. ``name`` is the node's, whole."""
    given = list(inputs)
    while given[-1] is None:
        given.pop()
    values = builder.op_multi_out(op_type, given, attributes, num_outputs=count, domain=CONTRIB, name=name)
    for index, value in enumerate(values):
        value.name = f"{name}.out{index}"
    return list(values)


def _quantize(
    array: NDArray[np.float32], axes: tuple[int, ...], least: NDArray[np.float32] | float = 0.0
) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Eight bits; a scale is of what is largest along the axes, and of ``least`` at least."""
    largest = np.maximum(np.abs(array).max(axis=axes, keepdims=True, initial=0.0), least)
    # A column of zeros has any scale; one of subnormal numbers would divide by zero.
    scale = np.where(largest > np.finfo(np.float32).tiny * LIMIT, largest / LIMIT, 1).astype(np.float32)
    return np.rint(array / scale).astype(np.int8), scale.squeeze(axes)
