"""``export``: a model becomes a proven bundle, or an error that says why not."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import onnx_ir as ir

from ..bundle import (
    Bundle,
    check_assets,
    check_target,
    golden_bytes,
    npz_bytes,
    staging,
    write_assets,
    write_manifest,
)
from ..errors import ParityError, SessionError, SignatureError, StreamingError
from ..manifest import DESCENDING, GOLDEN, PARITY, STATES, Manifest, Variant
from ..runtime.machine import versions
from ..runtime.session import load
from ..runtime.tasks.fitting import check_description, read_description
from ..signature import BATCH, AxisRange, LengthsSpec, Signature, StateSpec, TensorSpec, parse_lengths, parse_tensor
from .bisect import first_difference
from .capture import check_forward
from .matrix import LOOSE, build_matrix
from .parity import FP32, ask, golden_cases, judge, source_runner, without_loose
from .passes.opset import DEFAULT_OPSET, check_opset
from .passes.simplify import LIMIT_BYTES, weight_bytes
from .pipeline import TRIMMED_NOTE, Job, build_graph
from .rounding import without_undecided
from .rows import row_axis
from .streaming import FILE as STREAMING_FILE
from .streaming import make_streaming, prove_streaming

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from torch import nn

    from .parity import Answers, ParityReport

#: Weights beyond this many bytes go to a file of their own beside the graph.
EXTERNAL_DATA_BYTES = LIMIT_BYTES // 2

_TIGHT_NOTE = (
    "The source's answer depends on where the longest row ends, so padded arrays must end with it; "
    "lists of rows always do."
)

_TOOLS = ("rnnx", "torch", "onnx", "onnx-ir", "onnxscript", "onnxsim", "onnxruntime", "onnxruntime-gpu", "numpy")

_NO_CASE = "'forward' answers no case of whole rows that begin without a state, so there is nothing to compare"
#: What may be asked of streaming.
STREAMING = ("auto", "on", "off")


class _Options(NamedTuple):
    external_data_bytes: int
    streaming: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What an export made.

    Attributes:
        bundle: the bundle on disk.
        parity: what every case of the matrix came to, for the offline variant.
        streaming: the same over chunks, or None where there is no streaming variant.
    """

    bundle: Bundle
    parity: ParityReport
    streaming: ParityReport | None = None


