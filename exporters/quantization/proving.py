"""The proof of variants in a lower precision: the parity matrix against fp32, nodes taken back until it passes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from ...errors import BudgetError
from ...manifest import DESCENDING, PARITY
from ...runtime.casting import cast_inputs, cast_outputs
from ...runtime.session import STREAMING, load
from ...runtime.verify import verify
from ..matrix import build_matrix
from ..parity import ask, judge, without_loose
from ..streaming import prove_streaming
from .building import build

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from ...bundle import Bundle
    from ...manifest import Tolerance
    from ...runtime.session import Session
    from ...signature import Signature
    from ..matrix import Case
    from ..parity import Answers, ParityReport
    from .trials import Trials


def prove(
    bundle: Bundle, folder: Path, trials: Trials, chosen: Sequence[str]
) -> tuple[list[ParityReport], list[str], dict[str, str]]:
    """Hold the variants against fp32; the costliest node goes back to fp32 until every case passes.

    Args:
        bundle: the fp32 bundle.
        folder: where the variants are written while they are proven.
        trials: the search that chose the nodes.
        chosen: the nodes.

    Returns:
        The reports, judged by the tolerance that was measured; the nodes that are kept; why the others are not.

    Raises:
        BudgetError: no node is left.
    """
    manifest = bundle.manifest
    signature = manifest.signature
    recipe = trials.recipe
    cases = answerable(bundle, build_matrix(signature, traced={}, descending=bool(manifest.source.get(DESCENDING))))
    with load(bundle.path, provider="cpu", precision="fp32", threads=1) as session:
        answers = ask(session.run, cases)
    if any(one.tight for one in signature.lengths):
        answers = without_loose(answers)
    # Of noise, whole numbers say little: near a tie either answer is right. The golden vectors hold them.
    compared = replace(signature, outputs=tuple(one for one in signature.outputs if one.dtype.startswith("float")))
    kept = list(chosen)
    dropped: dict[str, str] = {}
    while True:
        made = build(bundle, folder, trials.variants, kept, recipe, proof=True, interface=recipe.interface)
        reports = []
        for variant in made:
            with load(folder, provider="cpu", precision=recipe.precision, threads=1, mode=variant.mode) as session:
                reports.append(_judged(answers, session, compared))
        misses = [row for report in reports for row in report.misses]
        if not misses:
            golden = verify(folder, provider="cpu", precision=recipe.precision).rows
            apart = [(row.max_abs_diff, row.allowed) for row in golden]
            apart += [(row.max_abs_diff, row.allowed) for one in reports for row in one.rows]
            tolerance = recipe.declared(recipe.widest.atol * found / allowed for found, allowed in apart if allowed)
            return [_held_to(tolerance, one) for one in reports], kept, dropped
        kept = trials.ordered(kept)
        dropped[kept.pop()] = f"the parity matrix: {misses[0].told}"
        if not kept:
            raise BudgetError(
                f"no node of '{bundle.path}' can be held in {recipe.precision}: {misses[0].told}. Keep it in fp32."
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


def _judged(answers: Answers, session: Session, compared: Signature) -> ParityReport:
    variant = session.variant
    if variant.mode == STREAMING:
        time = compared.time_axis
        assert time is not None
        return prove_streaming(answers, session, compared, time, tolerance=variant.tolerance)

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return cast_outputs(compared, session.run(cast_inputs(session.signature, inputs)))

    return judge(answers, run, compared, variant=variant.key, tolerance=variant.tolerance)


def _held_to(tolerance: Tolerance, report: ParityReport) -> ParityReport:
    """A report over the same answers, judged by a tighter tolerance of the same floor."""
    narrower = tolerance.atol / report.tolerance.atol
    rows = tuple(
        replace(row, allowed=row.allowed * narrower, passed=row.max_abs_diff <= row.allowed * narrower)
        for row in report.rows
    )
    return replace(report, tolerance=tolerance, rows=rows)
