"""The streaming variant of an export: the graph, its face, its initial states, and the proof over chunks."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..errors import StreamingError
from ..manifest import Variant
from ..runtime.casting import cast_inputs, cast_outputs
from ..runtime.stream import run_in_chunks
from ..signature import BATCH, Signature, StateSpec, TensorSpec
from .bisect import graph_outputs
from .parity import FP32, Answers, ParityReport, judge
from .passes.naming import name_values
from .passes.simplify import LIMIT_BYTES, weight_bytes
from .passes.stream import StreamPass
from .passes.stream_lengths import masks_of
from .passes.stream_windows import has_windows
from .rows import row_axis
from .stream_probe import name_sizes

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..manifest import Tolerance
    from ..runtime.session import Session
    from .matrix import Case
    from .parity import Runner

FILE = "fp32-streaming.onnx"
#: Where the file itself says how many frames its runs take.
CHUNKS = "rnnx.chunks"
_NAMES = re.compile(r"[A-Za-z_?]\w*")
#: Sequences up to this long are also run one step at a time.
_LONGEST_IN_STEPS = 33
#: How sequences are cut to prove a stream: not at all, by chance, and before every frame.
EVERY_CUT = ("all", "random", "1")
SINGLE_STEPS = ("1",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Streaming:
    """A streaming variant on disk, not proven yet.

    Attributes:
        variant: what the manifest says of it.
        time: the axis that is cut into chunks.
        learned: initial values that are not zeros, ``(1, ...)`` by state name.
    """

    variant: Variant
    time: str
    learned: Mapping[str, NDArray[Any]]


def make_streaming(
    graph: ir.Model, signature: Signature, folder: Path, opset: int, *, time: str | None = None, foreign: bool = False
) -> Streaming:
    """Make the streaming graph of an offline one and save it.

    Args:
        graph: the offline graph; it stays as it is.
        signature: its face.
        folder: where the file goes.
        opset: the graph's operator set.
        time: the axis to cut; the signature's own time axis by default.
        foreign: another exporter made the graph, so that names of sizes may be wrong.

    Raises:
        StreamingError: the model needs the whole of time, or there is no axis to cut.
    """
    time = time or signature.time_axis
    if time is None:
        there = ", ".join(f"'{axis}'" for axis in signature.dynamic_axes) or "none"
        raise StreamingError(f"which axis is cut into chunks cannot be told; the dynamic axes are {there}.")
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        raise StreamingError("the weights are too large for a second graph beside the first.")
    copy = ir.from_proto(ir.to_proto(graph))
    if any(value.shape is None for node in copy.graph for value in node.outputs if value.name):
        ir.passes.common.ShapeInferencePass()(copy)
    stream = _passed(copy, signature, time, foreign=foreign)
    learned = _initial_values(graph, signature, stream, time)
    name_values(copy)
    if stream.chunks is not None:
        # For those who run the file without a manifest.
        copy.metadata_props[CHUNKS] = json.dumps(stream.chunks.to_json())
    (folder / FILE).write_bytes(ir.to_proto(copy).SerializeToString(deterministic=True))
    outputs = {value.name: _axes(value) for value in copy.graph.outputs}
    if not foreign and stream.chunks is None:
        outputs = {}
    variant = Variant(
        precision="fp32",
        mode="streaming",
        file=FILE,
        opset=opset,
        tolerance=FP32,
        operators=Counter(node.op_type for node in copy.graph.all_nodes()),
        signature=_face(signature, stream, time, learned=set(learned), outputs=outputs),
        chunks=stream.chunks,
    )
    return Streaming(variant=variant, time=time, learned=learned)


def _passed(copy: ir.Model, signature: Signature, time: str, *, foreign: bool) -> StreamPass:
    """The pass, after it turned ``copy`` into a streaming graph."""
    lengths = tuple(one.name for one in signature.lengths)
    rows = _rows(signature, time)
    masks: dict[str, bool] = {}
    if foreign or not _sizes_are_named(copy, signature) or (lengths and has_windows(copy.graph, time)):
        masks = name_sizes(copy, signature, time, rows, masks_of(copy.graph, lengths))
    stream = StreamPass(
        time=time,
        batch=rows,
        lengths=lengths,
        declared=tuple(one.name for one in signature.states),
        masks=masks if has_windows(copy.graph, time) else {},
    )
    stream(copy)
    return stream


def _face(
    signature: Signature,
    stream: StreamPass,
    time: str,
    *,
    learned: Container[str],
    outputs: Mapping[str | None, tuple[int | str, ...]],
) -> Signature:
    """The streaming graph's signature; ``outputs`` has the axes of those that have others than offline."""
    specs = {
        state.name: TensorSpec(name=state.name, dtype=state.dtype, axes=(state.rows, *state.sizes))
        for state in stream.states
    }
    gone = {*(one.name for one in signature.lengths), *signature.state_names}
    return Signature(
        inputs=(*(spec for spec in signature.inputs if spec.name not in gone), *specs.values()),
        outputs=(
            *(replace(spec, axes=outputs.get(spec.name, spec.axes)) for spec in signature.outputs),
            *(replace(specs[state.name], name=state.output) for state in stream.states if state.output is not None),
        ),
        states=tuple(
            StateSpec(
                name=state.name,
                initial="stored" if state.name in learned else "zeros",
                output=state.output,
                meaning=state.meaning,
            )
            for state in stream.states
        ),
        # A chunk may be of any size: what the source needs of the whole, the state carries.
        ranges=tuple(one for one in signature.ranges if one.name != time),
    ).check()


