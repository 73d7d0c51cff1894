"""The proof of variants in a lower precision: the parity matrix against fp32, nodes taken back until it passes.

What hangs on choices (:mod:`.choices`) is compared in those cases only in which the variant chooses as fp32 does: there
the same tokens must have nearly the same scores. Which cases these are not, the report tells as undecided.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...bundle import golden_bytes
from ...errors import BudgetError
from ...manifest import DESCENDING, PARITY
from ...runtime.casting import cast_inputs, cast_outputs
from ...runtime.session import STREAMING, load
from ...runtime.verify import verify
from ..matrix import build_matrix
from ..parity import ask, judge, without_loose
from ..streaming import prove_streaming
from .building import build
from .steadiness import agreement, own_golden, same_choices

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...manifest import Tolerance, Variant
    from ...runtime.session import Session
    from ...signature import Signature
    from ..matrix import Case
    from ..parity import Answers, ParityReport, Runner
    from .steadiness import Own
    from .trials import Trials


@dataclass(frozen=True, kw_only=True, slots=True)
class Proof:
    """What proves variants of a lower precision.

    Attributes:
        reports: the matrix, one report for each variant, judged by a tolerance that was measured.
        tolerance: what the variants are held to.
        kept: the nodes that are in the lower precision.
        dropped: why others are not, by name.
        golden: by the variant's key golden vectors of its own; empty where fp32's hold.
        agreement: the share of fp32's golden choices that the offline variant makes too; None where fp32's hold.
    """

    reports: Sequence[ParityReport]
    tolerance: Tolerance
    kept: Sequence[str]
    dropped: Mapping[str, str]
    golden: Mapping[str, bytes] = field(default_factory=dict)
    agreement: float | None = None


def prove(bundle: Bundle, folder: Path, trials: Trials, chosen: Sequence[str]) -> Proof:
    """Hold the variants against fp32; the costliest node goes back to fp32 until every case passes.

    Args:
        bundle: the fp32 bundle.
        folder: where the variants are written while they are proven.
        trials: the search that chose the nodes.
        chosen: the nodes.

    Raises:
        BudgetError: no node is left; or no case is one in which the variant chooses as fp32 does, or that hangs on no
            rounding.
    """
    manifest = bundle.manifest
    signature = manifest.signature
    recipe = trials.recipe
    cases = answerable(bundle, build_matrix(signature, traced={}, descending=bool(manifest.source.get(DESCENDING))))
    with load(bundle.path, provider="cpu", precision="fp32", threads=1) as session:
        answers = ask(session.run, cases)
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    kept = list(chosen)
    dropped: dict[str, str] = {}
    while True:
        made = build(bundle, folder, trials.variants, kept, recipe, proof=True, interface=recipe.interface)
        reports = _reports(bundle, folder, made, answers, trials.chosen)
        misses = [row for report in reports for row in report.misses]
        if not misses:
            break
        kept = trials.ordered(kept)
        dropped[kept.pop()] = f"the parity matrix: {misses[0].told}"
        if not kept:
            raise BudgetError(
                f"no node of '{bundle.path}' can be held in {recipe.precision}: {misses[0].told}. Keep it in fp32."
            )
    golden = verify(folder, provider="cpu", precision=recipe.precision).rows
    apart = [(row.max_abs_diff, row.allowed) for row in golden if row.output not in trials.chosen]
    apart += [(row.max_abs_diff, row.allowed) for one in reports for row in one.rows]
    own = _own(bundle, folder, trials, kept, made, answers) if trials.chosen else {}
    shares = [recipe.widest.atol * found / allowed for found, allowed in apart if allowed]
    tolerance = recipe.declared([*shares, *(one.share for one in own.values())])
    return Proof(
        reports=[_held_to(tolerance, one) for one in reports],
        tolerance=tolerance,
        kept=kept,
        dropped=dropped,
        golden={key: golden_bytes(one.cases) for key, one in own.items()},
        agreement=_agreement(bundle, folder, trials) if own else None,
    )


def answerable(bundle: Bundle, cases: Sequence[Case]) -> list[Case]:
    """The cases that the source answered when the bundle was made, and that rounding did not decide.

    Others must not be run: where a model leaves no frame of a short sequence, ONNX Runtime's GRU ends the process. And
    where rounding decides the source's own tokens, a lower precision may give other tokens and be right.
    """
    left: set[str] = set()
    if PARITY in bundle.manifest.files:
        for report in json.loads(bundle.read(PARITY))["reports"]:
            if report["variant"] == "fp32-offline":
                left |= {*report["undefined"], *report.get("undecided", ())}
    least = max((one.chunks.least for one in bundle.manifest.variants if one.chunks is not None), default=0)
    time = bundle.manifest.signature.time_axis
    return [case for case in cases if str(case) not in left and case.sizes.get(time or "", least) >= least]


def _own(  # noqa: PLR0917  (all of it is one proof)
    bundle: Bundle,
    folder: Path,
    trials: Trials,
    kept: Sequence[str],
    made: Sequence[Variant],
    answers: Answers,
) -> dict[str, Own]:
    """Golden vectors of the variants' own, by their keys.

    Raises:
        BudgetError: rounding decides every case.
    """
    recipe = trials.recipe
    with tempfile.TemporaryDirectory() as name:
        folders = [folder]
        if recipe.twin:
            # What is written is another graph than what was proven, and must choose alike.
            folders.append(Path(name))
            build(bundle, folders[1], trials.variants, kept, recipe, interface=recipe.interface)
        return {one.key: own_golden(bundle, folders, one, recipe, answers, chosen=trials.chosen) for one in made}


def _agreement(bundle: Bundle, folder: Path, trials: Trials) -> float:
    with load(folder, provider="cpu", precision=trials.recipe.precision, threads=1) as session:
        return agreement(session, bundle.golden(), trials.chosen)


def _reports(
    bundle: Bundle, folder: Path, made: Sequence[Variant], answers: Answers, chosen: Collection[str]
) -> list[ParityReport]:
    """The matrix of every variant: what hangs on choices in the cases where they are fp32's, all else in all."""
    signature = bundle.manifest.signature
    # Of noise, whole numbers say little: near a tie either answer is right. The golden vectors hold them.
    floats = [one for one in signature.outputs if one.dtype.startswith("float")]
    free = replace(signature, outputs=tuple(one for one in floats if one.name not in chosen))
    bound = replace(signature, outputs=tuple(one for one in floats if one.name in chosen))
    alike, undecided = _alike(bundle, folder, made, answers, chosen) if chosen else (answers, {})
    reports = []
    for variant in made:
        with load(folder, provider="cpu", precision=variant.precision, threads=1, mode=variant.mode) as session:
            report = _judged(answers, session, free)
            if chosen:
                report = replace(report, rows=(*report.rows, *_judged(alike, session, bound).rows))
        reports.append(replace(report, undecided={**report.undecided, **undecided}))
    return reports


