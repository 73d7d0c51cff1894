"""A model whose answers are easy to say by hand, offline and streaming, behind a service without a transport."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rnnx.bundle import GoldenCase, golden_bytes, staging, write_manifest
from rnnx.manifest import GOLDEN, Chunks, Manifest, Tolerance, Variant
from rnnx.runtime.serving.model import ModelOptions
from rnnx.runtime.serving.protocol.request import InferRequest, RequestedOutput, Sequence
from rnnx.runtime.serving.repository import Repository
from rnnx.runtime.serving.service import Service
from rnnx.signature import Signature, StateSpec, parse_tensor

HIDDEN = 3
DECAY = 0.5
#: Frames are run two at a time, so that one may wait.
PAIRS = Chunks(axis="time", multiple=2, first=2, last=1, least=1)


def leaky(decay, *, streaming):
    """``s' = decay * s + x`` for every step, as a Scan."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Mul", ["s", "decay"], ["kept"]),
            helper.make_node("Add", ["kept", "x_t"], ["s_next"]),
            helper.make_node("Identity", ["s_next"], ["y_t"]),
        ],
        "body",
        [info(name, TensorProto.FLOAT, [None, HIDDEN]) for name in ("s", "x_t")],
        [info(name, TensorProto.FLOAT, [None, HIDDEN]) for name in ("s_next", "y_t")],
    )
    names = {"body": body, "num_scan_inputs": 1, "scan_input_axes": [1], "scan_output_axes": [1]}
    nodes = [helper.make_node("Scan", ["sum", "x"], ["sum_next", "y"], **names)]
    inputs = [info("x", TensorProto.FLOAT, ["batch", "time", HIDDEN])]
    outputs = [info("y", TensorProto.FLOAT, ["batch", "time", HIDDEN])]
    constants = {"decay": np.array([decay], np.float32)}
    if streaming:
        inputs.append(info("sum", TensorProto.FLOAT, ["batch", HIDDEN]))
        outputs.append(info("sum_next", TensorProto.FLOAT, ["batch", HIDDEN]))
    else:
        nodes = [
            helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
            helper.make_node("Concat", ["rows", "hidden"], ["shape"], axis=0),
            helper.make_node("ConstantOfShape", ["shape"], ["sum"], value=numpy_helper.from_array(np.zeros(1, "f4"))),
            *nodes,
        ]
        constants["hidden"] = np.array([HIDDEN], np.int64)
    stored = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "leaky", inputs, outputs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()


def by_hand(x, decay=DECAY, start=0.0):
    """float32 ``(batch, time, hidden)`` of leaky sums, in float64."""
    total, answers = np.zeros((x.shape[0], HIDDEN)) + start, []
    for t in range(x.shape[1]):
        total = total * decay + x[:, t]
        answers.append(total)
    return np.stack(answers, 1).astype(np.float32)


def write_leaky(
    path,
    *,
    decay=DECAY,
    modes=("offline", "streaming"),
    chunks=None,
    proven_decay=None,
    golden=True,
    own="",
    extra=(),
    overwrite=False,
):
    """A bundle; ``proven_decay`` gives golden vectors of another model, so that it does not pass them.

    ``own`` names a file of ``extra`` that holds golden vectors of the variants' own.
    """
    x, y = (parse_tensor(f"{name}: float32[batch, time, {HIDDEN}]") for name in "xy")
    kept, following = (parse_tensor(f"{name}: float32[batch, {HIDDEN}]") for name in ("sum", "sum_next"))
    face = Signature(inputs=(x,), outputs=(y,))
    stream = Signature(inputs=(x, kept), outputs=(y, following), states=(StateSpec(name="sum", output="sum_next"),))
    variants = tuple(
        Variant(
            precision="fp32",
            mode=mode,
            file=f"fp32-{mode}.onnx",
            opset=20,
            tolerance=Tolerance(atol=1e-5, floor=1e-3),
            operators={"Scan": 1},
            signature=stream if mode == "streaming" else None,
            chunks=chunks if mode == "streaming" else None,
            golden=own,
        )
        for mode in modes
    )
    given = np.random.default_rng(3).standard_normal((2, 5, HIDDEN)).astype(np.float32)
    case = GoldenCase(inputs={"x": given}, outputs={"y": by_hand(given, proven_decay or decay)})
    with staging(path, overwrite=overwrite) as folder:
        for one in variants:
            (folder / one.file).write_bytes(leaky(decay, streaming=one.mode == "streaming"))
        if golden:
            (folder / GOLDEN).write_bytes(golden_bytes([case]))
        for name, content in dict(extra).items():
            (folder / name).write_bytes(content)
        write_manifest(folder, Manifest(name=path.stem, signature=face, variants=variants))
    return path


@pytest.fixture(scope="session")
def leaky_path(tmp_path_factory):
    """A bundle with both variants, which no test changes."""
    return write_leaky(tmp_path_factory.mktemp("bundles") / "leaky.rnnx")


@asynccontextmanager
async def serving(*paths, folder=None, repository_options=None, service_options=None, **options):
    """A service of these bundles, loaded."""
    named = {path.stem: path for path in paths}
    models = ModelOptions(provider="cpu", **options)
    repository = Repository(named, folder=folder, options=models, **(repository_options or {}))
    await repository.load_all()
    try:
        yield Service(repository, **(service_options or {}))
    finally:
        await repository.close()


def request(x=None, *, model="leaky", sequence=None, outputs=(), **options):
    """A request; ``sequence`` is an id, with ``start`` and ``end`` behind it: ``(7, "start", "end")``."""
    inputs = options.pop("inputs", {} if x is None else {"x": x})
    if sequence is not None:
        sequence = Sequence(id=sequence[0], start="start" in sequence, end="end" in sequence)
    asked = tuple(RequestedOutput(name=name) for name in outputs)
    return InferRequest(model=model, inputs=inputs, sequence=sequence, outputs=asked, **options)


def frames(time, batch=1, seed=0):
    """float32 ``(batch, time, hidden)``."""
    return np.random.default_rng(seed).standard_normal((batch, time, HIDDEN)).astype(np.float32)


def run(coroutine):
    """Run a test's coroutine."""
    return asyncio.run(coroutine)


@pytest.fixture(scope="session")
def kit():
    """What tests here share; a conftest.py cannot be imported."""
    return SimpleNamespace(
        by_hand=by_hand, frames=frames, request=request, run=run, serving=serving, write=write_leaky, PAIRS=PAIRS
    )
