"""The float16 pass on graphs of its own: what is half, what must not be, and that nothing overflows or loses count."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.errors import LoweringError
from rnnx.exporters.passes import float16_plan
from rnnx.exporters.passes.float16 import Float16Pass
from rnnx.exporters.passes.float16_peaks import peaks_of
from rnnx.exporters.passes.float16_plan import SAFE, half_candidates
from rnnx.runtime.ort import cpu_session

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
SIZE = 40
RNG = np.random.default_rng(0)
WEIGHT = (RNG.standard_normal((SIZE, SIZE)) / 8).astype(np.float32)


def value(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, constants, opset=20):
    """A checked model with all types inferred; every node named after its first output."""
    for node in nodes:
        node.name = node.output[0]
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializers)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(proto, full_check=True)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def run(graph, feed):
    names = [one.name for one in graph.graph.outputs]
    return dict(zip(names, cpu_session(ir.to_proto(graph).SerializeToString()).run(names, feed), strict=True))


def halved(graph, feed, *, face=()):
    """The graph with all that can be half, its twin, and the candidates' refusals."""
    peaks = peaks_of(graph, [feed])
    found = half_candidates(graph, peaks)
    taken = [one.name for one in found if not one.refusal]
    made = []
    for proof in (False, True):
        copy = ir.from_proto(ir.to_proto(graph))
        made.append(Float16Pass(taken, peaks, face=face, proof=proof)(copy).model)
        onnx.checker.check_model(ir.to_proto(made[-1]), full_check=True)
    return *made, {one.name: one.refusal for one in found}


def types(graph):
    """The dtype of the first output of each node by the node's name, bodies' too."""
    return {node.name: node.outputs[0].dtype.name for node in ir.traversal.RecursiveGraphIterator(graph.graph)}


def test_a_product_is_rounded_as_numpy_rounds_it():
    """The proof's graph keeps every rounding although ONNX Runtime's CPU provider computes in float32."""
    graph = model(
        [helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Tanh", ["a"], ["y"])],
        [value("x", ["n", SIZE])],
        [value("y", ["n", SIZE])],
        {"w": WEIGHT},
    )
    x = RNG.standard_normal((50, SIZE)).astype(np.float32)
    made, twin, refusals = halved(graph, {"x": x})
    assert refusals == {"a": ""}
    half = np.float16
    product = (x.astype(half).astype(np.float32) @ WEIGHT.astype(half).astype(np.float32)).astype(half)
    expected = np.tanh(product.astype(np.float32)).astype(half).astype(np.float32)
    y = run(twin, {"x": x})["y"]
    assert y.dtype == np.float32
    assert np.array_equal(y, y.astype(half))
    # Another order of adding up moves a sum over the edge between two float16 now and then.
    assert (y == expected).mean() > 0.99
    assert np.abs(y - expected).max() <= 2.0**-10
    assert types(made)["a"] == types(made)["y"] == "FLOAT16"


@pytest.mark.parametrize("smallest", [-1e9, float(np.finfo(np.float32).min)])
def test_a_mask_beyond_the_range_masks_and_does_not_spoil_rows_that_are_masked_as_a_whole(smallest):
    graph = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"]),
            helper.make_node("Where", ["mask", "least", "scores"], ["masked"]),
            helper.make_node("Softmax", ["masked"], ["shares"]),
            helper.make_node("MatMul", ["shares", "w"], ["y"]),
        ],
        [value("x", ["n", SIZE]), value("mask", ["n", SIZE], BOOL)],
        [value("y", ["n", SIZE])],
        {"w": WEIGHT, "least": np.array(smallest, np.float32)},
    )
    x = RNG.standard_normal((4, SIZE)).astype(np.float32)
    mask = RNG.integers(0, 2, x.shape).astype(bool)
    mask[0] = True
    made, twin, refusals = halved(graph, {"x": x, "mask": mask})
    assert refusals["scores"] == refusals["y"] == ""
    assert refusals["masked"].endswith(f"and float16 ends at 65504 (values up to {SAFE:g} are taken)")
    found = types(made)
    assert (found["scores"], found["masked"], found["shares"], found["y"]) == ("FLOAT16", "FLOAT", "FLOAT", "FLOAT16")
    scores = np.where(mask, smallest, (x @ WEIGHT).astype(np.float64))
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    expected = shares / shares.sum(-1, keepdims=True) @ WEIGHT
    for one in (made, twin):
        assert np.abs(run(one, {"x": x, "mask": mask})["y"] - expected).max() < 2e-3


