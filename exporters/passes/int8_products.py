"""Products with weights in eight bits: ``MatMul`` and ``Gemm``, an ``Embedding``'s rows, a convolution's kernels.

``DynamicQuantizeMatMul`` (ONNX Runtime's contrib operators) quantizes its first input on the spot, with one scale for
all of it, to unsigned eight bits, multiplies whole numbers, and adds a bias in float32. Where few rows are multiplied,
a scale of each column takes it more time than a node that multiplies the scales in afterwards: there the product has
one scale, and the columns' come after.

Convolutions keep computing in float32 and only lie in the file in eight bits: ``ConvInteger`` took four times as long
as ``Conv`` wherever it was measured (``benchmarks/notes/quantization.md``). ONNX Runtime multiplies the scales in when
it loads the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .int8_frames import is_even, optional_input, take_place
from .int8_weights import LIMIT, contrib, float_weight, in_columns, in_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layer import Builder


#: A bias larger than this many times its column's scale would, divided by it, come near the end of float32.
_LARGEST_SHARE = 1e30
#: The operator set from which reductions take their axes as an input.
_AXES_AS_INPUT = 18


def product(
    builder: Builder,
    x: ir.Value,
    matrix: NDArray[np.float32],
    *,
    bias: NDArray[np.float32] | None,
    name: str,
    key: tuple[object, ...],
) -> ir.Value:
    """``x @ matrix + bias`` with the matrix in eight bits.

    Args:
        builder: records the node.
        x: float32 ``(..., inputs)``.
        matrix: float32 ``(inputs, outputs)``.
        bias: float32 ``(outputs,)``, or None.
        name: of the node and the start of its weights' names.
        key: what the matrix is made from; equal keys share it.
    """
    quantized, scale = in_columns(matrix)
    return contrib(
        builder,
        "DynamicQuantizeMatMul",
        x,
        builder.constant(f"{name}.int8", quantized, key=("int8", *key)),
        builder.constant(f"{name}.scale", scale, key=("int8 scale", *key)),
        None,
        None if bias is None else builder.constant(f"{name}.bias", bias, key=("int8 bias", bias.tobytes())),
        name=name,
    )[0]


def step_product(
    builder: Builder,
    x: ir.Value,
    matrix: NDArray[np.float32],
    *,
    bias: NDArray[np.float32] | None,
    name: str,
    key: tuple[object, ...],
) -> ir.Value:
    """``x @ matrix + bias`` as :func:`product` has it, in two nodes that take less time where ``x`` has few rows.

    ``x @ matrix + bias = (x @ quantized + bias / scale) scale``
    """
    quantized, scale = in_columns(matrix)
    within, after = None, bias
    if bias is not None and (np.abs(bias) < scale * np.float32(_LARGEST_SHARE)).all():
        within, after = bias / scale, None
    whole = contrib(
        builder,
        "DynamicQuantizeMatMul",
        x,
        builder.constant(f"{name}.int8", quantized, key=("int8", *key)),
        _unit(builder),
        None,
        None if within is None else builder.constant(f"{name}.bias", within, key=("int8 bias", within.tobytes())),
        name=name,
    )[0]
    scales = builder.constant(f"{name}.scale", scale, key=("int8 scale", *key))
    node = name.removeprefix(f"{builder.prefix}/")
    scaled = builder.call("Mul", whole, scales, name=f"{node}/Mul")
    if after is None:
        return scaled
    added = builder.constant(f"{name}.bias", after, key=("int8 bias", after.tobytes()))
    return builder.call("Add", scaled, added, name=f"{node}/Add")


def frame_product(
    builder: Builder,
    x: ir.Value,
    matrix: NDArray[np.float32],
    *,
    bias: NDArray[np.float32] | None,
    name: str,
    key: tuple[object, ...],
    apart: bool = False,
) -> ir.Value:
    """``x @ matrix + bias`` as :func:`product` has it, but with a scale for each frame of ``x``, not one for all.

    A loud frame then leaves a quiet one its eight bits, and no frame's answer depends on another's: not on other rows
    of a batch, on padding, or on where a sequence was cut. With ``s = max |x|`` of each frame:

        x @ matrix = s (round(127 x / s) @ quantized) scale / 127

    Args:
        builder: records the nodes.
        x: float32 ``(..., inputs)``.
        matrix: float32 ``(inputs, outputs)``.
        bias: float32 ``(outputs,)``, or None.
        name: of the product's node and the start of its weights' names.
        key: what the matrix is made from; equal keys share it.
        apart: multiply the columns' scales in by a node of its own: less time where there are few frames, more where
            there are many.
    """
    quantized, scale = in_columns(matrix)
    weights = builder.constant(f"{name}.int8", quantized, key=("int8", *key))
    scales = builder.constant(f"{name}.scale", scale, key=("int8 scale", *key))
    share = builder.constant("int8_f32_share", np.array(1 / LIMIT, np.float32))
    middle = builder.constant("int8_u8_middle", np.array(LIMIT + 1, np.uint8))
    # A frame of zeros has any size but zero.
    least = builder.constant("int8_f32_least", np.array(1e-30, np.float32))
    steps = name.removeprefix(f"{builder.prefix}/")
    sizes = builder.call("Abs", x, name=f"{steps}/Abs")
    if builder.opset >= _AXES_AS_INPUT:
        largest = builder.call("ReduceMax", sizes, builder.ints(-1), keepdims=1, name=f"{steps}/ReduceMax")
    else:
        largest = builder.call("ReduceMax", sizes, axes=[-1], keepdims=1, name=f"{steps}/ReduceMax")
    frame = builder.call("Max", largest, least, name=f"{steps}/Max")
    even = builder.call("Div", x, frame, name=f"{steps}/Div")
    whole = builder.call("QuantizeLinear", even, share, middle, name=f"{steps}/QuantizeLinear")
    given = _unit(builder) if apart else scales
    product_of = contrib(builder, "MatMulIntegerToFloat", whole, weights, share, given, middle, name=name)[0]
    if apart:
        product_of = builder.call("Mul", product_of, scales, name=f"{steps}/columns")
    scaled = builder.call("Mul", product_of, frame, name=f"{steps}/Mul")
    if bias is None:
        return scaled
    added = builder.constant(f"{name}.bias", bias, key=("int8 bias", bias.tobytes()))
    return builder.call("Add", scaled, added, name=f"{steps}/Add")


def _unit(builder: Builder) -> ir.Value:
    """The scale of a product whose columns' scales come after it."""
    return builder.constant("int8_f32_one", np.array(1, np.float32))


