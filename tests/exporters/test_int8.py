"""Every recurrent layer and product in eight bits against float32, in every option, and which nodes are taken.

The graphs are stacks of ONNX's own layers with weights such as training leaves: many graphs in little time.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from rnnx.errors import LoweringError
from rnnx.exporters.passes.int8 import Int8Pass, candidates
from rnnx.exporters.passes.int8_weights import in_columns, in_rows
from rnnx.runtime.ort import cpu_session

#: What int8 must keep of the signal, dB.
LEAST = 30
QUANTIZED = {"LSTM": "DynamicQuantizeLSTM", "GRU": "DynamicQuantizeMatMul", "RNN": "DynamicQuantizeMatMul"}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """Layers of one kind, one above the other, with every option of the operators."""

    kind: str
    layers: int = 1
    features: int = 24
    hidden: int = 32
    direction: str = "forward"
    lengths: bool = False
    states: bool = False
    bias: bool = True
    activation: str = "Tanh"
    reset_last: bool = True

    @property
    def directions(self) -> int:
        """1 or 2."""
        return 2 if self.direction == "bidirectional" else 1


def trained(rng: np.random.Generator, *shape: int, fan_in: int):
    """Normal weights whose rows differ in magnitude by a factor of about three, as after training."""
    rows = np.exp(rng.normal(0, 0.5, (*shape[:-1], 1)))
    return (rng.standard_normal(shape) * rows * 0.7 / np.sqrt(fan_in)).astype(np.float32)


def build(stack: Stack, seed: int = 0) -> ir.Model:
    """The graph: ``x`` ``(time, batch, features)``, ``lengths`` int32, ``h0``, ``c0``, ... to ``y`` and last states."""
    rng = np.random.default_rng(seed)
    weights = {"axis1": np.array([1]), "join": np.array([0, 0, -1])}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", stack.features])]
    if stack.lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    outputs, nodes, x = [], [], "x"
    gates, count, hidden = GATES[stack.kind], stack.directions, stack.hidden
    for layer in range(stack.layers):
        size = stack.features if layer == 0 else hidden * count
        weights[f"w{layer}"] = trained(rng, count, gates * hidden, size, fan_in=size)
        weights[f"r{layer}"] = trained(rng, count, gates * hidden, hidden, fan_in=hidden)
        weights[f"b{layer}"] = rng.normal(0, 0.2, (count, 2 * gates * hidden)).astype(np.float32)
        names = [f"{'hc'[one]}{layer}" for one in range(STATES[stack.kind])]
        shape = [count, "batch", hidden]
        if stack.states:
            inputs += [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one in names]
        outputs += [helper.make_tensor_value_info(f"{one}_n", TensorProto.FLOAT, shape) for one in names]
        attributes = {"hidden_size": hidden, "direction": stack.direction}
        if stack.kind == "GRU":
            attributes["linear_before_reset"] = int(stack.reset_last)
        if stack.kind == "RNN":
            attributes["activations"] = [stack.activation] * count
        given = [x, f"w{layer}", f"r{layer}", f"b{layer}" if stack.bias else "", "lengths" if stack.lengths else ""]
        given += names if stack.states else []
        made = [f"y{layer}", *(f"{one}_n" for one in names)]
        nodes.append(helper.make_node(stack.kind, given, made, name=f"layer{layer}", **attributes))
        x = "y" if layer == stack.layers - 1 else f"x{layer + 1}"
        if count == 1:
            nodes.append(helper.make_node("Squeeze", [made[0], "axis1"], [x], name=f"squeeze{layer}"))
        else:
            nodes.append(
                helper.make_node("Transpose", [made[0]], [f"t{layer}"], name=f"turn{layer}", perm=[0, 2, 1, 3])
            )
            nodes.append(helper.make_node("Reshape", [f"t{layer}", "join"], [x], name=f"join{layer}"))
    outputs.insert(0, helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", "batch", hidden * count]))
    return as_model(nodes, inputs, outputs, weights)


def as_model(nodes, inputs, outputs, weights) -> ir.Model:
    """A graph of these parts; the checker has seen it."""
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(proto, full_check=True)
    return ir.from_proto(proto)


def feed(stack: Stack, batch: int, time: int, seed: int = 1):
    """Inputs of this size; rows of different lengths, states of ordinary size."""
    rng = np.random.default_rng([seed, batch, time])
    given = {"x": rng.standard_normal((time, batch, stack.features)).astype(np.float32)}
    if stack.lengths:
        given["lengths"] = rng.integers(1, time + 1, batch).astype(np.int32)
        given["lengths"][0] = time
    if stack.states:
        shape = (stack.directions, batch, stack.hidden)
        for layer in range(stack.layers):
            for one in "hc"[: STATES[stack.kind]]:
                given[f"{one}{layer}"] = np.tanh(rng.standard_normal(shape)).astype(np.float32)
    return given


def run(model: ir.Model, given):
    """What ONNX Runtime answers, after the checker has passed the graph."""
    proto = ir.to_proto(model)
    checker.check_model(proto, full_check=True)
    session = cpu_session(proto.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(given)), strict=True))


def sqnr(reference, candidate) -> float:
    """Signal to quantization noise, dB."""
    noise = float(((reference.astype(np.float64) - candidate) ** 2).sum())
    return float("inf") if noise == 0 else 10 * np.log10(float((reference.astype(np.float64) ** 2).sum()) / noise)


def in_int8(model: ir.Model, nodes: set[str] | None = None) -> ir.Model:
    """A copy with these nodes in eight bits."""
    copy = ir.from_proto(ir.to_proto(model))
    return Int8Pass(nodes)(copy).model


def operators(model: ir.Model) -> set[str]:
    """All operators, those of bodies among them."""
    return {node.op_type for node in ir.traversal.RecursiveGraphIterator(model.graph)}


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_every_option_of_a_layer_keeps_its_answers(kind: str, direction: str):
    """Lengths, initial states, layers and biases, present and absent; one and several rows; one and several steps."""
    for layers, lengths, states, bias in itertools.product((1, 2), *[(False, True)] * 3):
        stack = Stack(
            kind=kind,
            layers=layers,
            direction=direction,
            lengths=lengths,
            states=states,
            bias=bias,
            activation="Relu" if bias and states else "Tanh",
            reset_last=bias,
        )
        model = build(stack)
        quantized = in_int8(model)
        assert kind not in operators(quantized)
        assert QUANTIZED[kind] in operators(quantized)
        for batch, time in ((1, 1), (5, 7), (2, 33)):
            given = feed(stack, batch, time)
            expected, found = run(model, given), run(quantized, given)
            assert list(found) == list(expected)
            for name, reference in expected.items():
                assert found[name].shape == reference.shape
                assert sqnr(reference, found[name]) >= LEAST, f"{name} of {stack} at batch={batch} time={time}"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_what_stands_in_padding_is_never_seen(kind: str):
    """One scale serves the whole tensor, so large padding would leave nothing of the rows, and NaN would reach them."""
    stack = Stack(kind=kind, layers=2, direction="bidirectional", lengths=True)
    quantized = in_int8(build(stack))
    given = feed(stack, 5, 7)
    clean = run(quantized, given)
    beyond = np.arange(7)[:, None] >= given["lengths"][None]
    given["x"][beyond] = np.nan
    for name, array in run(quantized, given).items():
        np.testing.assert_array_equal(array, clean[name])
    assert not clean["y"][beyond].any()


@pytest.mark.parametrize("kind", ["GRU", "RNN"])
def test_a_loud_frame_costs_a_quiet_one_nothing(kind):
    """Frames of one run that differ by a factor of ten thousand; one scale for all would leave the quiet ones zeros."""
    stack = Stack(kind=kind)
    model = build(stack)
    given = feed(stack, 3, 9)
    given["x"][:, 1] *= 1e4
    expected, found = run(model, given)["y"], run(in_int8(model), given)["y"]
    assert sqnr(expected[:, [0, 2]], found[:, [0, 2]]) >= LEAST


@pytest.mark.parametrize("kind", ["GRU", "RNN"])
def test_the_state_comes_back_as_the_last_output(kind: str):
    """ONNX Runtime's Scan gives wrong states where a state and an output are one value of its body."""
    stack = Stack(kind=kind, states=True)
    found = run(in_int8(build(stack)), feed(stack, 3, 9))
    np.testing.assert_array_equal(found["h0_n"][0], found["y"][-1])


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_chunks_differ_from_the_whole_run_no_more_than_int8_from_float32(kind: str):
    """The input's scale is that of a chunk, so chunks are no longer the whole run bit by bit."""
    stack = Stack(kind=kind, layers=2, states=True)
    model = build(stack)
    quantized = in_int8(model)
    given = feed(stack, 2, 33)
    expected = run(model, given)["y"]
    state = {name: array for name, array in given.items() if name != "x"}
    parts = []
    for first, last in itertools.pairwise([0, 1, 2, 9, 20, 33]):
        outputs = run(quantized, {"x": given["x"][first:last], **state})
        state = {name: outputs[f"{name}_n"] for name in state}
        parts.append(outputs["y"])
    assert sqnr(expected, np.concatenate(parts)) >= LEAST


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_a_file_shrinks_to_a_quarter(kind: str):
    """Two layers of 512: at most 30% of float32's bytes, and no copy of the float32 weights is left."""
    model = build(Stack(kind=kind, layers=2, features=512, hidden=512))
    before, after = (len(ir.to_proto(one).SerializeToString()) for one in (model, in_int8(model)))
    assert 0.25 < after / before <= 0.3