def prove_streaming(
    answers: Answers,
    session: Session,
    signature: Signature,
    time: str,
    *,
    tolerance: Tolerance = FP32,
    cuts: Sequence[str] = EVERY_CUT,
) -> ParityReport:
    """Any way of cutting a sequence gives the whole run's answer: one step at a time, by chance, and not at all.

    Sequences that are too short for a single answer of the graph are left out: ONNX Runtime's pools answer even then,
    from what is not there.

    Args:
        answers: the source's, over the offline matrix; those with full lengths and absent states are used.
        session: of the streaming variant.
        signature: the offline one, whose outputs are compared.
        time: the axis that is cut.
        tolerance: how far floats may be apart.
        cuts: out of :data:`EVERY_CUT`.
    """
    least = 1 if session.variant.chunks is None else session.variant.chunks.least
    reports = []
    for chunks in cuts:
        kept = [i for i, case in enumerate(answers.cases) if streams(case, time, chunks, least=least)]
        cases = [replace(answers.cases[i], chunks=chunks) for i in kept]
        chosen = Answers(cases=cases, references=[answers.references[i] for i in kept], undefined={})
        run = cut_run(session, signature, time, chunks)
        reports.append(judge(chosen, run, signature, variant=session.variant.key, tolerance=tolerance))
    return replace(reports[0], rows=tuple(row for report in reports for row in report.rows), undefined={})


def streams(case: Case, time: str, chunks: str, *, least: int = 1) -> bool:
    """Whether a stream, cut like this, can be held against a case: whole rows from the stream's own beginning."""
    whole = case.lengths in {"", "full"} and case.states in {"", "absent"} and case.sizes[time] >= least
    return whole and (chunks not in SINGLE_STEPS or case.sizes[time] <= _LONGEST_IN_STEPS)


def cut_run(session: Session, signature: Signature, time: str, chunks: str) -> Runner:
    """A streaming variant as a runner of whole sequences, which it is pushed in chunks.

    Args:
        session: of the streaming variant.
        signature: the offline one.
        time: the axis that is cut.
        chunks: how, out of :data:`EVERY_CUT`.
    """

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        given = cast_inputs(session.signature, inputs)
        answer = run_in_chunks(session, given, _cuts(chunks, _steps(inputs, signature, time)), time)
        return cast_outputs(signature, answer)

    return run


def _cuts(chunks: str, steps: int) -> Sequence[int]:
    if chunks == "all":
        return ()
    if chunks == "1":
        return range(1, steps)
    generator = np.random.default_rng(steps)
    return sorted({int(one) for one in generator.integers(1, max(steps, 2), 1 + steps // 5)} - {steps})


def _steps(inputs: Mapping[str, NDArray[Any]], signature: Signature, time: str) -> int:
    timed = next(spec for spec in signature.inputs if time in spec.axes)
    steps: int = inputs[timed.name].shape[timed.axes.index(time)]
    return steps


def _sizes_are_named(graph: ir.Model, signature: Signature) -> bool:
    """Whether every size in the graph is a number or said in the names of the inputs' axes."""
    known = set(signature.dynamic_axes)
    shapes = [value.shape for node in graph.graph for value in node.outputs if value.name and value.type is not None]
    return all(
        shape is not None
        and all(isinstance(size, int) or set(_NAMES.findall(str(size.value or "?"))) <= known for size in shape)
        for shape in shapes
    )


def _axes(value: ir.Value) -> tuple[int | str, ...]:
    return tuple(
        size if isinstance(size, int) else str(size.value or f"{value.name}_axis{axis}")
        for axis, size in enumerate(value.shape or ())
    )


def _rows(signature: Signature, time: str) -> str | int:
    """The axis over which each row is a stream: ``batch``, or what stands beside time; 1 without a batch."""
    if BATCH in signature.dynamic_axes:
        return BATCH
    states = signature.state_names
    found = row_axis([spec for spec in signature.inputs if spec.name not in states], time)
    return found if isinstance(found, str) else 1


def _initial_values(graph: ir.Model, signature: Signature, stream: StreamPass, time: str) -> dict[str, NDArray[Any]]:
    """Initial states that are not zeros, from the offline graph run over one row and as few steps as it takes."""
    given = [state for state in stream.states if state.source is not None]
    if not given:
        return {}
    initializers = graph.graph.initializers
    wanted: set[str | None] = {state.source for state in given if state.source not in initializers}
    steps = 1 if stream.chunks is None else stream.chunks.first
    computed = graph_outputs(graph, _few_steps(signature, {time: steps}), wanted)
    values = {}
    for state in given:
        assert state.source is not None
        constant = initializers[state.source].const_value if state.source in initializers else None
        array = constant.numpy() if constant is not None else computed[state.source]
        if np.any(array):
            values[state.name] = np.ascontiguousarray(array.reshape(-1, *state.sizes)[:1]).astype(state.dtype)
    return values


def _few_steps(signature: Signature, at_least: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """Inputs of the smallest sizes and of values that any model takes: what is asked of them are sizes alone."""
    sizes = {axis: max(signature.range(axis).minimum, at_least.get(axis, 1)) for axis in signature.dynamic_axes}
    lengths = {one.name: sizes[one.axis] for one in signature.lengths}
    return {
        spec.name: np.full(
            [sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes],
            lengths.get(spec.name, spec.minimum or 0),
            spec.dtype,
        )
        for spec in signature.inputs
    }
