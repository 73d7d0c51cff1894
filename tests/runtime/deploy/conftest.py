"""A small streaming bundle whose states sort badly, and a stand-in for Triton that keeps states as Triton does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from rnnx.bundle import GoldenCase, golden_bytes, npz_bytes, staging, write_manifest
from rnnx.manifest import GOLDEN, STATES, Manifest, Tolerance, Variant
from rnnx.runtime.deploy.text_format import parse
from rnnx.runtime.ort import cpu_session
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = {"TYPE_FP32": np.float32, "TYPE_INT64": np.int64, "TYPE_INT32": np.int32}
#: Written forwards they are pairs; sorted, `s10_next` stands before `s1_next`.
BAD_NAMES = ("s1", "s10")


def streaming_graph(names=BAD_NAMES):
    """``y = x + a``, ``a' = 2a + sum(x)``, ``b' = a + 3b``: swapped states give other answers at the second step."""
    a, b = names
    nodes = [
        helper.make_node("Unsqueeze", [a, "one"], ["a_t"]),
        helper.make_node("Unsqueeze", [b, "one"], ["b_t"]),
        helper.make_node("Add", ["x", "a_t"], ["with_a"]),
        helper.make_node("Sub", ["with_a", "b_t"], ["y"]),
        helper.make_node("ReduceSum", ["x", "one"], ["sum"], keepdims=0),
        helper.make_node("Add", [a, a], ["a2"]),
        helper.make_node("Add", ["a2", "sum"], [f"{a}_next"]),
        helper.make_node("Mul", [b, "three"], ["b3"]),
        helper.make_node("Add", [a, "b3"], [f"{b}_next"]),
    ]
    state = ["batch", 2]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "small",
        [info("x", TensorProto.FLOAT, ["batch", "time", 2]), *(info(one, TensorProto.FLOAT, state) for one in names)],
        [
            info("y", TensorProto.FLOAT, ["batch", "time", 2]),
            *(info(f"{one}_next", TensorProto.FLOAT, state) for one in names),
        ],
        [
            helper.make_tensor("one", TensorProto.INT64, [1], [1]),
            helper.make_tensor("three", TensorProto.FLOAT, [], [3.0]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def offline_graph():
    """``y = 2x``, and the lengths as they came."""
    info = helper.make_tensor_value_info
    faces = [info("x", TensorProto.FLOAT, ["batch", "time", 2]), info("lengths", TensorProto.INT64, ["batch"])]
    outs = [info("y", TensorProto.FLOAT, ["batch", "time", 2]), info("seen", TensorProto.INT64, ["batch"])]
    nodes = [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Identity", ["lengths"], ["seen"])]
    graph = helper.make_graph(nodes, "double", faces, outs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def variant(mode, signature=None, **more):
    return Variant(
        precision="fp32",
        mode=mode,
        file=f"fp32-{mode}.onnx",
        opset=20,
        tolerance=Tolerance(atol=1e-5, floor=1e-3),
        operators={"Add": 1},
        signature=signature,
        **more,
    )


def streaming_signature(names=BAD_NAMES, *, learned=False):
    states = tuple(parse_tensor(f"{one}: float32[batch, 2]") for one in names)
    return Signature(
        inputs=(parse_tensor("x: float32[batch, time, 2]"), *states),
        outputs=(
            parse_tensor("y: float32[batch, time, 2]"),
            *(parse_tensor(f"{one}_next: float32[batch, 2]") for one in names),
        ),
        states=tuple(
            StateSpec(name=one, output=f"{one}_next", initial="stored" if learned and one == names[0] else "zeros")
            for one in names
        ),
        ranges=(AxisRange(name="batch"),),
    )


OFFLINE = Signature(
    inputs=(parse_tensor("x: float32[batch, time, 2]"), parse_tensor("lengths: int64[batch]")),
    outputs=(parse_tensor("y: float32[batch, time, 2]"), parse_tensor("seen: int64[batch]")),
    lengths=(LengthsSpec(name="lengths", axis="time"),),
    ranges=(AxisRange(name="batch", maximum=32), AxisRange(name="time")),
)


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory):
    """Writes the bundle: ``make_bundle(name, names=..., learned=..., modes=..., signature=...)``."""

    def make(
        name="small",
        *,
        names=BAD_NAMES,
        learned=False,
        modes=("offline", "streaming"),
        offline=OFFLINE,
        streaming=None,
        chunks=None,
    ):
        path = tmp_path_factory.mktemp("bundle") / f"{name}.rnnx"
        face = streaming or streaming_signature(names, learned=learned)
        variants = [variant("offline")] * ("offline" in modes)
        variants += [variant("streaming", face, chunks=chunks)] * ("streaming" in modes)
        x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
        case = GoldenCase(inputs={"x": x, "lengths": np.array([3, 2])}, outputs={"y": 2 * x, "seen": np.array([3, 2])})
        with staging(path) as folder:
            if "offline" in modes:
                (folder / "fp32-offline.onnx").write_bytes(offline_graph())
            if "streaming" in modes:
                (folder / "fp32-streaming.onnx").write_bytes(streaming_graph(names))
            (folder / GOLDEN).write_bytes(golden_bytes([case]))
            if learned:
                (folder / STATES).write_bytes(npz_bytes({names[0]: np.array([[0.5, -2]], np.float32)}))
            write_manifest(folder, Manifest(name=name, signature=offline, variants=tuple(variants)))
        return path

    return make


@dataclass
class FakeTriton:
    """What Triton does with one model of a repository, by its sources; no more of its rules than are needed here.

    States lie as bytes under sorted input names, the next ones under sorted output names; after a run what stands at
    the same place changes over. A first state without an initial value is whatever was in memory.
    """

    folder: Path
    sequences: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self):
        self.config = parse((self.folder / "config.pbtxt").read_text())
        self.session: Any = cpu_session(str(self.folder / "1" / "model.onnx"))
        self.size = self.config.integer("max_batch_size")
        batching = self.config.messages("sequence_batching")
        self.states = batching[0].messages("state") if batching else []
        self.controls = batching[0].messages("control_input") if batching else []
        self.given = sorted(one.text("input_name") for one in self.states)
        self.made = sorted(one.text("output_name") for one in self.states)
        self.outputs = [one.text("name") for one in self.config.messages("output")]

    def _initial(self):
        values = []
        for name in self.given:
            (state,) = [one for one in self.states if one.text("input_name") == name]
            shape, dtype = [1] * bool(self.size) + state.integers("dims"), DTYPES[state.text("data_type")]
            initial = state.messages("initial_state")
            if initial and initial[0].text("data_file"):
                raw = (self.folder / "initial_state" / initial[0].text("data_file")).read_bytes()
                values.append(np.frombuffer(raw[: math.prod(shape) * np.dtype(dtype).itemsize], dtype).reshape(shape))
            else:
                values.append(np.full(shape, 0 if initial and initial[0].last("zero_data") else 77, dtype))
        return values

    def infer(self, *requests):
        """Answers of requests ``(sequence, inputs, start, end)`` that run together; each has one row."""
        for sequence, _, start, _ in requests:
            assert start or sequence in self.sequences, "must specify the START flag"
            if start:
                self.sequences[sequence] = self._initial()
        assert len(requests) == 1 or len(requests) <= self.size, "more than max_batch_size"
        shapes = [{name: array.shape for name, array in inputs.items()} for _, inputs, _, _ in requests]
        assert all(one == shapes[0] for one in shapes), "only equal shapes run together"
        rows = [dict(inputs) for _, inputs, _, _ in requests]
        for row, (sequence, _, start, end) in zip(rows, requests, strict=True):
            for tensor in self.config.messages("input"):
                if tensor.messages("reshape") and not tensor.messages("reshape")[0].all("shape"):
                    row[tensor.text("name")] = row[tensor.text("name")].reshape(-1)
            row.update(zip(self.given, self.sequences.get(sequence, []), strict=False))
            for control in self.controls:
                (inner,) = control.messages("control")
                flag = {"CONTROL_SEQUENCE_START": start, "CONTROL_SEQUENCE_END": end}[inner.text("kind")]
                value = inner.integers("int32_false_true")[flag]
                row[control.text("name")] = np.full([1] * (2 if self.size else 1), value, np.int32)
        feed = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
        values = dict(zip((names := self.outputs + self.made), self.session.run(names, feed), strict=True))
        answers, at = [], 0
        for sequence, inputs, _, end in requests:
            count = next(iter(inputs.values())).shape[0]
            cut = {name: value[at : at + count] if self.size else value for name, value in values.items()}
            at += count
            if self.given:
                self.sequences[sequence] = [cut[name] for name in self.made]
            if end:
                self.sequences.pop(sequence)
            answers.append({name: cut[name] for name in self.outputs})
        return answers


@pytest.fixture
def fake_triton():
    return FakeTriton
