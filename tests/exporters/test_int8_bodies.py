"""The step of an int8 GRU or RNN: its product in two nodes, its weights in the body, its answers by the formulas."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from rnnx.exporters.layer import Builder
from rnnx.exporters.passes.int8 import Int8Pass
from rnnx.exporters.passes.int8_products import frame_product, step_product
from rnnx.exporters.passes.int8_weights import in_columns
from rnnx.exporters.passes.inward import InwardPass
from rnnx.exporters.passes.simplify import weight_bytes
from rnnx.runtime.ort import cpu_session

FLOAT = TensorProto.FLOAT
FEATURES, HIDDEN = 20, 32
GATES = {"GRU": 3, "RNN": 1}
RNG = np.random.default_rng(7)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weights(kind: str, seed: int):
    """``w``, ``r`` ``(1, gates * hidden, ...)`` and ``b`` ``(1, 2 * gates * hidden)``, float32; rows differ in size."""
    rng = np.random.default_rng(seed)
    rows = GATES[kind] * HIDDEN
    made = {
        name: (rng.standard_normal((1, rows, size)) * np.exp(rng.normal(0, 0.5, (1, rows, 1))) / size**0.5)
        for name, size in (("w", FEATURES), ("r", HIDDEN))
    }
    made["b"] = rng.normal(0, 0.2, (1, 2 * rows))
    return {name: array.astype(np.float32) for name, array in made.items()}


def layer(kind: str, seed: int = 0, calls: int = 1, **attributes) -> ir.Model:
    """``x`` ``(time, batch, features)`` and ``h_0`` to ``y`` and ``h_n``; or the same layer on ``x0``, ``x1``, ..."""
    nodes, inputs, outputs = [], [], []
    for call in range(calls):
        names = [f"{one}{call}" if calls > 1 else one for one in ("x", "h_0", "y", "h_n")]
        nodes.append(
            helper.make_node(
                kind,
                [names[0], "w", "r", "b", "", names[1]],
                names[2:],
                name=f"layer{call}",
                hidden_size=HIDDEN,
                **attributes,
            )
        )
        shapes = (["time", "batch", FEATURES], [1, "batch", HIDDEN], ["time", 1, "batch", HIDDEN], [1, "batch", HIDDEN])
        values = [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in zip(names, shapes, strict=True)]
        inputs, outputs = inputs + values[:2], outputs + values[2:]
    stored = [numpy_helper.from_array(array, name) for name, array in weights(kind, seed).items()]
    return as_model(helper.make_graph(nodes, "graph", inputs, outputs, stored))


def as_model(graph) -> ir.Model:
    proto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)], ir_version=10
    )
    checker.check_model(proto)
    return ir.from_proto(proto)


def run(model: ir.Model, given):
    proto = ir.to_proto(model)
    checker.check_model(proto)
    session = cpu_session(proto.SerializeToString())
    return session.run([one.name for one in session.get_outputs()], dict(given))


def by_formula(kind: str, x, h, *, reset_last: bool = True, relu: bool = False):
    """What ONNX's formulas give (operators GRU-14 and RNN-14), in float64: ``(time, batch, hidden)``."""
    stored = {name: array[0].astype(np.float64) for name, array in weights(kind, 0).items()}
    w, r = stored["w"].T, stored["r"].T
    of_input, of_state = np.split(stored["b"], 2)
    states = []
    for frame in x.astype(np.float64):
        if kind == "RNN":
            moved = frame @ w + h @ r + of_input + of_state
            h = np.maximum(moved, 0) if relu else np.tanh(moved)
        else:
            (az, ar, an), (rz, rr, rn) = np.split(frame @ w + of_input, 3, axis=1), np.split(r, 3, axis=1)
            bz, br, bn = np.split(of_state, 3)
            update, reset = sigmoid(az + h @ rz + bz), sigmoid(ar + h @ rr + br)
            new = reset * (h @ rn + bn) if reset_last else (reset * h) @ rn + bn
            candidate = np.tanh(an + new)
            h = candidate + update * (h - candidate)
        states.append(h)
    return np.stack(states)


def sqnr(reference, candidate) -> float:
    return 10 * np.log10((reference**2).sum() / ((reference - candidate) ** 2).sum())


