"""Fewer bytes with the same numbers: an LSTM's biases as their sum, zeros as their shape, no notes."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from rnnx.exporters.passes.compact import CompactPass, strip
from rnnx.runtime.ort import cpu_session

HIDDEN, FEATURES = 40, 6


def recurrent(kind, gates, biases, dtype=np.float32):
    """One layer with biases; where they are float16, ``x`` is too."""
    rng = np.random.default_rng(0)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    constants = {
        "w": rng.standard_normal((1, gates * HIDDEN, FEATURES)) / 3,
        "r": rng.standard_normal((1, gates * HIDDEN, HIDDEN)) / 6,
        "b": biases if biases is not None else rng.standard_normal((1, 2 * gates * HIDDEN)),
        "h_0": np.zeros((1, 2, HIDDEN)),
    }
    node = helper.make_node(kind, ["x", "w", "r", "b", "", "h_0"], ["y"], "layer", hidden_size=HIDDEN)
    node.metadata_props.add(key="rnnx.module", value="layer")
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", element, ["t", 2, FEATURES])],
        [helper.make_tensor_value_info("y", element, ["t", 1, 2, HIDDEN])],
        [numpy_helper.from_array(array.astype(dtype), name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    proto.metadata_props.add(key="onnxsim.note", value="1")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def compacted(proto):
    made = ir.to_proto(CompactPass()(ir.from_proto(proto)).model)
    strip(made)
    onnx.checker.check_model(made, full_check=True)
    return made


def answer(proto):
    x = np.random.default_rng(1).standard_normal((9, 2, FEATURES)).astype(np.float32)
    return cpu_session(proto.SerializeToString()).run(["y"], {"x": x})[0]


def test_an_lstms_biases_are_stored_as_their_sum_and_zeros_as_their_shape():
    proto = recurrent("LSTM", 4, None)
    made = compacted(proto)
    assert [node.op_type for node in made.graph.node].count("Pad") == 1
    assert [node.op_type for node in made.graph.node].count("ConstantOfShape") == 1
    saved = 4 * HIDDEN * 4 + 2 * HIDDEN * 4
    assert saved - 300 < proto.ByteSize() - made.ByteSize() < saved + 100
    assert np.array_equal(answer(made), answer(proto))


def test_a_grus_biases_stay_because_one_stands_behind_the_reset_gate():
    made = compacted(recurrent("GRU", 3, None))
    assert "Pad" not in [node.op_type for node in made.graph.node]
    assert np.array_equal(answer(made), answer(recurrent("GRU", 3, None)))


def test_half_biases_stay_because_their_sum_would_be_rounded():
    made = compacted(recurrent("LSTM", 4, None, np.float16))
    assert "Pad" not in [node.op_type for node in made.graph.node]


def test_notes_go_and_names_stay():
    proto = onnx.shape_inference.infer_shapes(recurrent("LSTM", 4, None))
    made = compacted(proto)
    assert not made.metadata_props
    assert not made.graph.value_info
    assert not any(node.metadata_props for node in made.graph.node)
    assert "layer" in [node.name for node in made.graph.node]
    assert [one.name for one in made.graph.input] == ["x"]
    assert made.graph.output[0].type.tensor_type.shape == proto.graph.output[0].type.tensor_type.shape