def test_only_the_nodes_that_are_asked_for_are_taken():
    model = build(Stack(kind="GRU", layers=2))
    quantized = in_int8(model, {"layer1"})
    left = [node.name for node in quantized.graph if node.op_type == "GRU"]
    assert left == ["layer0"]
    nothing = in_int8(model, set())
    assert "com.microsoft" not in nothing.opset_imports
    given = feed(Stack(kind="GRU"), 2, 5)
    np.testing.assert_array_equal(run(nothing, given)["y"], run(model, given)["y"])


def test_candidates_say_what_cannot_be_quantized_and_why():
    model = build(Stack(kind="GRU"))
    node = next(node for node in model.graph if node.op_type == "GRU")
    node.attributes["clip"] = ir.AttrFloat32("clip", 3.0)
    (found,) = candidates(model)
    assert (found.name, found.operator, found.weights) == ("layer0", "GRU", 3 * 32 * (24 + 32))
    assert found.refusal == "it has the attribute 'clip'"
    with pytest.raises(LoweringError, match=r"node 'layer0' cannot be quantized: it has the attribute 'clip'"):
        Int8Pass({"layer0"})(model)
    with pytest.raises(LoweringError, match=r"no node 'layer7' to quantize; there are 'layer0'"):
        Int8Pass({"layer7"})(model)
    Int8Pass()(model)
    assert any(node.op_type == "GRU" for node in model.graph)


