"""Operations and bytes counted by hand, for small graphs."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.errors import ModelFileError
from rnnx.exporters.counting import count
from rnnx.exporters.probes import product_probe
from rnnx.runtime.ort import cpu_session

T, B, I, H = 5, 3, 4, 6  # noqa: E741  (time, batch, features, hidden)
F4 = 4  # bytes of a float32


def model(nodes, inputs, outputs, weights=()):
    """An ONNX model of these nodes; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def weight(*shape, dtype=np.float32):
    return np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)


def recurrent(operator, gates, directions=1, **attributes):
    """One recurrent layer over x (time, batch, features), with its weights."""
    node = helper.make_node(operator, ["x", "w", "r", "", "lengths"], ["y"], name="layer", hidden_size=H, **attributes)
    return model(
        [node],
        [("x", TensorProto.FLOAT, [T, B, I]), ("lengths", TensorProto.INT32, [B])],
        [("y", TensorProto.FLOAT, None)],
        [("w", weight(directions, gates * H, I)), ("r", weight(directions, gates * H, H))],
    )


X = np.ones((T, B, I), np.float32)
FULL = np.full(B, T, np.int32)


@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_a_recurrent_layer_multiplies_in_every_step_and_reads_its_recurrent_weights_again(operator, gates):
    cost = count(recurrent(operator, gates), {"x": X, "lengths": FULL})
    (layer,) = cost.nodes
    # Each of T steps of B rows: (gates * H) x (I + H) multiplications and as many additions.
    assert cost.float_ops == layer.float_ops == 2 * T * B * gates * H * (I + H)
    assert cost.int8_ops == 0
    assert layer.weight_bytes == F4 * gates * H * (I + H)
    assert layer.working_set_bytes == F4 * gates * H * H
    assert layer.repeated_bytes == (T - 1) * F4 * gates * H * H
    face = F4 * (T * B * I + B + T * B * H)
    assert cost.face_bytes == face
    assert cost.total_bytes == face + layer.weight_bytes + layer.repeated_bytes


def test_two_directions_cost_twice_and_each_reads_its_own():
    cost = count(recurrent("LSTM", 4, 2, direction="bidirectional"), {"x": X, "lengths": FULL})
    assert cost.float_ops == 2 * 2 * T * B * 4 * H * (I + H)
    assert cost.nodes[0].working_set_bytes == F4 * 4 * H * H
    assert cost.nodes[0].repeated_bytes == 2 * (T - 1) * F4 * 4 * H * H


def test_steps_beyond_a_rows_length_are_not_counted():
    cost = count(recurrent("GRU", 3), {"x": X, "lengths": np.array([3, 1, 2], np.int32)})
    assert cost.float_ops == 2 * (3 + 1 + 2) * 3 * H * (I + H)
    assert cost.nodes[0].repeated_bytes == 2 * F4 * 3 * H * H


def test_a_quantized_lstm_counts_integers_and_bytes_of_one():
    scale, zero = np.full((1, 4 * H), 0.1, np.float32), np.zeros((1, 4 * H), np.int8)
    node = helper.make_node(
        "DynamicQuantizeLSTM",
        ["x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"],
        ["y"],
        domain="com.microsoft",
        hidden_size=H,
    )
    whole = model(
        [node],
        [("x", TensorProto.FLOAT, [T, B, I])],
        [("y", TensorProto.FLOAT, None)],
        [
            ("w", weight(1, I, 4 * H, dtype=np.int8)),
            ("r", weight(1, H, 4 * H, dtype=np.int8)),
            *(("ws", scale), ("wz", zero), ("rs", scale), ("rz", zero)),
        ],
    )
    cost = count(whole, {"x": X})
    assert (cost.float_ops, cost.int8_ops) == (0, 2 * T * B * 4 * H * (I + H))
    assert cost.nodes[0].working_set_bytes == 4 * H * H
    assert cost.nodes[0].weight_bytes == 4 * H * (I + H) + 2 * 4 * H * (F4 + 1)


