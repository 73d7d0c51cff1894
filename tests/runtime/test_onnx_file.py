"""What is read from an ONNX file, held against the package onnx."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from rnnx.runtime.onnx_file import MODULE, face_of, modules_of


def node(operator, inputs, outputs, name, module=None, **attributes):
    made = helper.make_node(operator, inputs, outputs, name=name, **attributes)
    if module is not None:
        made.metadata_props.add(key="other", value="no")
        made.metadata_props.add(key=MODULE, value=module)
    return made


@pytest.fixture
def model():
    """A Scan whose body has a node of another module, behind a node without any; with weights and a doc string."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Add", ["s", "x"], ["t"], "rnn/body/Add", "rnn.cell"), node("Identity", ["t"], ["y"], "rnn/body/y")],
        "body",
        [value("s", TensorProto.FLOAT, [3]), value("x", TensorProto.FLOAT, [3])],
        [value("t", TensorProto.FLOAT, [3]), value("y", TensorProto.FLOAT, [3])],
    )
    nodes = [
        node("Mul", ["x", "w"], ["scaled"], "Mul", ""),
        node("Scan", ["zero", "scaled"], ["last", "all"], "rnn/Scan", "rnn", num_scan_inputs=1, body=body),
    ]
    weights = [helper.make_tensor(name, TensorProto.FLOAT, [3], [1.5, 300.0, -2.0]) for name in ("w", "zero")]
    graph = helper.make_graph(
        nodes,
        "graph",
        [value("x", TensorProto.FLOAT, ["time", 3])],
        [value("all", TensorProto.FLOAT, ["time", 3]), value("last", TensorProto.FLOAT, [3])],
        weights,
        doc_string="ünïcode " * 40,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def test_modules_are_found_in_subgraphs_too(model):
    assert modules_of(model) == {"rnn/Scan": "rnn", "rnn/body/Add": "rnn.cell"}


def test_names_at_the_face(model):
    assert face_of(model) == (["x"], ["all", "last"])


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_a_file_that_was_cut(model, cut):
    with pytest.raises(ValueError, match="ends in the middle of a field"):
        modules_of(model[:-cut])


def test_what_is_no_onnx_file():
    with pytest.raises(ValueError, match="of the kind 7, which none of its fields is"):
        face_of(b"\x3f" * 9)
    assert modules_of(b"") == {}
