"""The whole way from a model to a bundle, as stages in one visible tuple."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from ..errors import LoweringError
from .capture import Captured, capture, check_forward, named_size, program_inputs
from .lowering import to_onnx
from .outputs import output_specs
from .passes.fold import FoldPass
from .passes.interface import InterfacePass
from .passes.naming import NamingPass, name_values
from .passes.opset import DEFAULT_OPSET, OpsetPass
from .passes.simplify import LIMIT_BYTES, SimplifyPass, weight_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from ..signature import Signature


TRIMMED_NOTE = "The source unpacks to the longest row; this model keeps the whole padded axis, with padding beyond it."


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One model on its way through the stages.

    Attributes:
        module: the source, in eval mode.
        signature: what is known of its face so far.
        opset: the ONNX operator set to write.
        simplify: whether onnxsim is asked.
        example: sizes for the example that is traced.
        output_names: names for the outputs, or None for the source's own.
        captured: what capture found, from its stage on.
        graph: the ONNX graph, from the stage ``lower`` on.
        notes: what the user should know, one sentence each.
    """

    module: torch.nn.Module
    signature: Signature
    opset: int = DEFAULT_OPSET
    simplify: bool = True
    example: Mapping[str, int] = field(default_factory=dict)
    output_names: Sequence[str] | None = None
    captured: Captured | None = None
    graph: ir.Model | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One step of the way, named for people."""

    name: str
    run: Callable[[Job], Job]


def _capture(job: Job) -> Job:
    check_forward(job.module, job.signature)
    captured = capture(job.module, job.signature, example=job.example)
    outputs = output_specs(job.module, captured, job.output_names)
    notes = [
        f"The model takes {allowed}."
        for allowed in captured.signature.ranges
        if allowed != job.signature.range(allowed.name)
    ]
    if captured.trimmed:
        notes.append(TRIMMED_NOTE)
    notes += [f"{name} is None before its first step; it starts from zeros here." for name in captured.zeroed]
    if captured.needs_sorted_lengths:
        notes.append("The source wants lengths in descending order; this model takes any order.")
    signature = replace(captured.signature, outputs=outputs)
    return replace(job, captured=captured, signature=signature, notes=(*job.notes, *notes))


def _lower(job: Job) -> Job:
    assert job.captured is not None
    return replace(job, graph=to_onnx(job.captured.program))


def _name(job: Job) -> Job:
    assert job.captured is not None
    sources = program_inputs(job.captured.program, job.signature)
    names = {spec.name: source for spec, source in zip(job.signature.inputs, sources, strict=True)}
    symbols = job.captured.symbols
    graph = InterfacePass(job.signature, names, lambda size: named_size(size, symbols))(_graph(job)).model
    return replace(job, graph=NamingPass()(graph).model)


def _fold(job: Job) -> Job:
    return replace(job, graph=FoldPass()(_graph(job)).model)


def _simplify(job: Job) -> Job:
    graph = _graph(job)
    if not job.simplify:
        return replace(job, notes=(*job.notes, "onnxsim was switched off."))
    if weight_bytes(graph) > LIMIT_BYTES // 2:
        # Not silently: onnxsim reads one protocol buffer, and the largest there can be has 2 GB.
        return replace(job, notes=(*job.notes, "onnxsim was not asked: the weights are too large for it."))
    graph = SimplifyPass()(graph).model
    name_values(graph)
    return replace(job, graph=graph)


def _opset(job: Job) -> Job:
    return replace(job, graph=OpsetPass(job.opset)(_graph(job)).model)


def _check(job: Job) -> Job:
    graph = _graph(job)
    stray = sorted({node.domain for node in graph.graph.all_nodes()} - {"", "ai.onnx"})
    if stray:
        raise LoweringError(f"the graph has operators of the domains {', '.join(stray)}, which are not ONNX's own.")
    if weight_bytes(graph) <= LIMIT_BYTES // 2:
        try:
            onnx.checker.check_model(ir.to_proto(graph), full_check=True)
        except Exception as error:
            raise LoweringError(f"the ONNX checker rejects the graph: {error}") from error
    return job


#: From a source to its fp32 offline graph.
STAGES = (
    Stage(name="capture", run=_capture),
    Stage(name="lower", run=_lower),
    Stage(name="name", run=_name),
    Stage(name="fold", run=_fold),
    Stage(name="simplify", run=_simplify),
    Stage(name="opset", run=_opset),
    Stage(name="check", run=_check),
)


def build_graph(job: Job, progress: Callable[[str], None] | None = None) -> Job:
    """Take a job through every stage.

    Raises:
        SignatureError, CaptureError, LoweringError: as the stages do.
    """
    for stage in STAGES:
        if progress is not None:
            progress(stage.name)
        job = stage.run(job)
    return job


def _graph(job: Job) -> ir.Model:
    assert job.graph is not None
    return job.graph