def matmul_refusal(node: ir.Node) -> str:
    """Why this ``MatMul`` or ``Gemm`` cannot be quantized; empty where it can."""
    if float_weight(node.inputs[1], 2) is None:
        return "its second input is no float32 constant matrix"
    if node.op_type == "Gemm":
        attributes = node.attributes
        if attributes.get_int("transA", 0) != 0 or any(
            attributes.get_float(one, 1.0) != 1 for one in ("alpha", "beta")
        ):
            return "it transposes or multiplies more than its weights"
        addend = optional_input(node, 2)
        if addend is not None and _vector(addend, _outputs(node)) is None:
            return "what it adds is no constant vector"
    x = node.inputs[0]
    if x is not None and x.shape is not None and len(x.shape) < 2:
        return "its first input is a vector"
    return ""


def quantize_matmul(node: ir.Node, builder: Builder) -> None:
    """Record the quantized product in ``builder`` and let it take the old one's place, with the bias after it."""
    matrix = float_weight(node.inputs[1], 2)
    assert matrix is not None
    assert node.inputs[0] is not None
    if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) != 0:
        matrix = matrix.T
    outputs = matrix.shape[1]
    given = optional_input(node, 2)
    old, bias = node.outputs[0], None if given is None else _vector(given, outputs)
    addition = None if node.op_type == "Gemm" else _addition(old)
    if addition is not None:
        given = next(one for one in addition.inputs if one is not old)
        assert given is not None
        bias = _vector(given, outputs)
        if bias is not None:
            old = addition.outputs[0]
    key = (node.op_type, node.inputs[1])
    if not builder.is_outermost(node.graph):
        chosen = step_product  # a step is small, and what each of its nodes takes counts
    else:
        chosen = product if is_even(node.inputs[0]) else frame_product
    new = chosen(builder, node.inputs[0], matrix, bias=bias, name=f"{builder.prefix}/int8", key=key)
    take_place(old, new)
    if addition is not None and bias is not None:
        assert addition.graph is not None
        addition.graph.remove(addition, safe=True)