def export(
    model: nn.Module,
    *,
    inputs: Mapping[str, str] | Sequence[str],
    out: str | os.PathLike[str],
    lengths: str | Sequence[str] | None = None,
    states: Mapping[str, str] | Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    ranges: Mapping[str, tuple[int, int | None]] | None = None,
    example: Mapping[str, int] | None = None,
    name: str | None = None,
    opset: int = DEFAULT_OPSET,
    simplify: bool = True,
    streaming: str = "auto",
    overwrite: bool = False,
    origin: Mapping[str, Any] | None = None,
    assets: Mapping[str, bytes] | None = None,
    external_data_bytes: int = EXTERNAL_DATA_BYTES,
    progress: Callable[[str], None] | None = None,
) -> Exported:
    """Export a model as a bundle that has been proven equal to it.

    Args:
        model: the source. It is put into eval mode for the export and back into its own mode afterwards.
        inputs: declarations, ``{"features": "float32[batch, time, 40]"}`` or
            ``["features: float32[batch, time, 40]"]``.
        out: the folder to write, ``NAME.rnnx``. It is written whole or not at all.
        lengths: names of the inputs that hold int64 ``(batch,)`` lengths; ``name:axis`` where the axis is not
            ``time``. They need not be declared among ``inputs``.
        states: declarations of inputs that recur, in the same form; zeros where a caller leaves them out.
        outputs: names for the outputs, nested ones flattened; by default the names that ``forward`` returns.
        ranges: smallest and largest size of dynamic axes, where the model does not take every size from 1.
        example: sizes for the example that is traced, where the model cannot take the default ones.
        name: the model's name; by default the folder's.
        opset: version of the ONNX operators.
        simplify: ask onnxsim.
        streaming: ``on`` for a streaming variant too, ``off`` for none, ``auto`` for one where the model allows it;
            the bundle's notes say why not.
        overwrite: replace a bundle that stands at ``out``.
        origin: what to say in the manifest of where the model came from.
        assets: files that travel in the bundle, by name. ``task.json`` says what the bundle is for
            (:mod:`rnnx.runtime.tasks`); it must fit the model.
        external_data_bytes: weights beyond this many bytes go to a file of their own.
        progress: called with the name of each stage.

    Raises:
        SignatureError: a declaration is wrong, or does not fit ``forward``.
        CaptureError: the model cannot be captured with dynamic axes.
        LoweringError: it has no ONNX form.
        StreamingError: ``streaming`` is ``on`` and the model needs the whole of time.
        ParityError: the graph does not give the model's answers; nothing was written.
        BundleError: the bundle cannot be written there, or an asset's name is none.
        TaskError: ``task.json`` is wrong, or does not fit the model.
    """
    check_target(out, overwrite=overwrite)
    check_assets(assets or {})
    task = read_description(assets or {})
    check_opset(opset)
    if streaming not in STREAMING:
        raise SignatureError(f"streaming is {streaming!r}; it must be one of {', '.join(STREAMING)}.")
    signature = declare(inputs, lengths=lengths, states=states, ranges=ranges)
    was_training = {module for module in model.modules() if module.training}
    model.eval()
    try:
        job = build_graph(
            Job(
                module=model,
                signature=signature,
                opset=opset,
                simplify=simplify,
                example=dict(example or {}),
                output_names=outputs,
            ),
            progress,
        )
        manifest = Manifest(
            name=name or Path(out).name.removesuffix(".rnnx"),
            signature=job.signature,
            variants=(),
            source=dict(origin or {}),
            tools=versions(_TOOLS),
            notes=job.notes,
        )
        with staging(out, overwrite=overwrite) as folder:
            if task is not None:
                check_description(task, job.signature)
            write_assets(folder, assets or {})
            made = _prove_and_write(job, folder, manifest, _Options(external_data_bytes, streaming), progress)
    finally:
        for module in was_training:
            module.training = True
    return Exported(bundle=Bundle.open(out), parity=made[0], streaming=made[1])


def declare(
    inputs: Mapping[str, str] | Sequence[str],
    *,
    lengths: str | Sequence[str] | None = None,
    states: Mapping[str, str] | Sequence[str] | None = None,
    ranges: Mapping[str, tuple[int, int | None]] | None = None,
) -> Signature:
    """A signature from declarations, as :func:`export` takes them.

    Raises:
        SignatureError: a declaration is wrong, or they do not fit together.
    """
    state_specs = _specs(states or ())
    specs = [*_specs(inputs), *state_specs]
    measured: list[LengthsSpec] = []
    for one in [lengths] if isinstance(lengths, str) else lengths or ():
        measured.append(parse_lengths(one, specs))
        if all(spec.name != measured[-1].name for spec in specs):
            rows = row_axis(specs, measured[-1].axis) or BATCH
            specs.append(TensorSpec(name=measured[-1].name, dtype="int64", axes=(rows,), argument=measured[-1].name))
    signature = Signature(
        inputs=tuple(specs),
        lengths=tuple(measured),
        states=tuple(StateSpec(name=spec.name) for spec in state_specs),
        ranges=tuple(_range(axis, *limits) for axis, limits in (ranges or {}).items()),
    ).check()
    for axis in ranges or {}:
        if axis not in signature.dynamic_axes:
            there = ", ".join(f"'{one}'" for one in signature.dynamic_axes)
            raise SignatureError(f"a range is given for the axis '{axis}'; the dynamic axes are {there}.")
    return signature


