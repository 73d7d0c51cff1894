"""``quantize``: int8 variants of a bundle within an accuracy budget, or an error that says what each node costs."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..bundle import Bundle, check_target, staging, write_manifest
from ..errors import BudgetError, BundleExistsError, SignatureError
from ..manifest import DESCENDING, PARITY, Quantization
from ..runtime.session import STREAMING, load
from ..runtime.verify import verify
from .budgets import Budget
from .calibration import calibration
from .matrix import build_matrix
from .narrowing import narrow
from .parity import ask, judge, without_loose
from .streaming import prove_streaming
from .trials import PRECISION, WIDEST, Task, Trials, build, declared

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Sequence

    from ..manifest import Tolerance, Variant
    from .matrix import Case
    from .narrowing import Narrowed
    from .parity import ParityReport
    from .passes.int8 import Candidate

#: What may be asked for here.
PRECISIONS = (PRECISION,)
#: How many nodes a message lists.
_LISTED = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeResult:
    """What became of one node.

    Attributes:
        name: the node's.
        operator: its operator in fp32.
        module: qualified name of the source's module, or empty.
        weights: how many numbers its weights are.
        precision: ``int8`` or ``fp32``.
        why: the reason.
        cost: the loss with this node alone in int8, see :attr:`Quantized.scale`; None where it was not measured.
    """

    name: str
    operator: str
    module: str
    weights: int
    precision: str
    why: str
    cost: float | None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; a cost that is not finite, or was not measured, is None."""
        cost = self.cost if self.cost is not None and math.isfinite(self.cost) else None
        return {
            "name": self.name,
            "operator": self.operator,
            "module": self.module,
            "weights": self.weights,
            "precision": self.precision,
            "why": self.why,
            "cost": cost,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantized:
    """What a quantization made.

    Attributes:
        bundle: the bundle on disk.
        budget: what was allowed.
        scale: what the cost of each node is told in.
        loss: what was lost, in the budget's unit.
        data: what it was measured on.
        nodes: what became of each node that has weights.
        parity: the matrix over fp32 and int8, one report for each variant.
        measured: how many sets of nodes were measured, beyond those that an earlier log knew.
    """

    bundle: Bundle
    budget: Budget
    scale: Budget
    loss: float
    data: str
    nodes: tuple[NodeResult, ...]
    parity: tuple[ParityReport, ...]
    measured: int

    @property
    def variants(self) -> list[Variant]:
        """The new variants."""
        return [one for one in self.bundle.manifest.variants if one.precision == PRECISION]

    def to_json(self) -> dict[str, Any]:
        """A JSON-able dict; a loss that is not finite is None."""
        files = self.bundle.manifest.files
        return {
            "bundle": str(self.bundle.path),
            "sha256": self.bundle.sha256,
            "budget": {"kind": self.budget.kind, "limit": self.budget.limit},
            "scale": self.scale.kind,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "data": self.data,
            "measured": self.measured,
            "size_bytes": {
                one.key: sum(files[file].size_bytes for file in (one.file, *one.data_files))
                for one in self.bundle.manifest.variants
            },
            "nodes": [one.to_json() for one in self.nodes],
            "parity": [one.to_json() for one in self.parity],
        }


def quantize(
    path: str | os.PathLike[str],
    *,
    precision: str = PRECISION,
    budget: Budget | None = None,
    data: str | None = None,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    log: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Quantized:
    """Give a bundle variants in a lower precision: as many nodes as the budget allows.

    Args:
        path: a bundle with an fp32 variant.
        precision: ``int8``.
        budget: what may be lost; at least 30 dB of signal to noise by default.
        data: what to measure on, see :func:`rnnx.exporters.calibration.calibration`; the golden vectors by default.
        out: the bundle to write; by default the variants are added to ``path``, which is replaced as a whole.
        overwrite: replace a bundle at ``out``, or int8 variants that ``path`` has already.
        log: a file of measurements, from which a search that was cut off goes on.
        progress: called with a line for each measurement.

    Raises:
        BundleError, VariantError: the bundle cannot be read, has no fp32 variant, or cannot be written there.
        SignatureError: the precision is not known here.
        InputError, SourceError: the data cannot be read or does not fit the model.
        BudgetError: the budget is none, cannot be met, or the metric fails.
    """
    if precision not in PRECISIONS:
        raise SignatureError(f"precision '{precision}' cannot be made here; allowed is {', '.join(PRECISIONS)}.")
    budget = (budget or Budget()).check()
    bundle = Bundle.open(path)
    target = bundle.path if out is None else Path(out)
    _check_free(bundle, target, overwrite=overwrite)
    task = Task(bundle=bundle, budget=budget, data=calibration(bundle, data))
    with Trials(task, None if log is None else Path(log), progress) as trials:
        possible = [one for one in trials.candidates if not one.refusal]
        if not possible:
            raise BudgetError(
                f"'{bundle.path}' has no node whose weights could be held in int8: {_refusals(trials.candidates)}. "
                "Keep it in fp32."
            )
        costs = {one.name: trials.cost(one.name) for one in possible}
        order = sorted(costs, key=lambda name: trials.scale.badness(costs[name]))
        chosen = narrow(order, trials.measure)
        if not chosen.kept:
            raise BudgetError(_unmet(task, trials, costs, chosen))
        with staging(target, overwrite=target.resolve() == bundle.path.resolve() or overwrite) as folder:
            reports, kept, dropped = _prove(bundle, folder, trials, chosen)
            nodes = _results(trials.candidates, costs, kept, {**chosen.refused, **dropped}, budget)
            loss = trials.measure(kept).loss
            entry = Quantization(
                budget=budget.kind,
                limit=budget.limit,
                loss=loss,
                data=task.data.origin,
                metric="" if budget.metric is None else budget.metric.name,
                nodes=len(kept),
                fp32={one.name: one.why for one in nodes if one.precision != PRECISION},
            )
            _write(bundle, folder, trials.variants, kept, reports, entry)
    return Quantized(
        bundle=Bundle.open(target),
        budget=budget,
        scale=trials.scale,
        loss=loss,
        data=task.data.origin,
        nodes=nodes,
        parity=tuple(reports),
        measured=trials.measured,
    )


def _check_free(bundle: Bundle, target: Path, *, overwrite: bool) -> None:
    bundle.variant("fp32")
    if target.resolve() != bundle.path.resolve():
        check_target(target, overwrite=overwrite)
    elif any(one.precision == PRECISION for one in bundle.manifest.variants) and not overwrite:
        raise BundleExistsError(
            f"'{bundle.path}' has {PRECISION} variants already. Replace them with --force, or write another bundle "
            "with -o NAME.rnnx."
        )


def _prove(
    bundle: Bundle, folder: Path, trials: Trials, chosen: Narrowed
) -> tuple[list[ParityReport], list[str], dict[str, str]]:
    """The parity matrix, fp32 against int8; the costliest node goes back to fp32 until it passes."""
    manifest = bundle.manifest
    signature = manifest.signature
    cases = _answerable(bundle, build_matrix(signature, traced={}, descending=bool(manifest.source.get(DESCENDING))))
    with load(bundle.path, provider="cpu", precision="fp32", threads=1) as session:
        answers = ask(session.run, cases)
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    # Of noise, whole numbers say little: near a tie either answer is right. The golden vectors hold them.
    compared = replace(signature, outputs=tuple(one for one in signature.outputs if one.dtype.startswith("float")))
    kept = list(chosen.kept)
    dropped: dict[str, str] = {}
    while True:
        made = build(bundle, folder, trials.variants, kept)
        reports = []
        for variant in made:
            with load(folder, provider="cpu", precision=PRECISION, threads=1, mode=variant.mode) as session:
                if variant.mode != STREAMING:
                    report = judge(answers, session.run, compared, variant=variant.key, tolerance=variant.tolerance)
                else:
                    time = signature.time_axis
                    assert time is not None
                    report = prove_streaming(answers, session, compared, time, tolerance=variant.tolerance)
                reports.append(report)
        misses = [row for report in reports for row in report.misses]
        if not misses:
            golden = verify(folder, provider="cpu", precision=PRECISION).rows
            apart = [(row.max_abs_diff, row.allowed) for row in golden]
            apart += [(row.max_abs_diff, row.allowed) for one in reports for row in one.rows]
            tolerance = declared(WIDEST.atol * found / allowed for found, allowed in apart if allowed)
            return [_held_to(tolerance, one) for one in reports], kept, dropped
        dropped[kept.pop()] = f"the parity matrix: {misses[0].told}"
        if not kept:
            raise BudgetError(f"no node of '{bundle.path}' can be held in int8: {misses[0].told}. Keep it in fp32.")


def _answerable(bundle: Bundle, cases: Sequence[Case]) -> list[Case]:
    """The cases that the source answered when the bundle was made.

    Others must not be run: where a model leaves no frame of a short sequence, ONNX Runtime's GRU ends the process.
    """
    refused: set[str] = set()
    if PARITY in bundle.manifest.files:
        for report in json.loads(bundle.read(PARITY))["reports"]:
            refused |= {*report["undefined"]} if report["variant"] == "fp32-offline" else set()
    least = max((one.chunks.least for one in bundle.manifest.variants if one.chunks is not None), default=0)
    time = bundle.manifest.signature.time_axis
    return [case for case in cases if str(case) not in refused and case.sizes.get(time or "", least) >= least]


def _held_to(tolerance: Tolerance, report: ParityReport) -> ParityReport:
    """A report over the same answers, judged by a tighter tolerance of the same floor."""
    narrower = tolerance.atol / report.tolerance.atol
    rows = tuple(
        replace(row, allowed=row.allowed * narrower, passed=row.max_abs_diff <= row.allowed * narrower)
        for row in report.rows
    )
    return replace(report, tolerance=tolerance, rows=rows)


def _results(
    there: Sequence[Candidate],
    costs: dict[str, float],
    kept: Collection[str],
    refused: dict[str, str],
    budget: Budget,
) -> tuple[NodeResult, ...]:
    return tuple(
        NodeResult(
            name=one.name,
            operator=one.operator,
            module=one.module,
            weights=one.weights,
            precision=PRECISION if one.name in kept else "fp32",
            why=f"within {budget}" if one.name in kept else one.refusal or refused[one.name],
            cost=costs.get(one.name),
        )
        for one in there
    )


def _write(  # noqa: PLR0917  (all of it is one bundle)
    bundle: Bundle,
    folder: Path,
    variants: Sequence[Variant],
    kept: Collection[str],
    reports: Sequence[ParityReport],
    entry: Quantization,
) -> None:
    """The whole bundle: what was there, less older int8 variants, and the new ones."""
    made = [replace(one, quantization=entry) for one in build(bundle, folder, variants, kept, reports[0].tolerance)]
    manifest = bundle.manifest
    gone = {file for one in manifest.variants if one.precision == PRECISION for file in (one.file, *one.data_files)}
    new = {file for one in made for file in (one.file, *one.data_files)}
    for name in manifest.files:
        if name not in gone | new:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
    others = [one for one in manifest.variants if one.precision != PRECISION]
    parity = json.loads((folder / PARITY).read_text(encoding="utf-8")) if (folder / PARITY).is_file() else {}
    keys = {one.key for one in others}
    parity["reports"] = [
        *(one for one in parity.get("reports", []) if one.get("variant") in keys),
        *(one.to_json() for one in reports),
    ]
    (folder / PARITY).write_text(json.dumps(parity, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    write_manifest(folder, replace(manifest, variants=(*others, *made)))


def _unmet(task: Task, trials: Trials, costs: dict[str, float], chosen: Narrowed) -> str:
    operators = {one.name: one.operator for one in trials.candidates}
    listed = sorted(costs, key=lambda name: trials.scale.badness(costs[name]))
    told = [
        f"'{name}' ({operators[name]}) {trials.scale.told(costs[name])}: {chosen.refused[name]}"
        for name in listed[:_LISTED]
    ]
    more = f"; and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return (
        f"no bundle was written: no node of '{task.bundle.path}' can be int8 within the budget of {task.budget}. "
        f"Alone they cost: {'; '.join(told)}{more}. Allow more, or keep the model in fp32."
    )


def _refusals(there: Sequence[Candidate]) -> str:
    return "; ".join(f"'{one.name}' because {one.refusal}" for one in there) or "it has none of 1,024 numbers and more"