def scan_body(operator="MatMul"):
    """One step: h = tanh(x w + h r), with the weights seen from outside."""
    return helper.make_graph(
        [
            helper.make_node("MatMul", ["xt", "w"], ["a"], name="in"),
            helper.make_node(operator, ["h", "r"], ["b"], name="rec"),
            helper.make_node("Add", ["a", "b"], ["s"]),
            helper.make_node("Tanh", ["s"], ["hn"]),
            helper.make_node("Identity", ["hn"], ["yt"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("h", "xt")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("hn", "yt")],
    )


def test_the_body_of_a_scan_costs_each_step_and_reads_its_weights_in_each():
    node = helper.make_node("Scan", ["h0", "x"], ["hT", "y"], name="scan", body=scan_body(), num_scan_inputs=1)
    whole = model(
        [node],
        [("h0", TensorProto.FLOAT, [B, H]), ("x", TensorProto.FLOAT, [T, B, I])],
        [("hT", TensorProto.FLOAT, None), ("y", TensorProto.FLOAT, None)],
        [("w", weight(I, H)), ("r", weight(H, H))],
    )
    cost = count(whole, {"h0": np.zeros((B, H), np.float32), "x": X})
    assert cost.float_ops == 2 * T * B * H * (I + H)
    assert cost.other_ops == T * 2 * B * H  # Add and Tanh
    both = F4 * H * (I + H)
    assert cost.weight_bytes == both
    assert sum(one.repeated_bytes for one in cost.nodes) == (T - 1) * both
    # Every step goes through both matrices, so it is both that a cache must hold.
    assert {one.name: one.working_set_bytes for one in cost.nodes if one.weight_bytes} == {
        "scan/in": both,
        "scan/rec": both,
    }


def test_a_scan_along_another_axis():
    node = helper.make_node("Scan", ["h0", "x"], ["hT", "y"], body=scan_body(), num_scan_inputs=1, scan_input_axes=[1])
    whole = model(
        [node],
        [("h0", TensorProto.FLOAT, [B, H]), ("x", TensorProto.FLOAT, [B, T, I])],
        [("hT", TensorProto.FLOAT, None), ("y", TensorProto.FLOAT, None)],
        [("w", weight(I, H)), ("r", weight(H, H))],
    )
    feed = {"h0": np.zeros((B, H), np.float32), "x": np.ones((B, T, I), np.float32)}
    assert count(whole, feed).float_ops == 2 * T * B * H * (I + H)


def looping():
    """h is multiplied by a matrix until more than `limit` iterations were done."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["h", "r"], ["hn"], name="rec"),
            helper.make_node("Less", ["i", "limit"], ["go"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, [B, H]),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("hn", TensorProto.FLOAT, [B, H]),
        ],
    )
    return model(
        [helper.make_node("Loop", ["", "true", "h0"], ["hT"], name="loop", body=body)],
        [("h0", TensorProto.FLOAT, [B, H]), ("limit", TensorProto.INT64, [])],
        [("hT", TensorProto.FLOAT, [B, H])],
        [("true", np.array(1, np.bool_)), ("r", weight(H, H))],
    )


@pytest.mark.parametrize("limit", [0, 3, 8])
def test_a_loop_is_counted_as_often_as_the_data_lets_it_run(limit):
    feed = {"h0": np.zeros((B, H), np.float32), "limit": np.array(limit, np.int64)}
    cost = count(looping(), feed)
    assert cost.float_ops == (limit + 1) * 2 * B * H * H
    assert cost.weight_bytes == F4 * H * H
    assert sum(one.repeated_bytes for one in cost.nodes) == limit * F4 * H * H


@pytest.mark.parametrize(("chosen", "outer"), [(True, 8), (False, 2)])
def test_of_an_if_the_branch_that_runs_is_counted(chosen, outer):
    def branch(name, weights):
        return helper.make_graph(
            [helper.make_node("MatMul", ["x", weights], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )

    whole = model(
        [helper.make_node("If", ["c"], ["y"], then_branch=branch("a", "wide"), else_branch=branch("b", "slim"))],
        [("c", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, [B, I])],
        [("y", TensorProto.FLOAT, None)],
        [("wide", weight(I, 8)), ("slim", weight(I, 2))],
    )
    cost = count(whole, {"c": np.array(chosen), "x": np.ones((B, I), np.float32)})
    assert cost.float_ops == 2 * B * I * outer
    assert cost.weight_bytes == F4 * I * outer


def one(node, feed, weights, output=TensorProto.FLOAT):
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in feed.items()}
    inputs = [(name, kinds[name], array.shape) for name, array in feed.items()]
    whole = model([node], inputs, [(node.output[0], output, None)], weights)
    cost = count(whole, feed)
    # What is counted is what runs.
    cpu_session(whole.SerializeToString()).run([node.output[0]], feed)
    return cost


def test_matrix_products():
    x = np.ones((2, B, I), np.float32)
    cost = one(helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": x}, [("w", weight(I, H))])
    assert (cost.float_ops, cost.weight_bytes, cost.other_ops) == (2 * 2 * B * I * H, F4 * I * H, 0)
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1)
    cost = one(gemm, {"x": np.ones((I, B), np.float32)}, [("w", weight(H, I)), ("b", weight(H))])
    assert (cost.float_ops, cost.weight_bytes) == (2 * B * I * H, F4 * (H * I + H))
    einsum = helper.make_node("Einsum", ["x", "w"], ["y"], equation="tbi,ih->tbh")
    assert one(einsum, {"x": x}, [("w", weight(I, H))]).float_ops == 2 * 2 * B * I * H


def test_integer_products_are_counted_apart():
    x = np.ones((B, I), np.uint8)
    integers = helper.make_node("MatMulInteger", ["x", "w"], ["y"])
    cost = one(integers, {"x": x}, [("w", weight(I, H, dtype=np.int8))], TensorProto.INT32)
    assert (cost.float_ops, cost.int8_ops, cost.weight_bytes) == (0, 2 * B * I * H, I * H)
    dynamic = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "s"], ["y"], domain="com.microsoft")
    weights = [("w", weight(I, H, dtype=np.int8)), ("s", np.array([0.1], np.float32))]
    cost = one(dynamic, {"x": x.astype(np.float32)}, weights)
    assert (cost.float_ops, cost.int8_ops, cost.weight_bytes) == (0, 2 * B * I * H, I * H + F4)


@pytest.mark.parametrize(("level", "kind"), [(0, "float_ops"), (4, "int8_ops")])
def test_weights_of_few_bits_are_counted_by_what_they_are_computed_in(level, kind):
    features, block = 32, 16
    node = helper.make_node(
        "MatMulNBits",
        ["x", "w", "s"],
        ["y"],
        domain="com.microsoft",
        K=features,
        N=H,
        bits=4,
        block_size=block,
        accuracy_level=level,
    )
    weights = [
        ("w", np.full((H, features // block, block // 2), 136, np.uint8)),
        ("s", np.ones(H * features // block, np.float32)),
    ]
    cost = one(node, {"x": np.ones((B, features), np.float32)}, weights)
    assert getattr(cost, kind) == cost.float_ops + cost.int8_ops == 2 * B * features * H
    assert cost.weight_bytes == H * features // 2 + F4 * H * features // block


def test_convolutions():
    x = np.ones((B, 4, 10), np.float32)
    node = helper.make_node("Conv", ["x", "w"], ["y"], group=2, strides=[2])
    cost = one(node, {"x": x}, [("w", weight(6, 2, 3))])
    assert cost.float_ops == 2 * (B * 6 * 4) * (2 * 3)  # 4 positions, 2 channels of a group, a kernel of 3
    node = helper.make_node("ConvTranspose", ["x", "w"], ["y"], strides=[3])
    cost = one(node, {"x": x}, [("w", weight(4, 5, 3))])
    # Each of 4 * 10 input values meets 5 * 3 weights, once.
    assert cost.float_ops == 2 * B * 4 * 10 * 5 * 3


def test_of_a_table_only_the_rows_that_are_looked_up_are_read():
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    cost = one(node, {"x": np.array([[1, 2, 1]], np.int64)}, [("table", weight(1000, H))])
    assert cost.weight_bytes == 3 * F4 * H


def test_what_is_made_of_weights_alone_is_a_weight_and_folded():
    whole = model(
        [helper.make_node("Transpose", ["w"], ["wt"]), helper.make_node("MatMul", ["x", "wt"], ["y"])],
        [("x", TensorProto.FLOAT, [B, I])],
        [("y", TensorProto.FLOAT, None)],
        [("w", weight(H, I))],
    )
    (product,) = count(whole, {"x": np.ones((B, I), np.float32)}).nodes
    assert (product.operator, product.weight_bytes) == ("MatMul", F4 * H * I)


def test_a_model_that_cannot_be_read_or_run_is_refused(tmp_path):
    file = tmp_path / "no.onnx"
    file.write_bytes(b"not an onnx file")
    with pytest.raises(ModelFileError, match=r"no\.onnx' cannot be read as an ONNX model"):
        count(file, {})
    whole = onnx.load_from_string(product_probe(I, H, int8=False))
    with pytest.raises(ModelFileError, match="cannot be run to count its operations"):
        count(whole, {"x": np.ones((B, I + 1), np.float32)})


@pytest.mark.parametrize("int8", [False, True])
def test_a_probe_is_the_product_that_it_says(int8):
    model_bytes = product_probe(I, H, int8=int8)
    x = np.arange(B * I).reshape(B, I).astype(np.uint8 if int8 else np.float32)
    (y,) = cpu_session(model_bytes).run(["y"], {"x": x})
    whole = onnx.load_from_string(model_bytes)
    w = numpy_helper.to_array(whole.graph.initializer[0])
    np.testing.assert_allclose(y, x.astype(np.float64) @ w.astype(np.float64), rtol=1e-6)
    cost = count(whole, {"x": x})
    assert (cost.int8_ops if int8 else cost.float_ops) == cost.float_ops + cost.int8_ops == 2 * B * I * H
