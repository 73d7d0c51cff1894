"""One cell: all candidates on the same inputs, timed in turns, compared, and held against the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...errors import RnnxError
from .agreement import agreement, wider
from .candidates import OWN, VariantCandidate
from .inputs import make_inputs, misfit, whole_feed
from .intervals import latency, noise, paired_ratio, round_medians
from .machine import joules, preemptions
from .report import Row, Skipped
from .roofline import roofline
from .schedule import let_threads_sleep, measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...exporters.counting import GraphCost
    from ...manifest import Tolerance
    from .agreement import Outputs
    from .candidates import Candidate, Prepared, Spec
    from .ceilings import Ceilings
    from .report import Agreement, Cell
    from .request import Request
    from .roofline import Roofline
    from .schedule import Pace, Timing


def measure_cell(
    candidates: Sequence[Candidate],
    cell: Cell,
    *,
    request: Request,
    bundle: Bundle,
    ceilings: Ceilings | None,
    pace: Pace,
) -> tuple[list[Row], list[Skipped]]:
    """Every candidate in one cell, and those that could not be run there."""
    inputs = make_inputs(bundle.manifest.signature, cell.sizes, seed=request.seed, data=request.data)
    ready: dict[str, tuple[Candidate, Prepared]] = {}
    outputs: dict[str, Mapping[str, NDArray[Any]]] = {}
    skipped: list[Skipped] = []
    for one in candidates:
        name, why = one.spec.name, unfit(one.spec, bundle, cell)
        if why:
            skipped.append(Skipped(candidate=name, where=str(cell), reason=why, failed=False))
            continue
        try:
            prepared = one.prepare(inputs)
            outputs[name] = prepared.outputs()
            ready[name] = (one, prepared)
        except Exception as error:  # noqa: BLE001  (an engine may fail in any way; it is told, and the rest goes on)
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            skipped.append(Skipped(candidate=name, where=str(cell), reason=reason, failed=one.spec.engine == OWN))
    if not ready:
        return [], skipped
    calls = {name: prepared.call for name, (_, prepared) in ready.items()}
    meters: dict[str, Any] = {"meter": joules, "preempted": preemptions}
    if cell.threads == 1:
        timings = measure(calls, pace, seed=request.seed, **meters)
    else:
        timings = measure(calls, pace.with_rests(), seed=request.seed, rest=let_threads_sleep, **meters)
    reference = reference_of([one.spec for one, _ in ready.values()], request.reference)
    if request.reference not in {None, reference.name}:
        told = f"ratios are told against '{reference.name}' here instead"
        skipped.append(Skipped(candidate=str(request.reference), where=str(cell), reason=told, failed=False))
    truth = outputs[reference.name]
    against = bundle.variant(reference.precision, cell.mode, reference.form).tolerance
    costs: dict[tuple[str, str], GraphCost | None] = {}
    rows = []
    for name, (one, _) in ready.items():
        cost = None
        if ceilings is not None and one.spec.provider == "cpu":
            graph = (one.spec.precision, one.spec.form)
            if graph not in costs:
                costs[graph] = _cost(one.spec, bundle, inputs, skipped, cell)
            cost = costs[graph]
        rows.append(
            _row(
                one,
                cell,
                timings[name],
                against=timings[reference.name],
                is_reference=name == reference.name,
                request=request,
                agreed=_agreed(one, truth, outputs[name], bundle=bundle, mode=cell.mode, against=against),
                bound=None if cost is None or ceilings is None else roofline(cost, ceilings),
            )
        )
    return rows, skipped


def unfit(spec: Spec, bundle: Bundle, cell: Cell) -> str:
    """Why a candidate cannot be measured in a cell: its form is made for other sizes; empty where it can."""
    if not spec.form:
        return ""
    return misfit(bundle, bundle.variant(spec.precision, spec.mode, spec.form), cell.sizes)


def reference_of(specs: Sequence[Spec], wanted: str | None) -> Spec:
    """The candidate that ratios are told against.

    That is the one wanted; where it could not be run or none is wanted, bare ONNX Runtime, else the first.
    """
    named = {spec.name: spec for spec in specs}
    if wanted in named:
        return named[wanted]
    return next((spec for spec in specs if spec.engine == "onnxruntime"), specs[0])


def _agreed(
    one: Candidate, truth: Outputs, found: Outputs, *, bundle: Bundle, mode: str, against: Tolerance
) -> Agreement:
    """Whether a candidate gives the reference's answer, or another one that was proven to be as good."""
    variant = bundle.variant(one.spec.precision, mode, one.spec.form)
    tolerance = wider(variant.tolerance, against)
    agreed = agreement(truth, found, signature=bundle.manifest.signature, tolerance=tolerance)
    if isinstance(one, VariantCandidate) and not agreed.agrees:
        return replace(agreed, agrees=one.chooses_rightly())
    return agreed


def _row(
    one: Candidate,
    cell: Cell,
    timing: Timing,
    *,
    against: Timing,
    is_reference: bool,
    request: Request,
    agreed: Agreement,
    bound: Roofline | None,
) -> Row:
    found = latency(timing.rounds)
    medians = round_medians(timing.rounds)
    seconds = found.p50 / 1e3
    period = request.frame_period_ms
    return Row(
        spec=one.spec,
        cell=cell,
        note=one.note,
        latency=found,
        ratio=paired_ratio(against.rounds, timing.rounds, seed=request.seed),
        is_reference=is_reference,
        noise=noise(medians),
        warm_up=timing.warm_up,
        rounds_ms=tuple(medians.tolist()),
        sequences_per_s=cell.batch / seconds,
        frames_per_s=cell.batch * cell.time / seconds,
        # Whatever the batch: its rows pass at the same time.
        real_time_factor=None if period is None else found.p50 / (period * cell.time),
        joules=timing.joules,
        preempted=timing.preempted,
        agreement=agreed,
        roofline=None if bound is None else bound.at(found.p50),
    )


def _cost(
    spec: Spec, bundle: Bundle, inputs: Mapping[str, NDArray[Any]], skipped: list[Skipped], cell: Cell
) -> GraphCost | None:
    from ...exporters.counting import count  # noqa: PLC0415  (it needs onnx, and only a roofline needs it)

    variant = bundle.variant(spec.precision, spec.mode, spec.form)
    try:
        return count(bundle.path / variant.file, whole_feed(bundle, variant, inputs))
    except RnnxError as error:
        reason = f"no roofline: {str(error).splitlines()[0]}"
        skipped.append(Skipped(candidate=spec.name, where=str(cell), reason=reason, failed=False))
        return None
