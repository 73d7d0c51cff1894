"""Recurrent layers as scans: the answers of ONNX Runtime's fused operators, in every option of theirs."""

import itertools

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, checker, helper, numpy_helper

from rnnx.exporters.passes.scan_form import ScanFormPass, refusals
from rnnx.runtime.ort import cpu_session

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": "hc", "GRU": "h", "RNN": "h"}
FEATURES, HIDDEN = 5, 7


def build(kind, *, direction="forward", lengths=False, states=False, bias=True, layers=1, **attributes):
    """``x`` float32 ``(time, batch, 5)``, ``lengths`` int32, ``h0 ...`` to ``y`` and every layer's last states."""
    rng = np.random.default_rng(0)
    count, gates = 1 + (direction == "bidirectional"), GATES[kind]
    weights = {"one": np.array([1]), "join": np.array([0, 0, -1])}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", FEATURES])]
    inputs += [helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"])] if lengths else []
    nodes, outputs, x = [], [], "x"
    for layer in range(layers):
        size = FEATURES if layer == 0 else HIDDEN * count
        shapes = {
            "w": (count, gates * HIDDEN, size),
            "r": (count, gates * HIDDEN, HIDDEN),
            "b": (count, 2 * gates * HIDDEN),
        }
        weights |= {f"{one}{layer}": rng.normal(0, 0.5, shape).astype(np.float32) for one, shape in shapes.items()}
        names = [f"{one}{layer}" for one in STATES[kind]]
        shape = [count, "batch", HIDDEN]
        inputs += [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one in names if states]
        outputs += [helper.make_tensor_value_info(f"{one}_n", TensorProto.FLOAT, shape) for one in names]
        given = [x, f"w{layer}", f"r{layer}", f"b{layer}" if bias else "", "lengths" if lengths else ""]
        made = [f"all{layer}", *(f"{one}_n" for one in names)]
        given += names if states else []
        nodes.append(
            helper.make_node(
                kind, given, made, name=f"layer{layer}", hidden_size=HIDDEN, direction=direction, **attributes
            )
        )
        x = "y" if layer == layers - 1 else f"x{layer + 1}"
        if count == 1:
            nodes.append(helper.make_node("Squeeze", [made[0], "one"], [x], name=f"squeeze{layer}"))
        else:
            nodes.append(
                helper.make_node("Transpose", [made[0]], [f"turned{layer}"], perm=[0, 2, 1, 3], name=f"t{layer}")
            )
            nodes.append(helper.make_node("Reshape", [f"turned{layer}", "join"], [x], name=f"join{layer}"))
    outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", "batch", HIDDEN * count]))
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))


def feed(model, batch, time, least=1):
    """Normal inputs; rows of different lengths, the first of them to the end."""
    rng = np.random.default_rng([batch, time])
    sizes = {"batch": batch, "time": time}
    given = {}
    for value in model.graph.inputs:
        if value.name == "lengths":
            given["lengths"] = rng.integers(least, time + 1, batch).astype(np.int32)
            given["lengths"][0] = time
        else:
            shape = [one if isinstance(one, int) else sizes[one.value] for one in value.shape]
            given[value.name] = rng.standard_normal(shape).astype(np.float32)
    return given


