"""Operations of each operator that multiplies matrices: two for each multiplication with its addition."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx
    from numpy.typing import NDArray

    Arrays = Sequence[NDArray[Any] | None]

#: Gates of each recurrent operator.
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1, "DynamicQuantizeLSTM": 4}
#: Arithmetic of one value of one gate and of the state, beside its products: sums, activations, the state's update.
_ELEMENTS = {"LSTM": 9, "GRU": 8, "RNN": 2, "DynamicQuantizeLSTM": 9}

RECURRENT = frozenset(_GATES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Operations:
    """Operations of one node.

    Attributes:
        float_ops: of products in floating point.
        int8_ops: of products in 8-bit integers.
        other_ops: of everything else.
    """

    float_ops: int = 0
    int8_ops: int = 0
    other_ops: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recurrence:
    """What a recurrent operator does over all its steps.

    Attributes:
        operations: its operations.
        step_bytes: bytes of recurrent weights that one step of one direction reads.
        repeated_bytes: bytes that the steps after the first read again, over all directions.
    """

    operations: Operations
    step_bytes: int
    repeated_bytes: int


def recurrence(node: onnx.NodeProto, inputs: Arrays) -> Recurrence:
    """Operations and repeated reads of an ``LSTM``, ``GRU``, ``RNN`` or ``DynamicQuantizeLSTM``.

    Inputs are X ``(time, batch, features)``, W ``(directions, gates * hidden, features)`` and R ``(directions,
    gates * hidden, hidden)``, the quantized operator's weights transposed; each step of each row and direction
    multiplies ``gates * hidden`` by ``features + hidden`` numbers. Steps beyond a row's length are not counted.
    """
    x, w, r = inputs[:3]
    assert x is not None
    assert w is not None
    assert r is not None
    layout = next((one.i for one in node.attribute if one.name == "layout"), 0)
    batch, time = x.shape[:2] if layout else x.shape[1::-1]
    lengths = inputs[4] if len(inputs) > 4 else None
    rows = int(lengths.sum()) if lengths is not None else batch * time
    steps = int(lengths.max(initial=0)) if lengths is not None else time
    quantized = node.op_type == "DynamicQuantizeLSTM"
    directions, hidden = r.shape[0], r.shape[1] if quantized else r.shape[2]
    gates = _GATES[node.op_type]
    product = 2 * rows * directions * gates * hidden * (x.shape[2] + hidden)
    return Recurrence(
        operations=Operations(
            float_ops=0 if quantized else product,
            int8_ops=product if quantized else 0,
            other_ops=rows * directions * hidden * _ELEMENTS[node.op_type],
        ),
        step_bytes=r.nbytes // directions,
        repeated_bytes=max(steps - 1, 0) * r.nbytes,
    )


def products(node: onnx.NodeProto, inputs: Arrays, outputs: Arrays) -> Operations:
    """Operations of one of :data:`PRODUCTS`."""
    result = outputs[0]
    if result is None or not result.size:
        return Operations()
    inner = PRODUCTS[node.op_type](node, inputs)
    total = 2 * result.size * inner
    return Operations(int8_ops=total) if _is_integer(node) else Operations(float_ops=total)


def _is_integer(node: onnx.NodeProto) -> bool:
    # An accuracy level of 4 lets MatMulNBits quantize its input and multiply integers; all others are of floats.
    level = next((one.i for one in node.attribute if one.name == "accuracy_level"), 0)
    return node.op_type in _INTEGER or (node.op_type == "MatMulNBits" and level == 4)


def _matmul(_: onnx.NodeProto, inputs: Arrays) -> int:
    left = inputs[0]
    assert left is not None
    return int(left.shape[-1])


def _gemm(node: onnx.NodeProto, inputs: Arrays) -> int:
    left = inputs[0]
    assert left is not None
    transposed = next((one.i for one in node.attribute if one.name == "transA"), 0)
    return int(left.shape[-2 if transposed else -1])


def _conv(weight: int) -> Callable[[onnx.NodeProto, Arrays], int]:
    def inner(_: onnx.NodeProto, inputs: Arrays) -> int:
        # (out channels, in channels of a group, *kernel)
        kernel = inputs[weight]
        assert kernel is not None
        return math.prod(kernel.shape[1:])

    return inner


def _conv_transpose(node: onnx.NodeProto, inputs: Arrays) -> int:
    # Each input value meets (out channels of a group) * kernel weights; said for each output value, rounded up.
    x, kernel = inputs[:2]
    assert x is not None
    assert kernel is not None
    strides: list[int] = next((list(one.ints) for one in node.attribute if one.name == "strides"), [1])
    group: int = next((one.i for one in node.attribute if one.name == "group"), 1)
    return math.ceil(int(kernel.shape[0]) // group * math.prod(kernel.shape[2:]) / math.prod(strides))


def _nbits(node: onnx.NodeProto, _: Arrays) -> int:
    return int(next(one.i for one in node.attribute if one.name == "K"))


def _einsum(node: onnx.NodeProto, inputs: Arrays) -> int:
    equation = helper.get_node_attr_value(node, "equation")
    terms, _, result = (equation if isinstance(equation, str) else equation.decode()).replace(" ", "").partition("->")
    sizes: dict[str, int] = {}
    for term, array in zip(terms.split(","), inputs, strict=True):
        if array is not None and "." not in term:
            sizes |= dict(zip(term, array.shape, strict=True))
    return int(np.prod([size for label, size in sizes.items() if label not in result], dtype=np.int64))


#: Operators that multiply matrices, and how many multiplications make one value of the result.
PRODUCTS: dict[str, Callable[[onnx.NodeProto, Arrays], int]] = {
    "Conv": _conv(1),
    "ConvInteger": _conv(1),
    "ConvTranspose": _conv_transpose,
    "DynamicQuantizeMatMul": _matmul,
    "Einsum": _einsum,
    "FusedConv": _conv(1),
    "FusedGemm": _gemm,
    "FusedMatMul": _matmul,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "MatMulNBits": _nbits,
    "QGemm": _gemm,
    "QLinearConv": _conv(3),
    "QLinearMatMul": _matmul,
}
#: Those that always multiply 8-bit integers.
_INTEGER = frozenset({
    "ConvInteger", "DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QLinearConv",
    "QLinearMatMul",
})  # fmt: skip