def _alike(
    bundle: Bundle, folder: Path, made: Sequence[Variant], answers: Answers, chosen: Collection[str]
) -> tuple[Answers, dict[str, str]]:
    """The answers to those cases in which the offline variant chooses as fp32 does; why each other is not compared.

    Raises:
        BudgetError: there are none.
    """
    signature, precision = bundle.manifest.signature, made[0].precision
    with load(folder, provider="cpu", precision=precision, threads=1) as session:
        run = _runner(session, signature)
        same = [
            same_choices(signature, reference, run(case.inputs), chosen)
            for case, reference in zip(answers.cases, answers.references, strict=True)
        ]
    if not any(same):
        raise BudgetError(
            f"{precision} chooses otherwise than fp32 in each of the {len(same)} cases of the parity matrix of "
            f"'{bundle.path}', so nothing can be held against fp32. Allow less to be lost, or keep it in fp32."
        )
    kept = [i for i, one in enumerate(same) if one]
    told = {str(answers.cases[i]): f"{precision} chooses otherwise than fp32" for i, one in enumerate(same) if not one}
    cases = [answers.cases[i] for i in kept]
    return replace(answers, cases=cases, references=[answers.references[i] for i in kept]), told


def _judged(answers: Answers, session: Session, compared: Signature) -> ParityReport:
    variant = session.variant
    if variant.mode == STREAMING:
        time = compared.time_axis
        assert time is not None
        return prove_streaming(answers, session, compared, time, tolerance=variant.tolerance)
    return judge(answers, _runner(session, compared), compared, variant=variant.key, tolerance=variant.tolerance)


def _runner(session: Session, signature: Signature) -> Runner:
    """A session of any face as a runner of the bundle's own."""

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return cast_outputs(signature, session.run(cast_inputs(session.signature, inputs)))

    return run


def _held_to(tolerance: Tolerance, report: ParityReport) -> ParityReport:
    """A report over the same answers, judged by a tighter tolerance of the same floor."""
    narrower = tolerance.atol / report.tolerance.atol
    rows = tuple(
        replace(row, allowed=row.allowed * narrower, passed=row.max_abs_diff <= row.allowed * narrower)
        for row in report.rows
    )
    return replace(report, tolerance=tolerance, rows=rows)