@pytest.mark.parametrize(("size", "least"), [(0, 30), (0.7, 30), (40, 20)])
@pytest.mark.parametrize(
    ("kind", "attributes", "form"),
    [
        ("GRU", {"linear_before_reset": 1}, {}),
        ("GRU", {"linear_before_reset": 0}, {"reset_last": False}),
        ("RNN", {"activations": ["Tanh"]}, {}),
        ("RNN", {"activations": ["Relu"]}, {"relu": True}),
    ],
)
def test_answers_are_those_of_the_formulas(kind, attributes, form, size, least):
    """One step and several, one row and several, from no state, an ordinary one and one far beyond what steps give.

    Of a state of 40 eight bits leave steps of a third, which a sigmoid or tanh shows more than what it had.
    """
    model = Int8Pass()(layer(kind, **attributes)).model
    rng = np.random.default_rng(3)
    for time, batch in ((1, 1), (1, 5), (7, 1), (7, 5)):
        x = rng.standard_normal((time, batch, FEATURES)).astype(np.float32)
        h = (rng.standard_normal((batch, HIDDEN)) * size).astype(np.float32)
        y, h_n = run(model, {"x": x, "h_0": h[None]})
        expected = by_formula(kind, x, h, **form)
        assert sqnr(expected, y[:, 0]) >= least
        np.testing.assert_array_equal(h_n[0], y[-1, 0])


@pytest.mark.parametrize("kind", ["GRU", "RNN"])
def test_recurrent_weights_lie_in_the_body_and_the_projections_outside(kind):
    model = Int8Pass()(layer(kind, **({"linear_before_reset": 1} if kind == "GRU" else {}))).model
    (scan,) = (node for node in model.graph if node.op_type == "Scan")
    inside = [one for one in scan.attributes["body"].as_graph().initializers.values() if one.dtype == ir.DataType.INT8]
    outside = [one for one in model.graph.initializers.values() if one.dtype == ir.DataType.INT8]
    assert [one.shape for one in inside] == [(HIDDEN, GATES[kind] * HIDDEN)]
    assert [one.shape for one in outside] == [(FEATURES, GATES[kind] * HIDDEN)]
    assert weight_bytes(model) > (FEATURES + HIDDEN) * GATES[kind] * HIDDEN


def test_recurrent_weights_of_two_bodies_stay_outside_and_are_stored_once():
    model = Int8Pass()(layer("GRU", calls=2, linear_before_reset=1)).model
    assert [node.op_type for node in model.graph].count("Scan") == 2
    assert sum(one.dtype == ir.DataType.INT8 for one in model.graph.initializers.values()) == 2
    rng = np.random.default_rng(4)
    given = {f"x{one}": rng.standard_normal((6, 2, FEATURES)).astype(np.float32) for one in (0, 1)}
    states = {f"h_0{one}": np.zeros((1, 2, HIDDEN), np.float32) for one in (0, 1)}
    found = run(model, {**given, **states})
    for one in (0, 1):
        assert sqnr(by_formula("GRU", given[f"x{one}"], np.zeros((2, HIDDEN))), found[2 * one][:, 0]) >= 30


def product_of(make, x, matrix, bias, **options):
    """What a graph of one such product answers."""
    value = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["rows", matrix.shape[0]]))
    graph = ir.Graph([value], [], nodes=[], name="graph", opset_imports={"": 20, "com.microsoft": 1})
    builder = Builder(graph=graph, scope=graph, made={}, prefix="p")
    made = make(builder, value, matrix, bias=bias, name="p/product", key=("m",), **options)
    made.type, made.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["rows", matrix.shape[1]])
    graph.extend(builder.nodes)
    graph.outputs.append(made)
    return run(ir.Model(graph, ir_version=10), {"x": x})[0], [node.op_type for node in builder.nodes]