def gather_refusal(node: ir.Node) -> str:
    """Why the rows of this ``Gather`` cannot be quantized; empty where they can."""
    if node.attributes.get_int("axis", 0) != 0 or float_weight(node.inputs[0], 2) is None:
        return "it does not take rows of a float32 constant matrix"
    return ""


def quantize_gather(node: ir.Node, builder: Builder) -> None:
    """Rows of eight bits, each with a scale; only those that are asked for are multiplied out."""
    table = float_weight(node.inputs[0], 2)
    assert table is not None
    quantized, scale = in_rows(table)
    name = builder.prefix
    rows = builder.constant(f"{name}.int8", quantized, key=("int8 rows", node.inputs[0]))
    scales = builder.constant(f"{name}.scale", scale[:, None], key=("int8 rows scale", node.inputs[0]))
    indices = node.inputs[1]
    taken = builder.call("Cast", builder.call("Gather", rows, indices, name="rows"), to=int(ir.DataType.FLOAT))
    take_place(node.outputs[0], builder.call("Mul", taken, builder.call("Gather", scales, indices, name="scales")))


def conv_refusal(node: ir.Node) -> str:
    """Why the kernels of this ``Conv`` cannot be stored in eight bits; empty where they can."""
    return (
        ""
        if any(float_weight(node.inputs[1], rank) is not None for rank in (3, 4, 5))
        else "its kernels are no float32 constants"
    )


def quantize_conv(node: ir.Node, builder: Builder) -> None:
    """Kernels of eight bits with one scale for each output channel, multiplied out when the graph is loaded."""
    kernels = next(found for rank in (3, 4, 5) if (found := float_weight(node.inputs[1], rank)) is not None)
    quantized, scale = in_rows(kernels)
    name = f"{builder.prefix}.kernels"
    stored = builder.constant(f"{name}.int8", quantized, key=("int8 kernels", node.inputs[1]))
    scales = builder.constant(
        f"{name}.scale", scale.reshape(-1, *[1] * (kernels.ndim - 1)), key=("int8 kernels scale", node.inputs[1])
    )
    multiplied = builder.call("Mul", builder.call("Cast", stored, to=int(ir.DataType.FLOAT)), scales)
    multiplied.shape, multiplied.type = ir.Shape(kernels.shape), ir.TensorType(ir.DataType.FLOAT)
    node.replace_input_with(1, multiplied)


def _outputs(node: ir.Node) -> int:
    matrix = float_weight(node.inputs[1], 2)
    assert matrix is not None
    return int(matrix.shape[0 if node.op_type == "Gemm" and node.attributes.get_int("transB", 0) != 0 else 1])


def _vector(value: ir.Value, size: int) -> NDArray[np.float32] | None:
    """A constant that adds one number to each output."""
    for rank in (1, 2, 3):
        found = float_weight(value, rank)
        if found is not None and found.shape == (*[1] * (rank - 1), size):
            return found.reshape(size)
    return None


def _addition(value: ir.Value) -> ir.Node | None:
    """The ``Add`` that alone uses this value."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != "Add":
        return None
    producer = value.producer()
    # In another graph it would be part of a body, which may run any number of times.
    return uses[0].node if producer is not None and uses[0].node.graph is producer.graph else None