def test_activations_that_no_form_has_are_refused():
    assert candidates(build(Stack(kind="RNN", activation="Softsign")))[0].refusal == "its activations are softsign"


def test_products_rows_and_kernels():
    """Embedding, convolution, Linear with and without a bias, Gemm: each near float32, none left as it was."""
    rng = np.random.default_rng(3)
    weights = {
        "table": trained(rng, 50, 32, fan_in=1),
        "kernels": trained(rng, 48, 32, 3, fan_in=96),
        "a": trained(rng, 64, 48, fan_in=48).T.copy(),
        "a_bias": rng.normal(0, 0.3, 64).astype(np.float32),
        "b": trained(rng, 40, 64, fan_in=64).T.copy(),
        "g": trained(rng, 30, 40, fan_in=40),
        "g_bias": rng.normal(0, 0.3, 30).astype(np.float32),
        "first": np.array([0]),
        "last": np.array([1]),
        "axis": np.array([1]),
    }
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["e"], name="embed"),
        helper.make_node("Transpose", ["e"], ["et"], name="turn", perm=[0, 2, 1]),
        helper.make_node("Conv", ["et", "kernels"], ["k"], name="conv", pads=[1, 1]),
        helper.make_node("Transpose", ["k"], ["kt"], name="back", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["kt", "a"], ["m"], name="wide"),
        helper.make_node("Add", ["a_bias", "m"], ["mb"], name="wide_bias"),
        helper.make_node("Relu", ["mb"], ["r"], name="relu"),
        helper.make_node("MatMul", ["r", "b"], ["n"], name="narrow"),
        helper.make_node("Slice", ["n", "first", "last", "axis"], ["s"], name="slice"),
        helper.make_node("Squeeze", ["s", "axis"], ["one"], name="squeeze"),
        helper.make_node("Gemm", ["one", "g", "g_bias"], ["logits"], name="head", transB=1),
    ]
    inputs = [helper.make_tensor_value_info("tokens", TensorProto.INT64, ["batch", "time"])]
    outputs = [
        helper.make_tensor_value_info("n", TensorProto.FLOAT, ["batch", "time", 40]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 30]),
    ]
    model = as_model(nodes, inputs, outputs, weights)
    assert [(one.name, one.refusal) for one in candidates(model)] == [
        (name, "") for name in ("embed", "conv", "wide", "narrow", "head")
    ]
    given = {"tokens": rng.integers(0, 50, (3, 11))}
    expected = run(model, given)
    for name in ("embed", "conv", "wide", "narrow", "head"):
        found = run(in_int8(model, {name}), given)
        apart = min(sqnr(expected[one], found[one]) for one in expected)
        assert LEAST <= apart < 100, name
    whole = in_int8(model)
    assert not {"MatMul", "Gemm"} & operators(whole)
    assert all(
        one.dtype != ir.DataType.FLOAT or one.const_value.size < 300 for one in whole.graph.initializers.values()
    )
    found = run(whole, given)
    assert min(sqnr(expected[one], found[one]) for one in expected) >= LEAST


