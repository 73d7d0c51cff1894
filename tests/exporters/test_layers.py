"""Every option of torch's recurrent modules through the exporter; the export itself holds each against torch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch

import rnnx
from rnnx.benchmarks.coverage import export_case
from rnnx.benchmarks.layer_cases import layer_cases, seeded
from rnnx.exporters.layers import GATES, reorder
from rnnx.exporters.passes.naming import MODULE

CASES = {case.name: case for case in layer_cases()}
RECURRENT = {"LSTM", "GRU", "RNN", "Scan", "Loop"}
#: Shape arithmetic that a graph over named axes has no need of, unless the model itself reshapes.
ARITHMETIC = {"Shape", "Gather", "Range", "Expand", "Where", "ConstantOfShape", "Identity", "Cast"}


def graph_of(bundle):
    return ir.load(bundle.path / bundle.manifest.variants[0].file)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_option_exports_to_fused_operators(name, tmp_path):
    case = CASES[name]
    exported = export_case(case, tmp_path / "case.rnnx")
    operators = exported.bundle.manifest.variants[0].operators
    assert {kind: n for kind, n in operators.items() if kind in RECURRENT} == dict(case.recurrent)
    assert exported.parity.passed
    assert not exported.parity.undefined
    assert max(row.max_abs_diff for row in exported.parity.rows) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LSTM packed", "GRU state", "RNN layers=2 bidirectional", "LSTM proj_size packed"])
def test_an_answer_equals_torch_at_a_size_that_no_matrix_has(name, tmp_path):
    # The gate above is the exporter's own; this asks the bundle directly, at sizes of this test's choosing.
    case = CASES[name]
    module = seeded(case)
    out = tmp_path / "case.rnnx"
    export_case(case, out)
    generator = np.random.default_rng(7)
    x = generator.standard_normal((4, 19, 6)).astype(np.float32)
    inputs, arguments = {"x": x}, [torch.from_numpy(x)]
    if case.lengths:
        inputs["lengths"] = np.array([19, 1, 8, 13])
        arguments.append(torch.from_numpy(inputs["lengths"]))
    for state in case.states:
        shape = [int(one) if one.strip().isdecimal() else 4 for one in state.split("[")[1].rstrip("]").split(",")]
        inputs[state.split()[0]] = generator.standard_normal(shape).astype(np.float32)
        arguments.append(torch.from_numpy(inputs[state.split()[0]]))
    with torch.no_grad():
        expected = torch.utils._pytree.tree_leaves(module(*arguments))
    with rnnx.load(out, provider="cpu") as session:
        found = session.run(inputs)
        names = [spec.name for spec in session.signature.outputs]
    for output, reference in zip(names, expected, strict=True):
        np.testing.assert_allclose(found[output], reference.numpy(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["LSTM packed", "GRU layers=2 bidirectional"])
def test_no_shape_arithmetic_is_left(name, tmp_path):
    bundle = export_case(CASES[name], tmp_path / "case.rnnx").bundle
    left = set(bundle.manifest.variants[0].operators) & ARITHMETIC
    assert left <= {"Cast"}  # the one cast of lengths to int32, which ONNX asks for


def test_names_are_the_sources(tmp_path):
    bundle = export_case(CASES["several, one called twice"], tmp_path / "case.rnnx").bundle
    graph = graph_of(bundle).graph
    recurrent = {node.name: node.op_type for node in graph if node.op_type in RECURRENT}
    assert recurrent == {"gru.l0": "GRU", "lstm.l0": "LSTM", "rnn.l0": "RNN", "gru.l0.call2": "GRU"}
    assert [value.name for value in graph.inputs] == ["x"]
    assert [value.name for value in graph.outputs] == ["z"]
    assert {"gru.l0.W", "gru.l0.R", "gru.l0.B"} <= set(graph.initializers)
    assert graph.node("gru.l0").metadata_props[MODULE] == "gru"


def test_a_module_called_twice_keeps_one_copy_of_its_weights(tmp_path):
    bundle = export_case(CASES["several, one called twice"], tmp_path / "case.rnnx").bundle
    graph = graph_of(bundle).graph
    first, second = graph.node("gru.l0"), graph.node("gru.l0.call2")
    # hidden -> features -> gru again: both calls see six features
    assert [value.name for value in first.inputs[1:4]] == [value.name for value in second.inputs[1:4]]


def test_shared_weights_are_stored_once(tmp_path):
    bundle = export_case(CASES["shared weights"], tmp_path / "case.rnnx").bundle
    graph = graph_of(bundle).graph
    lstms = [node for node in graph if node.op_type == "LSTM"]
    assert len({tuple(value.name for value in node.inputs[1:4]) for node in lstms}) == 1
    assert Counter(name.rsplit(".", 1)[-1] for name in graph.initializers)["R"] == 1


def test_axes_bear_their_declared_names(tmp_path):
    bundle = export_case(CASES["strided convolution"], tmp_path / "case.rnnx").bundle
    model = onnx.load(bundle.path / bundle.manifest.variants[0].file)
    (x,) = model.graph.input
    assert [one.dim_param or one.dim_value for one in x.type.tensor_type.shape.dim] == ["batch", "time", 6]
    (y,) = bundle.manifest.signature.outputs
    assert y.axes[0] == "batch"
    assert eval(str(y.axes[1]), {"time": 33}) == (33 - 5) // 2 + 1  # noqa: S307  (an expression of our own making)
    assert bundle.manifest.signature.range("time").minimum == 5


def test_the_graph_says_nothing_of_where_it_was_made(tmp_path):
    bundle = export_case(CASES["LSTM layers=1"], tmp_path / "case.rnnx").bundle
    raw = (bundle.path / bundle.manifest.variants[0].file).read_bytes()
    assert b".py" not in raw
    assert b"stack_trace" not in raw


def test_gates_go_to_onnx_order():
    # ONNX: LSTM i o f c, GRU z r h. torch: LSTM i f g o, GRU r z n.
    lstm = {"i": 0, "f": 1, "g": 2, "o": 3}
    gru = {"r": 0, "z": 1, "n": 2}
    assert [list(lstm)[index] for index in GATES["LSTM"]] == ["i", "o", "f", "g"]
    assert [list(gru)[index] for index in GATES["GRU"]] == ["z", "r", "n"]
    np.testing.assert_array_equal(reorder(np.arange(8), GATES["LSTM"]), [0, 1, 6, 7, 2, 3, 4, 5])


def test_float64_layers_are_refused(tmp_path):
    with pytest.raises(rnnx.errors.LoweringError, match=r"layer 'lstm\.l0' has DOUBLE weights.*model\.float\(\)"):
        rnnx.exporters.export(
            torch.nn.LSTM(6, 8).double(), inputs=["input: float64[time, batch, 6]"], out=tmp_path / "x.rnnx"
        )
    assert list(tmp_path.iterdir()) == []
