"""Graphs of one matrix product, to measure what ONNX Runtime reaches on a machine."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

#: The oldest versions that ONNX Runtime 1.20 and everything after it runs.
_OPSET, _IR_VERSION = 17, 8
_DRAWN = 4099


def product_probe(inner: int, outer: int, *, int8: bool, seed: int = 0) -> bytes:
    """An ONNX model that multiplies its input ``x``, ``(rows, inner)``, by a stored matrix ``(inner, outer)``.

    Args:
        inner: features of the input.
        outer: features of the result.
        int8: multiply uint8 by int8 to int32 (``MatMulInteger``) instead of float32 (``MatMul``).
        seed: of the stored matrix.

    Returns:
        The model as an ONNX file's content; its output is ``y``, ``(rows, outer)``.
    """
    generator = np.random.default_rng(seed)
    # A few thousand values again and again: a matrix beyond every cache would take seconds to draw.
    if int8:
        weight = np.resize(generator.integers(-127, 128, _DRAWN).astype(np.int8), (inner, outer))
        taken, given, operator = TensorProto.UINT8, TensorProto.INT32, "MatMulInteger"
    else:
        weight = np.resize(generator.standard_normal(_DRAWN).astype(np.float32), (inner, outer))
        taken, given, operator = TensorProto.FLOAT, TensorProto.FLOAT, "MatMul"
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", taken, ["rows", inner])],
        [helper.make_tensor_value_info("y", given, ["rows", outer])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
    checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