def prove_bundle(
    path: str | os.PathLike[str],
    module: nn.Module,
    *,
    provider: str = "auto",
    precision: str | None = None,
) -> list[ParityReport]:
    """Run the whole parity matrix of a bundle again, against its source.

    Args:
        path: the bundle's folder.
        module: the source, in eval mode, with the weights that the bundle was made from.
        provider: where to run the bundle.
        precision: only this precision; all by default.

    Returns:
        A report for each offline variant.

    Raises:
        BundleError, ProviderError, VariantError: the bundle cannot be run.
        SignatureError: the source does not take the bundle's inputs.
    """
    bundle = Bundle.open(path)
    signature = bundle.manifest.signature
    check_forward(module, signature)
    variants = [
        one for one in bundle.manifest.variants if one.mode == "offline" and precision in {None, one.precision}
    ] or [bundle.variant(precision or "auto")]
    answers = _ask(module, signature, traced={}, descending=bool(bundle.manifest.source.get(DESCENDING)))
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    reports = []
    for variant in variants:
        with load(path, provider=provider, precision=variant.precision) as session:
            reports.append(judge(answers, session.run, signature, variant=variant.key, tolerance=variant.tolerance))
    return reports


def _prove_and_write(
    job: Job,
    folder: Path,
    manifest: Manifest,
    options: _Options,
    progress: Callable[[str], None] | None,
) -> tuple[ParityReport, ParityReport | None]:
    """Write the variant, run the matrix through the real runtime, and only then the rest of the bundle."""
    captured, graph = job.captured, job.graph
    assert captured is not None
    assert graph is not None
    variant = _save(graph, folder, job.opset, options.external_data_bytes)
    source = dict(manifest.source)
    if captured.needs_sorted_lengths:
        source[DESCENDING] = True
    manifest = replace(manifest, variants=(variant,), source=source)
    write_manifest(folder, manifest)
    if progress is not None:
        progress("parity")
    answers = _ask(job.module, job.signature, traced=captured.example, descending=captured.needs_sorted_lengths)
    # One thread: the proof is then the same on every machine, and small cases do not wait for each other.
    with load(folder, provider="cpu", threads=1) as session:
        report = judge(answers, session.run, job.signature, variant=variant.key)
    if captured.trimmed and report.misses and all(row.lengths in LOOSE for row in report.misses):
        # The source cuts its answer after the longest row and then looks at all of it (a mean over time, say). With
        # arrays that end with the longest row the two are equal, so that is what the bundle asks for.
        answers = without_loose(answers)
        report = replace(report, rows=tuple(row for row in report.rows if row.lengths not in LOOSE))
        tight = tuple(replace(one, tight=True) for one in job.signature.lengths)
        notes = tuple(_TIGHT_NOTE if note == TRIMMED_NOTE else note for note in manifest.notes)
        manifest = replace(manifest, signature=replace(job.signature, lengths=tight), notes=notes)
    if not report.passed:
        raise ParityError(_explain(job, report, answers))
    streamed = None
    if options.streaming != "off":
        if progress is not None:
            progress("stream")
        manifest, streamed = _add_streaming(job, folder, manifest, answers, required=options.streaming == "on")
    if progress is not None:
        progress("write")
    (folder / GOLDEN).write_bytes(golden_bytes(golden_cases(answers)))
    text = (
        json.dumps(
            {"reports": [one.to_json() for one in (report, streamed) if one is not None]}, indent=1, allow_nan=False
        )
        + "\n"
    )
    (folder / PARITY).write_text(text, encoding="utf-8")
    write_manifest(folder, manifest)
    return report, streamed


def _add_streaming(
    job: Job, folder: Path, manifest: Manifest, answers: Answers, *, required: bool
) -> tuple[Manifest, ParityReport | None]:
    """The manifest with a streaming variant that was proven, or with a note that says why there is none."""
    try:
        return _prove_streaming(job, folder, manifest, answers)
    except StreamingError as error:
        if required:
            raise
        for file in (STREAMING_FILE, STATES):
            (folder / file).unlink(missing_ok=True)
        return replace(manifest, notes=(*manifest.notes, f"No streaming variant: {error}")), None


