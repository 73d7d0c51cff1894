"""A bundle of running sums, whose answers are easy to say by hand: whole sequences, with lengths, and streams."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.bundle import GoldenCase, golden_bytes, staging, write_manifest
from rnnx.manifest import GOLDEN, Manifest, Tolerance, Variant
from rnnx.signature import LengthsSpec, Signature, StateSpec, parse_tensor

FEATURES = 3


def summing(*, streaming, lengths):
    """``y_t = x_0 + ... + x_t`` behind what the stream brings; with lengths also ``last``, the sum at each end."""
    info = helper.make_tensor_value_info
    inputs, outputs = ([info(name, TensorProto.FLOAT, ["batch", "time", FEATURES])] for name in "xy")
    stored = {"axis": np.array(1), "axes": np.array([1])}
    if streaming:
        inputs.append(info("sum", TensorProto.FLOAT, ["batch", FEATURES]))
        outputs.append(info("sum_next", TensorProto.FLOAT, ["batch", FEATURES]))
        nodes = [
            helper.make_node("CumSum", ["x", "axis"], ["sums"]),
            helper.make_node("Unsqueeze", ["sum", "axes"], ["sum_t"]),
            helper.make_node("Add", ["sums", "sum_t"], ["y"]),
            helper.make_node("ReduceSum", ["x", "axes"], ["added"], keepdims=0),
            helper.make_node("Add", ["sum", "added"], ["sum_next"]),
        ]
    else:
        nodes = [helper.make_node("CumSum", ["x", "axis"], ["y"])]
    if lengths and not streaming:
        inputs.append(info("lengths", TensorProto.INT64, ["batch"]))
        outputs.append(info("last", TensorProto.FLOAT, ["batch", FEATURES]))
        stored |= {"one": np.array(1), "tail": np.array([1, 1, FEATURES])}
        nodes += [
            helper.make_node("Sub", ["lengths", "one"], ["ends"]),
            helper.make_node("Unsqueeze", ["ends", "last_axes"], ["ends_t"]),
            helper.make_node("Expand", ["ends_t", "tail"], ["at"]),
            helper.make_node("GatherElements", ["y", "at"], ["last_t"], axis=1),
            helper.make_node("Squeeze", ["last_t", "axes"], ["last"]),
        ]
        stored["last_axes"] = np.array([1, 2])
    constants = [numpy_helper.from_array(value.astype(np.int64), name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "summing", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def write_summing(path, *, lengths=False, modes=("offline", "streaming")):
    x, y = (parse_tensor(f"{name}: float32[batch, time, {FEATURES}]") for name in "xy")
    kept, following = (parse_tensor(f"{name}: float32[batch, {FEATURES}]") for name in ("sum", "sum_next"))
    face = Signature(inputs=(x,), outputs=(y,))
    if lengths:
        face = Signature(
            inputs=(x, parse_tensor("lengths: int64[batch]")),
            outputs=(y, parse_tensor(f"last: float32[batch, {FEATURES}]")),
            lengths=(LengthsSpec(name="lengths", axis="time"),),
        )
    stream = Signature(inputs=(x, kept), outputs=(y, following), states=(StateSpec(name="sum", output="sum_next"),))
    variants = tuple(
        Variant(
            precision="fp32",
            mode=mode,
            file=f"fp32-{mode}.onnx",
            opset=20,
            tolerance=Tolerance(atol=1e-5, floor=1e-3),
            operators={"CumSum": 1},
            signature=stream if mode == "streaming" else None,
        )
        for mode in modes
    )
    given = np.random.default_rng(3).standard_normal((2, 5, FEATURES)).astype(np.float32)
    inputs, outputs = {"x": given}, {"y": given.cumsum(1)}
    if lengths:
        inputs["lengths"] = np.array([5, 3])
        outputs["last"] = np.stack([given[0].sum(0), given[1, :3].sum(0)])
    with staging(path) as folder:
        for one in variants:
            model = summing(streaming=one.mode == "streaming", lengths=lengths)
            (folder / one.file).write_bytes(model)
        (folder / GOLDEN).write_bytes(golden_bytes([GoldenCase(inputs=inputs, outputs=outputs)]))
        write_manifest(folder, Manifest(name=path.stem, signature=face, variants=variants))
    return path


def sequences(count, seed=0, longest=40):
    """float32 ``(time, features)`` each, of different lengths."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((int(time), FEATURES)).astype(np.float32) for time in rng.integers(1, longest, count)]


@pytest.fixture(scope="session")
def summing_path(tmp_path_factory):
    """A bundle with both variants, which no test changes."""
    return write_summing(tmp_path_factory.mktemp("bundles") / "summing.rnnx")


@pytest.fixture(scope="session")
def lengths_path(tmp_path_factory):
    """One of whole sequences with lengths."""
    return write_summing(tmp_path_factory.mktemp("bundles") / "ends.rnnx", lengths=True, modes=("offline",))


@pytest.fixture(scope="session")
def kit():
    """What tests here share; a conftest.py cannot be imported."""
    return SimpleNamespace(write=write_summing, sequences=sequences, FEATURES=FEATURES)