def test_activations_beyond_a_safe_part_of_the_range_stay_and_are_named():
    big = np.full((SIZE, 1), 1000, np.float32)
    graph = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["small"]),
            helper.make_node("MatMul", ["small", "big"], ["large"]),
            helper.make_node("Neg", ["large"], ["y"]),
        ],
        [value("x", ["n", SIZE])],
        [value("y", ["n", SIZE])],
        {"w": WEIGHT, "big": np.repeat(big, SIZE, 1)},
    )
    x = RNG.standard_normal((9, SIZE)).astype(np.float32) * 9
    made, _, refusals = halved(graph, {"x": x})
    reached = np.abs((x @ WEIGHT) @ np.repeat(big, SIZE, 1)).max()
    assert reached > SAFE
    assert refusals["small"] == ""
    assert refusals["large"] == (
        f"a value of it reaches {reached:.3g}, and float16 ends at 65504 (values up to {SAFE:g} are taken)"
    )
    assert types(made)["large"] == types(made)["y"] == "FLOAT"
    with pytest.raises(LoweringError, match=r"node 'large' cannot be float16: a value of it reaches"):
        Float16Pass(["large"], peaks_of(graph, [{"x": x}]))(graph)
    with pytest.raises(LoweringError, match=r"there is no node 'nosuch' to compute in float16; there are 'small'"):
        Float16Pass(["nosuch"], {})(graph)


@pytest.mark.parametrize(
    ("weight", "why"),
    [
        (WEIGHT * 1e6, r"its constant 'w' reaches [\d.e+]+, and float16 ends at 65504"),
        (WEIGHT * 1e-7, r"its constant 'w' is too small: float16 would change it by [\d.]+ of itself"),
    ],
)
def test_weights_that_float16_cannot_hold(weight, why):
    graph = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", ["n", SIZE])],
        [value("y", ["n", SIZE])],
        {"w": weight.astype(np.float32)},
    )
    (found,) = half_candidates(graph, {})
    assert found.weights == SIZE * SIZE
    with pytest.raises(LoweringError, match=why):
        Float16Pass([found.name], {})(graph)


def test_a_guard_against_division_by_zero_is_not_rounded_away():
    graph = model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Max", ["a", "tiny"], ["guarded"]),
            helper.make_node("Div", ["a", "guarded"], ["y"]),
        ],
        [value("x", ["n", SIZE])],
        [value("y", ["n", SIZE])],
        {"w": np.abs(WEIGHT), "tiny": np.array(1e-12, np.float32)},
    )
    made, twin, refusals = halved(graph, {"x": np.zeros((3, SIZE), np.float32)})
    assert "'tiny' is too small" in refusals["guarded"]
    for one in (made, twin):
        assert np.array_equal(run(one, {"x": np.zeros((3, SIZE), np.float32)})["y"], np.zeros((3, SIZE)))