def run(model, given):
    """What ONNX Runtime answers, after the checker has passed the graph."""
    proto = ir.to_proto(model)
    checker.check_model(proto, full_check=True)
    session = cpu_session(proto.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def in_scans(model):
    changed = ir.from_proto(ir.to_proto(model))
    assert ScanFormPass()(changed).modified
    return changed


def operators(model):
    return {node.op_type for node in model.graph}


def same(expected, found):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        scale = max(1.0, float(np.nanmax(np.abs(array))))
        np.testing.assert_allclose(found[name], array, rtol=0, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_every_option_gives_the_same(kind, direction):
    for lengths, states, bias in itertools.product((False, True), repeat=3):
        attributes = {"linear_before_reset": int(states)} if kind == "GRU" else {}
        if kind == "RNN" and bias:
            attributes["activations"] = ["Relu"] * (1 + (direction == "bidirectional"))
        model = build(kind, direction=direction, lengths=lengths, states=states, bias=bias, layers=2, **attributes)
        changed = in_scans(model)
        assert kind not in operators(changed)
        assert "Scan" in operators(changed)
        for batch, time in ((1, 1), (4, 9)):
            given = feed(model, batch, time)
            same(run(model, given), run(changed, given))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_each_direction_may_have_an_activation_or_reset_of_its_own(kind):
    attributes = {
        "LSTM": {"activations": ["Sigmoid", "Tanh", "Tanh"] * 2, "input_forget": 0},
        "GRU": {"activations": ["Sigmoid", "Tanh"] * 2, "linear_before_reset": 0},
        "RNN": {"activations": ["Relu", "Tanh"]},
    }[kind]
    model = build(kind, direction="bidirectional", lengths=True, states=True, **attributes)
    given = feed(model, 3, 6)
    same(run(model, given), run(in_scans(model), given))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_nothing_of_the_padding_reaches_an_answer(kind):
    model = build(kind, direction="bidirectional", lengths=True, layers=2)
    changed, given = in_scans(model), feed(model, 5, 8)
    clean = run(changed, given)
    beyond = np.arange(8)[:, None] >= given["lengths"]
    assert beyond.any()
    given["x"][beyond] = np.nan
    found = run(changed, given)
    same(clean, found)
    assert not found["y"][beyond].any()


def test_an_output_that_nobody_reads_is_not_computed():
    model = build("LSTM")
    squeeze = next(node for node in model.graph if node.op_type == "Squeeze")
    model.graph.outputs.pop()
    model.graph.remove(squeeze, safe=True)
    changed = in_scans(model)
    (scan,) = [node for node in changed.graph if node.op_type == "Scan"]
    assert len(scan.outputs) == 2
    given = feed(model, 3, 4)
    same(run(model, given), run(changed, given))


def test_the_weights_are_kept_once():
    """No copy of the old ones is left, and two layers over the same weights share them."""
    model = build("LSTM", layers=2)
    changed = in_scans(model)
    numbers = [sum(one.const_value.size for one in m.graph.initializers.values()) for m in (model, changed)]
    # The two biases of a gate are one sum.
    assert numbers[0] - 2 * 4 * HIDDEN - 4 <= numbers[1] <= numbers[0]
    second = next(node for node in model.graph if node.name == "layer1")
    first = next(node for node in model.graph if node.name == "layer0")
    first.replace_input_with(0, first.inputs[0])
    for index in (2, 3):
        second.replace_input_with(index, first.inputs[index])
    shared = in_scans(model)
    given = feed(model, 2, 3)
    same(run(model, given), run(shared, given))


@pytest.mark.parametrize(
    ("kind", "attributes", "why"),
    [
        ("LSTM", {"clip": 3.0}, "it has the attribute 'clip'"),
        ("LSTM", {"input_forget": 1}, "its input and forget gates are coupled"),
        ("GRU", {"activations": ["HardSigmoid", "Tanh"]}, "its activations are hardsigmoid, tanh"),
        ("GRU", {"activations": ["Tanh", "Sigmoid"]}, "its activations are tanh, sigmoid"),
        ("RNN", {"activations": ["Softsign"]}, "its activations are softsign"),
        ("RNN", {"layout": 1}, "it has batch-first layout"),
    ],
)
def test_what_has_no_such_form_stays_and_says_why(kind, attributes, why):
    model = build(kind, **attributes)
    before = ir.to_proto(model).SerializeToString()
    assert refusals(model) == {"layer0": why}
    assert not ScanFormPass()(model).modified
    assert ir.to_proto(model).SerializeToString() == before


def test_weights_that_are_computed_and_peepholes_stay():
    model = build("LSTM", states=True)
    (node,) = [one for one in model.graph if one.op_type == "LSTM"]
    node.resize_inputs(8)
    node.replace_input_with(7, ir.Value(name="p"))
    assert refusals(model) == {"layer0": "it has peephole weights"}
    node.replace_input_with(1, ir.Value(name="w"))
    assert refusals(model) == {"layer0": "its weights are not float32 constants"}


def test_layers_without_names_stay_apart():
    model = build("GRU", layers=3)
    for node, name in zip([one for one in model.graph if one.op_type == "GRU"], (None, "GRU", None), strict=True):
        node.name = name
    assert list(refusals(model)) == ["GRU", "GRU#2", "GRU#3"]
    given = feed(model, 2, 5)
    changed = in_scans(model)
    names = [node.name for node in ir.traversal.RecursiveGraphIterator(changed.graph)]
    assert len(set(names)) == len(names)
    same(run(model, given), run(changed, given))