def _prove_streaming(job: Job, folder: Path, manifest: Manifest, answers: Answers) -> tuple[Manifest, ParityReport]:
    assert job.graph is not None
    made = make_streaming(job.graph, job.signature, folder, job.opset)
    if made.learned:
        (folder / STATES).write_bytes(npz_bytes(made.learned))
    both = replace(manifest, variants=(*manifest.variants, made.variant))
    write_manifest(folder, both)
    try:
        with load(folder, provider="cpu", threads=1, mode="streaming") as session:
            report = prove_streaming(answers, session, job.signature, made.time)
    except SessionError as error:
        raise StreamingError(f"the streaming graph does not load: {error}") from error
    if not report.passed:
        what = report.misses[0].told if report.misses else _NO_CASE
        raise StreamingError(f"chunks do not give the whole run's answer: {what}.")
    if made.variant.chunks is not None:
        both = replace(both, notes=(*both.notes, f"Streaming: {made.variant.chunks}."))
    return both, report


def _ask(module: nn.Module, signature: Signature, *, traced: Mapping[str, int], descending: bool) -> Answers:
    cases = build_matrix(signature, traced=traced, descending=descending)
    source = source_runner(module, signature)
    return without_undecided(ask(source, cases), source, module, signature)


def _explain(job: Job, report: ParityReport, answers: Answers) -> str:
    """Which case, which output, how far, and where it begins."""
    if not report.rows:
        first = next(iter(report.undefined.values()), "no case fits the declared ranges")
        return (
            f"no bundle was written: the source refuses all {len(report.undefined)} cases of the parity matrix, such "
            f"as with '{first}'. Declare the sizes that it takes: --range time=4:64."
        )
    worst = report.misses[0]
    case = next(one for one in answers.cases if str(one) == worst.case)
    distance = worst.reason or (
        f"max_abs_diff {worst.max_abs_diff:.3g} at {worst.index}, allowed is {worst.allowed:.3g}"
    )
    where = ""
    assert job.graph is not None
    if all(spec.name in case.inputs for spec in job.signature.inputs) and weight_bytes(job.graph) < LIMIT_BYTES // 2:
        where = " " + first_difference(job.module, job.signature, job.graph, case.inputs, report.tolerance)
    for name in job.captured.zeroed if job.captured is not None else ():
        where += f" What is None at first starts from zeros here ({name}): if its first step does otherwise, begin so."
    missed = len({row.case for row in report.misses})
    total = len({row.case for row in report.rows})
    return (
        f"no bundle was written: {missed} of {total} cases differ from the source. The farthest is output "
        f"'{worst.output}' at {worst.case}: {distance}.{where}"
    )


def _save(graph: ir.Model, folder: Path, opset: int, external_data_bytes: int) -> Variant:
    file = "fp32-offline.onnx"
    data_files: tuple[str, ...] = ()
    if weight_bytes(graph) > external_data_bytes:
        data_files = (f"{file}.data",)
        ir.save(graph, folder / file, external_data=data_files[0])
    else:
        (folder / file).write_bytes(ir.to_proto(graph).SerializeToString(deterministic=True))
    return Variant(
        precision="fp32",
        mode="offline",
        file=file,
        opset=opset,
        tolerance=FP32,
        operators=Counter(node.op_type for node in graph.graph.all_nodes()),
        data_files=data_files,
    )


def _specs(declarations: Mapping[str, str] | Sequence[str]) -> list[TensorSpec]:
    if isinstance(declarations, str):
        declarations = [declarations]
    if hasattr(declarations, "items"):
        declarations = [f"{key}: {value}" for key, value in declarations.items()]
    return [parse_tensor(one) for one in declarations]


def _range(axis: str, minimum: int, maximum: int | None) -> AxisRange:
    if minimum < 1 or (maximum is not None and maximum < minimum):
        raise SignatureError(
            f"the range {minimum} to {maximum} of the axis '{axis}' is empty or begins below 1. Write 'time=1:64'."
        )
    return AxisRange(name=axis, minimum=minimum, maximum=maximum)
