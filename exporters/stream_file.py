"""``rnnx stream``: any ONNX file with recurrent operators as one that runs chunk by chunk, proven against itself."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from ..atomic import write_atomically
from ..bundle import npz_bytes, write_manifest
from ..errors import ModelFileError, StreamingError
from ..manifest import STATES, Manifest, Variant
from ..runtime.session import load
from ..signature import DTYPES, TIME, AxisRange, Signature, TensorSpec
from .matrix import build_matrix
from .parity import FP32, ParityReport, ask
from .passes.simplify import SimplifyPass
from .streaming import make_streaming, prove_streaming

if TYPE_CHECKING:
    import os

    from ..manifest import Chunks
    from .matrix import Case
    from .parity import Answers
    from .streaming import Streaming

_OFFLINE = "offline.onnx"


@dataclass(frozen=True, kw_only=True, slots=True)
class Streamed:
    """A streaming graph that was written.

    Attributes:
        file: the graph.
        states_file: learned initial values by state name, or None where all start from zeros.
        signature: its face, states among it.
        parity: the given graph against the streaming one, over chunks.
        chunks: how many frames the runs of a stream take, or None for any number; the graph's metadata say it too.
    """

    file: Path
    states_file: Path | None
    signature: Signature
    parity: ParityReport
    chunks: Chunks | None = None


def stream_file(
    model: str | os.PathLike[str], out: str | os.PathLike[str], *, time: str = TIME, overwrite: bool = False
) -> Streamed:
    """Make a streaming graph of an offline one, whoever exported it.

    Args:
        model: an ONNX file whose time axis has a name.
        out: the file to write, whole or not at all; learned initial states go beside it, ``OUT.states.npz``.
        time: name of the time axis.
        overwrite: replace a file that stands there.

    Raises:
        ModelFileError: the file cannot be read, or something stands at ``out``.
        StreamingError: the graph needs the whole of time, or chunks do not give its answers.
    """
    target = Path(out)
    states = target.with_name(f"{target.name}.states.npz")
    for file in (target, states):
        if file.exists() and not overwrite:
            raise ModelFileError(f"'{file}' exists already. Choose another name, or replace it with --force.")
    graph = _read(Path(model))
    signature = _signature(graph, time)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        opset = graph.opset_imports.get("", 0)
        made = make_streaming(graph, signature, folder, opset, time=time, foreign=True)
        ir.save(graph, folder / _OFFLINE)
        if made.learned:
            (folder / STATES).write_bytes(npz_bytes(made.learned))
        offline = Variant(precision="fp32", mode="offline", file=_OFFLINE, opset=opset, tolerance=FP32, operators={})
        write_manifest(folder, Manifest(name=target.stem, signature=signature, variants=(offline, made.variant)))
        cases = _cases(signature, made)
        with load(folder, provider="cpu", threads=1) as session:
            answers = ask(session.run, cases)
        with load(folder, provider="cpu", threads=1, mode="streaming") as session:
            report = prove_streaming(answers, session, signature, made.time)
        if not report.passed:
            raise StreamingError(f"chunks do not give the answers of '{model}': {_why(report, answers)}.")
        # The states first: a graph is never there without the values that it starts from.
        if made.learned:
            write_atomically(states, npz_bytes(made.learned))
        write_atomically(target, (folder / made.variant.file).read_bytes())
        if not made.learned:
            states.unlink(missing_ok=True)  # those of a graph that was replaced
    assert made.variant.signature is not None
    return Streamed(
        file=target,
        states_file=states if made.learned else None,
        signature=made.variant.signature,
        parity=report,
        chunks=made.variant.chunks,
    )


def _cases(signature: Signature, made: Streaming) -> list[Case]:
    """The parity matrix; where frames are taken several at a time, also with whole numbers of those.

    Those too short for one answer are left out: ONNX Runtime's GRU ends the process where a pool leaves it no frame.
    """
    chunks = made.variant.chunks
    least, multiple = (1, 1) if chunks is None else (chunks.least, chunks.multiple)
    cases: list[Case] = []
    for divisor in sorted({1, multiple}):
        allowed = AxisRange(name=made.time, minimum=least, multiple_of=divisor)
        ranges = tuple(allowed if one.name == made.time else one for one in signature.ranges)
        known = [case.sizes for case in cases]
        cases += [one for one in build_matrix(replace(signature, ranges=ranges), traced={}) if one.sizes not in known]
    return cases


def _why(report: ParityReport, answers: Answers) -> str:
    if not report.misses:
        return next(iter(answers.undefined.values()), "there is nothing to compare")
    return report.misses[0].told


def _read(path: Path) -> ir.Model:
    try:
        proto = onnx.load(path)
        for value in proto.graph.input:
            # Axes without a name get one, so that they can be followed through the graph.
            for axis, size in enumerate(value.type.tensor_type.shape.dim):
                if not size.HasField("dim_value") and not size.dim_param:
                    size.dim_param = f"{value.name}_axis{axis}"
        # Amounts of padding and the like are computed from constants in such graphs.
        graph = SimplifyPass()(ir.from_proto(onnx.shape_inference.infer_shapes(proto, data_prop=True))).model
        graph.metadata_props.clear()
    except FileNotFoundError:
        raise ModelFileError(f"the ONNX file '{path}' does not exist. Give the path of a model.") from None
    except Exception as error:
        raise ModelFileError(f"'{path}' cannot be read as ONNX: {type(error).__name__}: {error}") from error
    return graph


def _signature(graph: ir.Model, time: str) -> Signature:
    """The face of a graph as it says it itself."""
    taken = set(graph.graph.initializers)
    inputs = tuple(_spec(value) for value in graph.graph.inputs if value.name not in taken)
    axes = dict.fromkeys(axis for spec in inputs for axis in spec.dynamic_axes)
    if time not in axes:
        there = ", ".join(f"'{axis}'" for axis in axes) or "none"
        raise StreamingError(
            f"no input has a dynamic axis named '{time}'; there are {there}. Name the time axis: --time AXIS."
        )
    outputs = tuple(_spec(value) for value in graph.graph.outputs)
    return Signature(inputs=inputs, outputs=outputs, ranges=tuple(AxisRange(name=axis) for axis in axes)).check()


def _spec(value: ir.Value) -> TensorSpec:
    dtype = str(value.dtype.numpy()) if value.dtype is not None else "none"
    if dtype not in DTYPES or value.shape is None or value.name is None:
        raise ModelFileError(
            f"'{value.name}' has type {value.dtype} and shape {value.shape}, which cannot be streamed."
        )
    axes = tuple(
        size if isinstance(size, int) else str(size.value or f"{value.name}_axis{axis}")
        for axis, size in enumerate(value.shape)
    )
    return TensorSpec(name=value.name, dtype=dtype, axes=axes)