def quantized_product(x, matrix, bias):
    """``DynamicQuantizeLinear`` of ``x`` (ONNX operators), whole numbers multiplied, and the scales after it."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = np.float32((high - low) / 255)
    zero = np.rint(np.clip(-low / scale, 0, 255))
    whole = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
    columns, scales = in_columns(matrix)
    return whole @ columns.astype(np.float64) * scale * scales + bias


def test_a_steps_product_is_that_of_whole_numbers():
    x, matrix = RNG.standard_normal((3, 40)).astype(np.float32), RNG.standard_normal((40, 6)) * [1e-4, 1, 30, 1, 1, 1]
    matrix[:, 3] = 0
    bias = RNG.standard_normal(6).astype(np.float32)
    found, operators = product_of(step_product, x, matrix.astype(np.float32), bias)
    assert operators == ["DynamicQuantizeMatMul", "Mul"]
    np.testing.assert_allclose(found, quantized_product(x, matrix.astype(np.float32), bias), rtol=1e-4, atol=1e-5)


def test_a_bias_far_beyond_its_columns_scale_is_added_after():
    """Divided by the scale it would be more than float32 holds, and the answer not a number."""
    x, matrix = RNG.standard_normal((3, 40)).astype(np.float32), RNG.standard_normal((40, 2)) * [1e-35, 1]
    bias = np.array([3e4, 1], np.float32)
    found, operators = product_of(step_product, x, matrix.astype(np.float32), bias)
    assert operators == ["DynamicQuantizeMatMul", "Mul", "Add"]
    np.testing.assert_allclose(found, quantized_product(x, matrix.astype(np.float32), bias), rtol=1e-4, atol=1e-5)


def test_the_columns_scales_may_come_after_the_product_of_frames():
    x = (RNG.standard_normal((5, 24)) * [[1e-4], [1], [300], [0], [1]]).astype(np.float32)
    matrix = (RNG.standard_normal((24, 10)) * np.exp(RNG.normal(0, 1, 10))).astype(np.float32)
    within, _ = product_of(frame_product, x, matrix, None)
    apart, operators = product_of(frame_product, x, matrix, None, apart=True)
    assert operators.count("Mul") == 2
    np.testing.assert_allclose(apart, within, rtol=1e-5)
    exact = x.astype(np.float64) @ matrix
    assert all(sqnr(exact[one], apart[one]) >= 35 for one in (0, 1, 2, 4))
    assert not apart[3].any()


def test_only_what_one_body_alone_uses_moves_into_it():
    """Not what the outermost graph or a second body uses, nor few numbers, nor an input that has a default."""
    large = ("alone", "outer", "both", "given")
    stored = {**{name: RNG.standard_normal((8, 8)).astype(np.float32) for name in large}, "few": np.ones(8, np.float32)}
    state = [helper.make_tensor_value_info(one, FLOAT, ["batch", 8]) for one in ("h", "h_next", "out")]
    frame = helper.make_tensor_value_info("frame", FLOAT, ["batch", 8])

    def body(name, used):
        """Adds up the products of ``h`` with what is used."""
        nodes, total = [], "frame"
        for one in used:
            nodes.append(helper.make_node("MatMul", ["h", one], [f"{name}.{one}"], name=f"{name}/{one}"))
            nodes.append(
                helper.make_node("Add", [total, f"{name}.{one}"], [f"{name}.sum.{one}"], name=f"{name}/+{one}")
            )
            total = f"{name}.sum.{one}"
        nodes.append(helper.make_node("Mul", [total, "few"], ["h_next"], name=f"{name}/few"))
        nodes.append(helper.make_node("Identity", ["h_next"], ["out"], name=f"{name}/out"))
        return helper.make_graph(nodes, name, [state[0], frame], state[1:])

    nodes = [
        helper.make_node("MatMul", ["h_0", "outer"], ["start"], name="start"),
        *(
            helper.make_node(
                "Scan", ["start", "x"], [f"h_{name}", f"y_{name}"], body=body(name, used), num_scan_inputs=1
            )
            for name, used in (("a", ("alone", "outer", "both", "given")), ("b", ("both",)))
        ),
    ]
    inputs = [
        helper.make_tensor_value_info("h_0", FLOAT, ["batch", 8]),
        helper.make_tensor_value_info("x", FLOAT, ["time", "batch", 8]),
        helper.make_tensor_value_info("given", FLOAT, [8, 8]),
    ]
    outputs = [helper.make_tensor_value_info(f"y_{name}", FLOAT, ["time", "batch", 8]) for name in "ab"]
    kept = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    model = as_model(helper.make_graph(nodes, "graph", inputs, outputs, kept))
    feed = {"h_0": RNG.standard_normal((2, 8)), "x": RNG.standard_normal((3, 2, 8))}
    feed = {name: array.astype(np.float32) for name, array in feed.items()}
    before, size = run(model, feed), weight_bytes(model)
    assert InwardPass()(model).modified
    first = next(node for node in model.graph if node.op_type == "Scan")
    assert set(first.attributes["body"].as_graph().initializers) == {"alone"}
    assert set(model.graph.initializers) == {"outer", "both", "given", "few"}
    assert weight_bytes(model) == size
    for one, other in zip(before, run(model, feed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not InwardPass()(model).modified