def scanning(opset=20):
    """A Scan whose body has a hidden state and counts its steps in float."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "r"], ["hr"], "hr"),
            helper.make_node("Add", ["hr", "frame"], ["sum"], "sum"),
            helper.make_node("Tanh", ["sum"], ["h_next"], "h_next"),
            helper.make_node("Identity", ["h_next"], ["out"], "out"),
            helper.make_node("Add", ["count", "one"], ["count_next"], "count_next"),
        ],
        "body",
        [value("h", ["n", SIZE]), value("count", [1]), value("frame", ["n", SIZE])],
        [value("h_next", ["n", SIZE]), value("count_next", [1]), value("out", ["n", SIZE])],
    )
    return model(
        [
            helper.make_node("Scan", ["h_0", "zero", "x"], ["h_n", "steps", "y"], body=body, num_scan_inputs=1),
        ],
        [value("h_0", ["n", SIZE]), value("x", ["t", "n", SIZE])],
        [value("h_n", ["n", SIZE]), value("steps", [1]), value("y", ["t", "n", SIZE])],
        {"r": WEIGHT, "one": np.ones(1, np.float32), "zero": np.zeros(1, np.float32)},
        opset,
    )


def test_states_of_a_scan_agree_and_a_count_beyond_2048_stays_exact():
    """float16 cannot count beyond 2048: 2048 + 1 is 2048 there."""
    graph = scanning()
    feed = {
        "h_0": RNG.standard_normal((2, SIZE)).astype(np.float32),
        "x": RNG.standard_normal((3000, 2, SIZE)).astype(np.float32),
    }
    made, twin, refusals = halved(graph, feed)
    assert refusals == {"hr": ""}
    scan = next(node for node in made.graph if node.op_type == "Scan")
    body = scan.attributes["body"].as_graph()
    assert [one.dtype.name for one in body.inputs] == ["FLOAT16", "FLOAT", "FLOAT16"]
    assert [one.dtype.name for one in body.outputs] == ["FLOAT16", "FLOAT", "FLOAT16"]
    h = feed["h_0"].astype(np.float64)
    expected = []
    for frame in feed["x"]:
        h = np.tanh(h @ WEIGHT + frame)
        expected.append(h)
    for one in (made, twin):
        found = run(one, feed)
        assert found["steps"].tolist() == [3000.0]
        assert np.abs(found["y"] - np.array(expected)).max() < 5e-3
        assert np.array_equal(found["h_n"], found["y"][-1])
    assert np.array_equal(found["y"], found["y"].astype(np.float16))


def test_a_face_in_float16():
    graph = scanning()
    feed = {"h_0": np.zeros((2, SIZE), np.float32), "x": RNG.standard_normal((5, 2, SIZE)).astype(np.float32)}
    made, twin, _ = halved(graph, feed, face=["h_0", "x", "h_n", "y"])
    for one in (made, twin):
        types = {value.name: value.dtype.name for value in (*one.graph.inputs, *one.graph.outputs)}
        assert types.pop("steps") == "FLOAT"
        assert set(types.values()) == {"FLOAT16"}
        found = run(one, {name: array.astype(np.float16) for name, array in feed.items()})
        assert [found[name].dtype.name for name in ("h_n", "steps", "y")] == ["float16", "float32", "float16"]
        assert np.abs(found["y"] - run(graph, feed)["y"]).max() < 5e-3


def looping():
    """A Loop around an If: its state is half in one branch and a constant in the other."""
    then = helper.make_graph([helper.make_node("MatMul", ["v", "w"], ["a"], "a")], "then", [], [value("a", None)])
    other = helper.make_graph([helper.make_node("Identity", ["k"], ["b"], "b")], "else", [], [value("b", None)])
    body = helper.make_graph(
        [
            helper.make_node("Mod", ["i", "two"], ["odd"], "odd"),
            helper.make_node("Cast", ["odd"], ["pick"], "pick", to=BOOL),
            helper.make_node("If", ["pick"], ["chosen"], "chosen", then_branch=then, else_branch=other),
            helper.make_node("Add", ["chosen", "v"], ["v_next"], "v_next"),
            helper.make_node("Identity", ["go"], ["go_on"], "go_on"),
        ],
        "body",
        [value("i", [], INT64), value("go", [], BOOL), value("v", [SIZE, SIZE])],
        [value("go_on", [], BOOL), value("v_next", [SIZE, SIZE])],
    )
    return model(
        [helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body)],
        [value("trips", [], INT64), value("x", [SIZE, SIZE])],
        [value("y", [SIZE, SIZE])],
        {"w": WEIGHT, "k": WEIGHT * 2, "two": np.array(2, np.int64)},
    )


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_loops_and_branches(trips):
    graph = looping()
    x = RNG.standard_normal((SIZE, SIZE)).astype(np.float32)
    feed = {"trips": np.array(trips), "x": x}
    made, twin, refusals = halved(graph, feed)
    assert refusals == {"a": ""}
    expected, largest = x.astype(np.float64), {"x": np.abs(x).max(), "v_next": 0.0, "a": 0.0, "b": 0.0}
    for step in range(trips):
        chosen = expected @ WEIGHT if step % 2 else WEIGHT * 2
        branch = "a" if step % 2 else "b"
        largest[branch] = max(largest[branch], np.abs(chosen).max())
        expected = chosen + expected
        largest["v_next"] = max(largest["v_next"], np.abs(expected).max())
    for one in (made, twin):
        assert np.abs(run(one, feed)["y"] - expected).max() < 5e-3 * np.abs(expected).max()
    peaks = peaks_of(graph, [feed])
    assert {name: peaks[name] for name in largest} == pytest.approx(largest, rel=1e-5)


@pytest.mark.parametrize("opset", [17, 20])
def test_peaks_are_numpys(opset):
    graph = scanning(opset)
    feeds = [
        {
            "h_0": np.full((2, SIZE), size, np.float32),
            "x": size * RNG.standard_normal((steps, 2, SIZE)).astype(np.float32),
        }
        for size, steps in ((0.5, 3), (2.0, 1))
    ]
    feeds[0]["x"][1, 1, 1] = -np.inf  # float16 has it too
    largest = {"frame": 0.0, "hr": 0.0, "count_next": 3.0}
    for feed in feeds:
        h = feed["h_0"]
        for frame in feed["x"]:
            largest["frame"] = max(largest["frame"], np.abs(frame[np.isfinite(frame)]).max())
            largest["hr"] = max(largest["hr"], np.abs(h @ WEIGHT).max())
            h = np.tanh(h @ WEIGHT + frame)
    peaks = peaks_of(graph, feeds)
    assert {name: peaks[name] for name in largest} == pytest.approx(largest, rel=1e-5)
    assert peaks_of(graph, []).get("frame") == 0.0


def test_small_nodes_follow_and_do_not_lead():
    """Weights of few numbers are not worth a cast; beside half values they are half."""
    few = np.eye(SIZE, 20, dtype=np.float32)
    graph = model(
        [
            helper.make_node("MatMul", ["x", "few"], ["a"]),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("MatMul", ["b", "few"], ["y"]),
        ],
        [value("x", ["n", SIZE])],
        [value("y", ["n", 20])],
        {"w": np.tile(WEIGHT[:20], 2)[:, :SIZE], "few": few},
    )
    assert few.size < float16_plan.SMALLEST
    x = RNG.standard_normal((3, SIZE)).astype(np.float32)
    assert halved(graph, {"x": x})[2] == {}
    wide = model(
        [
            helper.make_node("MatMul", ["x", "few"], ["a"]),
            helper.make_node("MatMul", ["a", "w"], ["b"]),
            helper.make_node("MatMul", ["b", "narrow"], ["y"]),
        ],
        [value("x", ["n", SIZE])],
        [value("y", ["n", 4])],
        {"w": np.tile(WEIGHT[:20], 3), "few": few, "narrow": np.ones((3 * SIZE, 4), np.float32)},
    )
    made, _, refusals = halved(wide, {"x": x})
    assert refusals == {"b": ""}
    assert [types(made)[one] for one in "aby"] == ["FLOAT", "FLOAT16", "FLOAT16"]
