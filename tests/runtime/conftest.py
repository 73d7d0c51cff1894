"""Tiny seeded bundles, built with the onnx package, and an LSTM in NumPy that judges what they answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.bundle import GoldenCase, golden_bytes, staging, write_manifest
from rnnx.manifest import GOLDEN, Manifest, Tolerance, Variant
from rnnx.signature import AxisRange, LengthsSpec, Signature, StateSpec, parse_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

FEATURES, HIDDEN, VOCABULARY = 3, 4, 11
TOLERANCE = Tolerance(atol=1e-5, floor=1e-3)
ELEMENTS = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
}


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One direction of one LSTM layer in ONNX's form: gates i, o, f, c."""

    w: NDArray[np.float32]  # (1, 4 * hidden, features)
    r: NDArray[np.float32]  # (1, 4 * hidden, hidden)
    b: NDArray[np.float32]  # (1, 8 * hidden)

    def run(
        self,
        x: NDArray[np.float32],
        lengths: Sequence[int] | None = None,
        h_0: NDArray[np.float32] | None = None,
        c_0: NDArray[np.float32] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """The LSTM of the ONNX operator's documentation, in float64, one row of the batch at a time.

        ``x`` is float32 ``(batch, time, features)``; ``y`` comes back ``(batch, time, hidden)``, ``h_n`` and ``c_n``
        ``(1, batch, hidden)``.
        """
        batch, time, _ = x.shape
        y = np.zeros((batch, time, HIDDEN))
        h_n, c_n = np.zeros((1, batch, HIDDEN)), np.zeros((1, batch, HIDDEN))
        bias = (self.b[0, : 4 * HIDDEN] + self.b[0, 4 * HIDDEN :]).astype(np.float64)
        for row in range(batch):
            h = np.zeros(HIDDEN) if h_0 is None else h_0[0, row].astype(np.float64)
            c = np.zeros(HIDDEN) if c_0 is None else c_0[0, row].astype(np.float64)
            for step in range(time if lengths is None else lengths[row]):
                i, o, f, g = np.split(self.w[0] @ x[row, step].astype(np.float64) + self.r[0] @ h + bias, 4)
                c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
                h = np.tanh(c) / (1 + np.exp(-o))
                y[row, step] = h
            h_n[0, row], c_n[0, row] = h, c
        return {name: value.astype(np.float32) for name, value in (("y", y), ("h_n", h_n), ("c_n", c_n))}


@pytest.fixture(scope="session")
def weights() -> Weights:
    """Weights of the LSTM that most bundles here hold."""
    rng = np.random.default_rng(1)
    w, r, b = (
        rng.normal(size=shape, scale=0.6).astype(np.float32)
        for shape in ((1, 4 * HIDDEN, FEATURES), (1, 4 * HIDDEN, HIDDEN), (1, 8 * HIDDEN))
    )
    return Weights(w=w, r=r, b=b)


def write_bundle(
    path: Path,
    signature: Signature,
    nodes: Sequence[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    *,
    golden: Sequence[GoldenCase] = (),
    external: bool = False,
    precisions: Sequence[str] = ("fp32",),
) -> Path:
    """A bundle around one graph, whose inputs and outputs are the signature's."""
    declared = [
        [helper.make_tensor_value_info(one.name, ELEMENTS[one.dtype], list(one.axes)) for one in side]
        for side in (signature.inputs, signature.outputs)
    ]
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", *declared, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    variants = tuple(
        Variant(
            precision=precision,
            mode="offline",
            file=f"{precision}-offline.onnx",
            opset=20,
            tolerance=TOLERANCE,
            operators={"LSTM": 1},
            data_files=(f"{precision}-offline.data",) if external else (),
        )
        for precision in precisions
    )
    with staging(path) as folder:
        for variant in variants:
            onnx.save(
                model,
                folder / variant.file,
                save_as_external_data=external,
                size_threshold=64,
                location=f"{variant.precision}-offline.data" if external else None,
            )
        if golden:
            (folder / GOLDEN).write_bytes(golden_bytes(golden))
        write_manifest(folder, Manifest(name=path.stem, signature=signature.check(), variants=variants))
    return path


@pytest.fixture
def make_bundle() -> Callable[..., Path]:
    """:func:`write_bundle`, for tests in other folders."""
    return write_bundle


def lstm_signature(*, lengths: bool = True, states: bool = True, ranges: Sequence[AxisRange] = ()) -> Signature:
    """Signature of :func:`lstm_nodes`."""
    inputs = [f"features: float32[batch, time, {FEATURES}]"]
    inputs += ["lengths: int64[batch]"] if lengths else []
    inputs += [f"{name}: float32[1, batch, {HIDDEN}]" for name in ("h_0", "c_0")] if states else []
    outputs = [f"y: float32[batch, time, {HIDDEN}]", *(f"{n}: float32[1, batch, {HIDDEN}]" for n in ("h_n", "c_n"))]
    return Signature(
        inputs=tuple(parse_tensor(one) for one in inputs),
        outputs=tuple(parse_tensor(one) for one in outputs),
        lengths=(LengthsSpec(name="lengths", axis="time"),) if lengths else (),
        states=tuple(StateSpec(name=f"{one}_0", output=f"{one}_n") for one in "hc") if states else (),
        ranges=tuple(ranges),
    )


def lstm_nodes(*, lengths: bool = True, states: bool = True) -> list[onnx.NodeProto]:
    """One LSTM, batch first."""
    given = ["counts" if lengths else "", *(("h_0", "c_0") if states else ("", ""))]
    return [
        *([helper.make_node("Cast", ["lengths"], ["counts"], to=TensorProto.INT32)] if lengths else []),
        helper.make_node("Transpose", ["features"], ["x"], perm=[1, 0, 2]),
        helper.make_node("LSTM", ["x", "w", "r", "b", *given], ["all", "h_n", "c_n"], hidden_size=HIDDEN),
        helper.make_node("Squeeze", ["all", "one"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["y"], perm=[1, 0, 2]),
    ]


@pytest.fixture
def make_lstm(tmp_path: Path, weights: Weights) -> Callable[..., Path]:
    """Writes an LSTM bundle: ``make_lstm(lengths=..., states=..., ranges=..., golden=..., external=...)``."""

    def make(
        name: str = "lstm.rnnx",
        *,
        lengths: bool = True,
        states: bool = True,
        ranges: Sequence[AxisRange] = (),
        **options: Any,
    ) -> Path:
        constants = {"w": weights.w, "r": weights.r, "b": weights.b, "one": np.array([1], np.int64)}
        return write_bundle(
            tmp_path / name,
            lstm_signature(lengths=lengths, states=states, ranges=ranges),
            lstm_nodes(lengths=lengths, states=states),
            constants,
            **options,
        )

    return make


@pytest.fixture
def golden(weights: Weights) -> list[GoldenCase]:
    """Golden cases of the LSTM with lengths and states; as torch does, ``y`` ends at the longest row."""
    rng = np.random.default_rng(2)
    cases = []
    for batch, time, lengths in ((1, 1, [1]), (2, 5, [5, 2]), (3, 7, [4, 1, 3])):
        x = rng.normal(size=(batch, time, FEATURES)).astype(np.float32)
        h_0, c_0 = (rng.normal(size=(1, batch, HIDDEN)).astype(np.float32) for _ in "hc")
        outputs = weights.run(x, lengths, h_0, c_0)
        outputs["y"] = outputs["y"][:, : max(lengths)]
        inputs = {"features": x, "lengths": np.array(lengths), "h_0": h_0, "c_0": c_0}
        cases.append(GoldenCase(inputs=inputs, outputs=outputs))
    return cases


@pytest.fixture
def lstm(make_lstm: Callable[..., Path], golden: list[GoldenCase]) -> Path:
    """The LSTM with lengths, states and golden vectors."""
    return make_lstm(golden=golden)


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """An embedding of integers below a bound: ``y[b, t] = table[tokens[b, t]]``, ``table[i] = (i, -i)``."""
    signature = Signature(
        inputs=(parse_tensor(f"tokens: int64[batch, time] >= 1 < {VOCABULARY}"), parse_tensor("lengths: int32[batch]")),
        outputs=(parse_tensor("y: float32[batch, time, 2]"), parse_tensor("seen: int32[batch]")),
        lengths=(LengthsSpec(name="lengths", axis="time"),),
    )
    index = np.arange(VOCABULARY, dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["y"]),
        helper.make_node("Identity", ["lengths"], ["seen"]),
    ]
    return write_bundle(tmp_path / "tokens.rnnx", signature, nodes, {"table": np.stack([index, -index], axis=1)})


@pytest.fixture
def unbounded(tmp_path: Path) -> Path:
    """The embedding without lengths, by a signature that forgot the bound."""
    signature = Signature(
        inputs=(parse_tensor("tokens: int64[batch, time]"),), outputs=(parse_tensor("y: float32[batch, time, 2]"),)
    )
    index = np.arange(VOCABULARY, dtype=np.float32)
    node = helper.make_node("Gather", ["table", "tokens"], ["y"])
    return write_bundle(tmp_path / "unbounded.rnnx", signature, [node], {"table": np.stack([index, -index], axis=1)})


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """Two sequences with lengths of their own, time first, and a flag: everything goes straight through."""
    declared = ["source: float32[time, batch, 2]", "target: float32[batch, steps]", "keep: bool[batch]"]
    declared += ["source_lengths: int64[batch]", "target_lengths: int64[batch]"]
    inputs = tuple(parse_tensor(one) for one in declared)
    outputs = tuple(parse_tensor(one.replace(":", "_out:", 1)) for one in declared)
    signature = Signature(
        inputs=inputs,
        outputs=outputs,
        lengths=(LengthsSpec(name="source_lengths", axis="time"), LengthsSpec(name="target_lengths", axis="steps")),
        ranges=(AxisRange(name="time", minimum=2, maximum=6, multiple_of=2), AxisRange(name="steps", minimum=0)),
    )
    nodes = [helper.make_node("Identity", [one.name], [f"{one.name}_out"]) for one in inputs]
    return write_bundle(tmp_path / "pair.rnnx", signature, nodes, {})
