"""``lower_rank``: fewer nodes, the same answers, and what must keep its axes keeps them."""

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_ir.passes import common

from rnnx.exporters.passes.step_form import infer_shapes
from rnnx.exporters.passes.step_rank import lower_rank
from rnnx.runtime.ort import cpu_session

HEAD = '<ir_version: 10, opset_import: ["": 20]>'
ZERO = "int64[1] zero = {0}"
#: Of each case: what goes in and out, constants, nodes, and how many of which nodes are left.
CASES = {
    "an axis that a layer puts in is taken out by the next": (
        "(float[batch, 3] x) => (float[batch, 1] a, float[batch, 1] b)",
        f"{ZERO}, float[3, 2] w = {{1, 2, 3, 4, 5, 6}}, float[2] bias = {{7, 8}}",
        """up = Unsqueeze(x, zero) m = MatMul(up, w) s = Add(m, bias) p, q = Split<axis = -1, num_outputs = 2>(s)
           r = Relu(q) a = Identity(a0) a0 = Squeeze(p, zero) b0 = Squeeze(r, zero) b = Identity(b0)""",
        {"Squeeze": 0, "Unsqueeze": 0},
    ),
    "a transposition that only moves the axis goes too": (
        "(float[batch, 1, 3] x) => (float[batch, 3] y, float[batch, 1, 3] z)",
        f"{ZERO}, float[3] c = {{1, 2, 3}}",
        """t = Transpose<perm = [1, 0, 2]>(x) a = Abs(t) n = ReduceMax<keepdims = 1>(a, last) d = Div(t, n)
           s = Mul(d, c) flat = Squeeze(s, zero) y = Neg(flat) up = Unsqueeze(y, zero)
           z = Transpose<perm = [1, 0, 2]>(up)""",
        {"Squeeze": 1, "Transpose": 0, "Unsqueeze": 1},
    ),
    "what is an output keeps its axes": (
        "(float[1, batch, 3] x) => (float[1, batch, 3] s, float[batch, 3] y)",
        f"{ZERO}, float[3] c = {{1, 2, 3}}",
        "s = Mul(x, c) flat = Squeeze(s, zero) y = Neg(flat)",
        {"Squeeze": 1},
    ),
    "so does what a node needs that has no rule": (
        "(float[1, batch, 3] x) => (float[batch, 3] y, float[1, batch, 3] z)",
        f"{ZERO}, float[3] c = {{1, 2, 3}}",
        "s = Mul(x, c) flat = Squeeze(s, zero) y = Neg(flat) z = Softmax<axis = 0>(s)",
        {"Squeeze": 1},
    ),
    "a constant of as many axes": (
        "(float[1, batch, 3] x) => (float[batch, 3] y)",
        f"{ZERO}, float[1, 1, 3] c = {{1, 2, 3}}",
        "s = Mul(x, c) flat = Squeeze(s, zero) y = Neg(flat)",
        {"Squeeze": 1},
    ),
    "a scale for each feature, which is found by its axis": (
        "(float[1, batch, 3] x) => (uint8[batch, 3] y)",
        f"{ZERO}, float[3] c = {{1, 2, 3}}, uint8[3] p = {{1, 2, 3}}",
        "s = QuantizeLinear<axis = 2>(x, c, p) flat = Squeeze(s, zero) y = Identity(flat)",
        {"Squeeze": 1},
    ),
    "two sequences that meet would need two nodes for one": (
        "(float[1, batch, 3] x, float[1, batch, 3] o) => (float[batch, 3] y)",
        ZERO,
        "s = Add(x, o) flat = Squeeze(s, zero) y = Neg(flat)",
        {"Squeeze": 1},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_answers_of_fewer_nodes(name):
    face, constants, nodes, left = CASES[name]
    inputs, outputs = face.split("=>")
    text = f"{HEAD} graph {inputs} => {outputs} <{constants}, int64[1] last = {{-1}}> {{ {nodes} }}"
    model = ir.from_proto(onnx.parser.parse_model(text))
    model.graph.sort()
    before = cpu_session(ir.to_proto(model).SerializeToString())
    infer_shapes(model)
    lower_rank(model.graph)
    common.RemoveUnusedNodesPass()(model)
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    found = Counter(node.op_type for node in proto.graph.node)
    assert {one: found[one] for one in left} == left
    generator = np.random.default_rng(0)
    feed = {
        one.name: generator.standard_normal([4 if isinstance(size, str) else size for size in one.shape]).astype("f4")
        for one in before.get_inputs()
    }
    after = cpu_session(proto.SerializeToString())
    for one, other in zip(before.run(None, feed), after.run(None, feed), strict=True):
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)
