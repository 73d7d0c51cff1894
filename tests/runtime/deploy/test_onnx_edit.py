"""Names and types at a graph's face, changed in its bytes: what the onnx package and ONNX Runtime make of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rnnx.errors import DeployError
from rnnx.runtime.deploy.onnx_edit import narrow_input, rename_outputs
from rnnx.runtime.ort import cpu_session


@pytest.fixture(scope="module")
def model():
    """``y = x + flag``, and ``z = y * y``."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["flag"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["x", "f"], ["y"]),
            helper.make_node("Mul", ["y", "y"], ["z"]),
        ],
        "g" * 300,  # lengths of more than one byte
        [info("x", TensorProto.FLOAT, ["batch", 2]), info("flag", TensorProto.INT64, ["batch"])],
        [info("y", TensorProto.FLOAT, ["batch", 2]), info("z", TensorProto.FLOAT, ["batch", 2])],
        doc_string="kept",
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10, producer_name="me")
    return made.SerializeToString()


def test_an_output_gets_another_name(model):
    edited = rename_outputs(model, {"y": "next.y"})
    graph = onnx.load_from_string(edited).graph
    onnx.checker.check_model(onnx.load_from_string(edited), full_check=True)
    assert [one.name for one in graph.output] == ["next.y", "z"]
    assert graph.doc_string == "kept"
    assert graph.output[0].type == onnx.load_from_string(model).graph.output[0].type
    x, flag = np.array([[1, 2]], np.float32), np.array([3])
    y, z = cpu_session(edited).run(["next.y", "z"], {"x": x, "flag": flag})
    np.testing.assert_array_equal(y, x + 3)
    np.testing.assert_array_equal(z, (x + 3) ** 2)


def test_a_flag_becomes_int32(model):
    edited = narrow_input(model, "flag", "end")
    onnx.checker.check_model(onnx.load_from_string(edited), full_check=True)
    session = cpu_session(edited)
    assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [
        ("x", "tensor(float)", ["batch", 2]),
        ("end", "tensor(int32)", ["batch"]),
    ]
    (y,) = session.run(["y"], {"x": np.zeros((1, 2), np.float32), "end": np.array([1], np.int32)})
    np.testing.assert_array_equal(y, [[1, 1]])


def test_what_is_not_there_cannot_be_changed(model):
    with pytest.raises(DeployError, match="no output 'w'"):
        rename_outputs(model, {"y": "a", "w": "b"})
    with pytest.raises(DeployError, match="no input 'z'"):
        narrow_input(model, "z", "end")


@pytest.mark.parametrize("cut", [1, 5, 50, 400])
def test_bytes_that_were_cut_are_no_onnx_file(model, cut):
    with pytest.raises(DeployError, match="these bytes are no ONNX file"):
        rename_outputs(model[:-cut], {"y": "a"})


@pytest.mark.parametrize("raw", [b"", b"\xff" * 40, b"\x3f", b"\x0a\x05ab"])
def test_other_bytes_are_no_onnx_file(raw):
    with pytest.raises(DeployError, match="these bytes are no ONNX file"):
        narrow_input(raw, "flag", "end")
