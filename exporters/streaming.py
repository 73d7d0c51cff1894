"""The streaming variant of an export: the graph, its face, its initial states, and the proof over chunks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..errors import StreamingError
from ..manifest import Variant
from ..runtime.stream import run_in_chunks
from ..signature import BATCH, Signature, StateSpec, TensorSpec
from .bisect import graph_outputs
from .parity import FP32, Answers, ParityReport, judge
from .passes.naming import name_values
from .passes.simplify import LIMIT_BYTES, weight_bytes
from .passes.stream import StreamPass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ..runtime.session import Session

FILE = "fp32-streaming.onnx"
#: Sequences up to this long are also run one step at a time.
_SINGLE_STEPS = 33


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
    graph: ir.Model, signature: Signature, folder: Path, opset: int, *, time: str | None = None
) -> Streaming:
    """Make the streaming graph of an offline one and save it.

    Args:
        graph: the offline graph; it stays as it is.
        signature: its face.
        folder: where the file goes.
        opset: the graph's operator set.
        time: the axis to cut; the signature's own time axis by default.

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
    lengths = tuple(one.name for one in signature.lengths)
    declared = tuple(one.name for one in signature.states)
    stream = StreamPass(time=time, batch=_row_axis(signature, time), lengths=lengths, declared=declared)
    stream(copy)
    learned = _initial_values(graph, signature, stream)
    name_values(copy)
    (folder / FILE).write_bytes(ir.to_proto(copy).SerializeToString(deterministic=True))
    specs = {
        state.name: TensorSpec(name=state.name, dtype=state.dtype, axes=(state.rows, *state.sizes))
        for state in stream.states
    }
    gone = {*lengths, *declared}
    face = Signature(
        inputs=(*(spec for spec in signature.inputs if spec.name not in gone), *specs.values()),
        outputs=(
            *signature.outputs,
            *(replace(specs[state.name], name=state.output) for state in stream.states),
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
    )
    variant = Variant(
        precision="fp32",
        mode="streaming",
        file=FILE,
        opset=opset,
        tolerance=FP32,
        operators=Counter(node.op_type for node in copy.graph.all_nodes()),
        signature=face.check(),
    )
    return Streaming(variant=variant, time=time, learned=learned)


def prove_streaming(answers: Answers, session: Session, signature: Signature, time: str) -> ParityReport:
    """Any way of cutting a sequence gives the whole run's answer: one step at a time, by chance, and not at all.

    Args:
        answers: the source's, over the offline matrix; those with full lengths and absent states are used.
        session: of the streaming variant.
        signature: the offline one, whose outputs are compared.
        time: the axis that is cut.
    """
    usable = [
        i for i, case in enumerate(answers.cases) if case.lengths in {"", "full"} and case.states in {"", "absent"}
    ]
    reports = []
    for chunks in ("all", "random", "1"):
        kept = [i for i in usable if chunks != "1" or answers.cases[i].sizes[time] <= _SINGLE_STEPS]
        cases = [replace(answers.cases[i], chunks=chunks) for i in kept]
        chosen = Answers(cases=cases, references=[answers.references[i] for i in kept], undefined={})

        def run(inputs: Mapping[str, NDArray[Any]], chunks: str = chunks) -> dict[str, NDArray[Any]]:
            return run_in_chunks(session, inputs, _cuts(chunks, _steps(inputs, signature, time)), time)

        reports.append(judge(chosen, run, signature, variant=session.variant.key))
    return replace(reports[0], rows=tuple(row for report in reports for row in report.rows), undefined={})


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


def _row_axis(signature: Signature, time: str) -> str | int:
    """The axis over which each row is a stream: ``batch``, or what stands beside time; 1 without a batch."""
    if BATCH in signature.dynamic_axes:
        return BATCH
    states = {one.name for one in signature.states}
    timed = next(spec for spec in signature.inputs if time in spec.axes and spec.name not in states)
    beside = [axis for axis in timed.axes if isinstance(axis, str) and axis != time]
    return beside[0] if beside else 1


def _initial_values(graph: ir.Model, signature: Signature, stream: StreamPass) -> dict[str, NDArray[Any]]:
    """Initial states that are not zeros, from the offline graph run over one row and one step."""
    given = [state for state in stream.states if state.source is not None]
    if not given:
        return {}
    initializers = graph.graph.initializers
    wanted: set[str | None] = {state.source for state in given if state.source not in initializers}
    computed = graph_outputs(graph, _one_step(signature), wanted)
    values = {}
    for state in given:
        assert state.source is not None
        constant = initializers[state.source].const_value if state.source in initializers else None
        array = constant.numpy() if constant is not None else computed[state.source]
        if np.any(array):
            values[state.name] = np.ascontiguousarray(array.reshape(-1, *state.sizes)[:1]).astype(state.dtype)
    return values


def _one_step(signature: Signature) -> dict[str, NDArray[Any]]:
    """Inputs of the smallest sizes and of values that any model takes: what is asked of them are sizes alone."""
    sizes = {axis: max(signature.range(axis).minimum, 1) for axis in signature.dynamic_axes}
    lengths = {one.name: sizes[one.axis] for one in signature.lengths}
    return {
        spec.name: np.full(
            [sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes],
            lengths.get(spec.name, spec.minimum or 0),
            spec.dtype,
        )
        for spec in signature.inputs
    }
