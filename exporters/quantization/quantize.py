"""``quantize``: variants of lower precision within an accuracy budget, or an error that says what each node costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundle import Bundle, check_target, staging, write_manifest
from ...errors import BudgetError, BundleExistsError, LoweringError, SignatureError
from ...manifest import PARITY
from ...precision import Quantization
from ...runtime.verify import verify
from .budgets import Budget
from .building import build
from .calibration import calibration
from .narrowing import Narrowed, narrow
from .proving import prove
from .recipes import FP16, INT8, PRECISIONS
from .results import NodeResult, Quantized
from .trials import Task, Trials

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection, Mapping, Sequence

    from ...manifest import Variant
    from ..passes.int8 import Candidate
    from .calibration import Calibration
    from .proving import Proof

#: How many nodes a message lists.
_LISTED = 12


def quantize(
    path: str | os.PathLike[str],
    *,
    precision: str = INT8,
    budget: Budget | None = None,
    data: str | Calibration | None = None,
    interface: bool = False,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    log: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Quantized:
    """Give a bundle variants in a lower precision: as many nodes as the budget allows.

    Args:
        path: a bundle with an fp32 variant.
        precision: ``int8``, or ``fp16``, which is made for GPUs.
        budget: what may be lost; at least 30 dB of signal to noise by default.
        data: what to measure on, see :func:`.calibration.calibration`; the golden vectors by default.
        interface: fp16 only: inputs, outputs and states are float16 too, but for those that were measured beyond what
            float16 safely holds.
        out: the bundle to write; by default the variants are added to ``path``, which is replaced as a whole.
        overwrite: replace a bundle at ``out``, or variants of that precision that ``path`` has already.
        log: a file of measurements, from which a search that was cut off goes on.
        progress: called with a line for each measurement.

    Raises:
        BundleError, VariantError: the bundle cannot be read, has no fp32 variant, or cannot be written there.
        SignatureError: the precision is not known here, or has no interface of its own.
        InputError, SourceError: the data cannot be read or does not fit the model.
        BudgetError: the budget is none, cannot be met, or the metric fails.
    """
    if precision not in PRECISIONS:
        raise SignatureError(f"precision '{precision}' cannot be made here; allowed are {', '.join(PRECISIONS)}.")
    if interface and precision != FP16:
        raise SignatureError(
            f"a float16 interface belongs to precision '{FP16}'; inputs, outputs and states of '{precision}', which is "
            f"asked for, are float32. Ask for '{FP16}', or leave the interface as it is."
        )
    budget = (budget or Budget()).check()
    bundle = Bundle.open(path)
    target = bundle.path if out is None else Path(out)
    _check_free(bundle, target, precision, overwrite=overwrite)
    task = Task(bundle=bundle, budget=budget, data=calibration(bundle, data), precision=precision, interface=interface)
    with Trials(task, None if log is None else Path(log), progress) as trials:
        chosen = _chosen(task, trials)
        with staging(target, overwrite=target.resolve() == bundle.path.resolve() or overwrite) as folder:
            proof = prove(bundle, folder, trials, chosen.kept)
            nodes = _results(trials, proof.kept, {**chosen.refused, **proof.dropped}, budget)
            loss = trials.measure(proof.kept).loss
            entry = Quantization(
                budget=budget.kind,
                limit=budget.limit,
                loss=loss,
                data=task.data.origin,
                metric="" if budget.metric is None else budget.metric.name,
                nodes=len(proof.kept),
                fp32={one.name: one.why for one in nodes if one.precision != precision},
                reference=trials.baseline,
                reached=trials.reached(loss),
                agreement=proof.agreement,
            )
            _write(bundle, folder, trials, proof, entry)
    return Quantized(
        bundle=Bundle.open(target),
        precision=precision,
        budget=budget,
        scale=trials.scale,
        loss=loss,
        data=task.data.origin,
        nodes=nodes,
        parity=tuple(proof.reports),
        entry=entry,
        measured=trials.measured,
    )


def _chosen(task: Task, trials: Trials) -> Narrowed:
    """The nodes to take.

    Raises:
        BudgetError: there are none, or none fits the budget.
    """
    possible = [one.name for one in trials.candidates if not one.refusal]
    if not possible:
        raise BudgetError(
            f"'{task.bundle.path}' has no node whose weights could be held in {task.precision}: "
            f"{_refusals(trials.candidates)}. Keep it in fp32."
        )
    if trials.recipe.eager:
        everything = trials.measure(possible)
        if everything.fits:
            return Narrowed(kept=tuple(possible), found=everything, refused={})
    chosen = narrow(trials.ordered(possible), trials.measure)
    if not chosen.kept:
        raise BudgetError(_unmet(task, trials, chosen))
    return chosen


def _check_free(bundle: Bundle, target: Path, precision: str, *, overwrite: bool) -> None:
    bundle.variant("fp32")
    if target.resolve() != bundle.path.resolve():
        check_target(target, overwrite=overwrite)
    elif any(one.precision == precision for one in bundle.manifest.variants) and not overwrite:
        raise BundleExistsError(
            f"'{bundle.path}' has {precision} variants already. Replace them with --force, or write another bundle "
            "with -o NAME.rnnx."
        )


def _results(
    trials: Trials, kept: Collection[str], refused: Mapping[str, str], budget: Budget
) -> tuple[NodeResult, ...]:
    costs = trials.costs
    return tuple(
        NodeResult(
            name=one.name,
            operator=one.operator,
            module=one.module,
            weights=one.weights,
            precision=trials.recipe.precision if one.name in kept else "fp32",
            why=f"within {budget}" if one.name in kept else one.refusal or refused[one.name],
            cost=costs.get(one.name),
        )
        for one in trials.candidates
    )


def _write(bundle: Bundle, folder: Path, trials: Trials, proof: Proof, entry: Quantization) -> None:
    """The whole bundle: what was there, less older variants of the precision, and the new ones."""
    recipe, precision = trials.recipe, trials.recipe.precision
    # An earlier build may have left weights beside its graphs, which this one does not have.
    for one in folder.iterdir():
        one.unlink()
    new = build(
        bundle,
        folder,
        trials.variants,
        proof.kept,
        recipe,
        tolerance=proof.tolerance,
        interface=recipe.interface,
        golden=proof.golden,
    )
    if recipe.twin or proof.golden:
        _check_shipped(folder, precision)
    made = [replace(one, quantization=entry) for one in new]
    manifest = bundle.manifest
    gone = {file for one in manifest.variants if one.precision == precision for file in _files(one)}
    there = {file for one in made for file in _files(one)}
    bundle.copy_files([name for name in manifest.files if name not in gone | there], folder)
    others = [one for one in manifest.variants if one.precision != precision]
    parity = json.loads((folder / PARITY).read_text(encoding="utf-8")) if (folder / PARITY).is_file() else {}
    keys = {one.key for one in others}
    parity["reports"] = [
        *(one for one in parity.get("reports", []) if one.get("variant") in keys),
        *(one.to_json() for one in proof.reports),
    ]
    (folder / PARITY).write_text(json.dumps(parity, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    notes = (*(one for one in manifest.notes if one != recipe.note), *([recipe.note] if recipe.note else []))
    write_manifest(folder, replace(manifest, variants=(*others, *made), notes=notes))


def _files(variant: Variant) -> list[str]:
    """What belongs to a variant alone."""
    return [variant.file, *variant.data_files, *([variant.golden] if variant.golden else [])]


def _check_shipped(folder: Path, precision: str) -> None:
    """Hold the files that are written against their golden vectors: what was proven may have been their twins.

    Raises:
        LoweringError: one of them misses.
    """
    missed = next((row for row in verify(folder, provider="cpu", precision=precision).rows if not row.passed), None)
    if missed is not None:
        raise LoweringError(
            f"the {missed.variant} graph differs from its proof in '{missed.output}' of golden case {missed.case}: "
            f"{missed.reason or f'{missed.max_abs_diff:.3g}, allowed is {missed.allowed:.3g}'}."
        )


def _unmet(task: Task, trials: Trials, chosen: Narrowed) -> str:
    operators = {one.name: one.operator for one in trials.candidates}
    costs = trials.costs
    listed = trials.ordered(chosen.refused)
    told = [
        f"'{name}' ({operators[name]}) {trials.scale.told(costs[name])}: {chosen.refused[name]}"
        for name in listed[:_LISTED]
    ]
    more = f"; and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    return (
        f"no bundle was written: no node of '{task.bundle.path}' can be {task.precision} within the budget of "
        f"{task.budget}. Alone they cost: {'; '.join(told)}{more}. Allow more, or keep the model in fp32."
    )


def _refusals(there: Sequence[Candidate]) -> str:
    return "; ".join(f"'{one.name}' because {one.refusal}" for one in there) or "it has none of 1,024 numbers and more"