def test_bodies_of_loops_are_quantized():
    """A cell of one's own in a Scan: its products take weights of the outer graph."""
    rng = np.random.default_rng(5)
    weights = {"r": trained(rng, 32, 32, fan_in=32).T.copy(), "bias": rng.normal(0, 0.2, 32).astype(np.float32)}
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "r"], ["moved"], name="body/MatMul"),
            helper.make_node("Add", ["moved", "bias"], ["biased"], name="body/Add"),
            helper.make_node("Add", ["biased", "x_t"], ["sum"], name="body/sum"),
            helper.make_node("Tanh", ["sum"], ["h_next"], name="body/Tanh"),
            helper.make_node("Identity", ["h_next"], ["out"], name="body/Identity"),
        ],
        "body",
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, [None, 32]) for one in ("h", "x_t")],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, [None, 32]) for one in ("h_next", "out")],
    )
    scan = helper.make_node("Scan", ["h_0", "x"], ["h_n", "y"], name="cell", body=body, num_scan_inputs=1)
    frames = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", 32])
    state = [helper.make_tensor_value_info(one, TensorProto.FLOAT, ["batch", 32]) for one in ("h_0", "h_n")]
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", "batch", 32])
    proto = helper.make_model(
        helper.make_graph(
            [scan],
            "graph",
            [state[0], frames],
            [state[1], y],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    model = ir.from_proto(proto)
    assert [one.name for one in candidates(model)] == ["body/MatMul"]
    quantized = in_int8(model)
    assert "DynamicQuantizeMatMul" in operators(quantized)
    assert "MatMul" not in operators(quantized)
    given = {"x": rng.standard_normal((9, 3, 32)).astype(np.float32), "h_0": np.zeros((3, 32), np.float32)}
    expected, found = run(model, given), run(quantized, given)
    assert min(sqnr(expected[one], found[one]) for one in expected) >= LEAST
    np.testing.assert_array_equal(found["h_n"], found["y"][-1])


def test_layers_that_share_weights_share_them_in_eight_bits():
    """One module called twice holds its weights once."""
    stack = Stack(kind="GRU", layers=2, features=32)
    model = build(stack)
    first, second = (node for node in model.graph if node.op_type == "GRU")
    for index in (1, 2, 3):
        second.replace_input_with(index, first.inputs[index])
    quantized = in_int8(model)
    stored = [one for one in quantized.graph.initializers.values() if one.dtype == ir.DataType.INT8]
    assert len(stored) == 2
    given = feed(stack, 2, 5)
    assert sqnr(run(model, given)["y"], run(quantized, given)["y"]) >= LEAST


def test_weights_are_rounded_to_the_nearest_of_255_steps_of_their_column():
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((40, 6)) * [1e-3, 1, 50, 1, 1, 1]).astype(np.float32)
    matrix[:, 3] = 0
    quantized, scale = in_columns(matrix)
    assert quantized.dtype == np.int8
    assert (np.abs(quantized * scale - matrix) <= scale / 2 * (1 + 1e-5)).all()
    rows, row_scale = in_rows(matrix.T)
    assert np.abs(rows.astype(int)).max(axis=1).tolist() == [127, 127, 127, 0, 127, 127]
    assert (np.abs(rows * row_scale[:, None] - matrix.T) <= row_scale[:, None] / 2 * (1 + 1e-5)).all()
    # Columns are as fine as pairs of one sign allow; a column that has none is as fine as a row.
    assert (row_scale <= scale * (1 + 1e-6)).all()
    assert (scale <= 2 * row_scale).all()
    alternating = np.where(np.arange(40)[:, None] % 2, np.abs(matrix), -np.abs(matrix))
    np.testing.assert_array_equal(in_columns(alternating)[1], row_scale)


@pytest.mark.parametrize("inputs", [1, 2, 7, 40, 513])
@pytest.mark.parametrize("magnitude", [1e-30, 1.0, 1e30])
def test_no_pair_of_weights_can_saturate(inputs, magnitude):
    """A processor without VNNI adds products with unsigned eight bits up in pairs, to 16 bits that saturate."""
    rng = np.random.default_rng(inputs)
    kinds = [rng.standard_normal((inputs, 50)), rng.uniform(-1, 1, (inputs, 50)), np.ones((inputs, 50))]
    for matrix in (*kinds, *(-np.abs(one) for one in kinds)):
        columns, _ = in_columns((magnitude * matrix).astype(np.float32))
        whole = np.concatenate([columns, np.zeros((inputs % 2, 50), np.int8)]).astype(int)
        sums = whole[0::2] + whole[1::2]
        assert np.abs(whole).max() <= 127
        assert 120 <= max(np.abs(sums).max(), np.abs(whole).max()) <= 128
        # Each product may be with 0 or 255.
        for one in (sums, whole[0::2], whole[1::2]):
            assert (255 * one).min() >= -(2**15)
            assert (255 * one).max() < 2**15


def test_names_that_are_taken_are_left_alone():
    """A graph of rnnx's own has constants and nodes under the very names that the new nodes would take."""
    stack = Stack(kind="GRU", lengths=True, states=True)
    model = build(stack)
    graph = model.graph
    next(node for node in graph if node.op_type == "Squeeze").name = "layer0/Split0"
    value = ir.Value(name="i64_scalar_0", const_value=ir.tensor(np.array(0), name="i64_scalar_0"))
    value.dtype, value.shape = ir.DataType.INT64, ir.Shape([])
    graph.register_initializer(value)
    gathered = ir.node("Gather", [graph.inputs[0], value], {"axis": 0}, name="layer0/Scan")
    gathered.outputs[0].name = "first"
    gathered.outputs[0].type, gathered.outputs[0].shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(["batch", 24])
    graph.append(gathered)
    graph.outputs.append(gathered.outputs[0])
    given = feed(stack, 2, 5)
    expected, found = run(model, given), run(in_int8(model), given)
    assert sqnr(expected["y"], found["y"]) >= LEAST
    np.testing.assert_array_equal(found["first"], given["x"][0])
