"""Whether candidates give one answer: a fast engine that is wrong must be seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...manifest import Tolerance
from ...runtime.comparison import common_region, compare, scale_of
from .report import Agreement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ...signature import Signature

    Outputs = Mapping[str, NDArray[Any]]


def wider(one: Tolerance, other: Tolerance) -> Tolerance:
    """What holds for two candidates of which either may be the less precise."""
    return Tolerance(atol=max(one.atol, other.atol), floor=max(one.floor, other.floor))


def agreement(reference: Outputs, candidate: Outputs, *, signature: Signature, tolerance: Tolerance) -> Agreement:
    """Compare a candidate's outputs with the reference's, those that both have.

    Args:
        reference: the reference's outputs by name.
        candidate: the candidate's.
        signature: of the bundle, for the axes that lengths measure.
        tolerance: what floats are held to.
    """
    axes = {spec.name: spec.axes for spec in signature.outputs}
    measured = {one.axis for one in signature.lengths}
    names = [name for name in reference if name in candidate and name in axes]
    if not names:
        return Agreement(
            max_abs_diff=math.inf, allowed=0.0, sqnr_db=-math.inf, agrees=False, reason="no output in common"
        )
    worst: Agreement | None = None
    for name in names:
        expected, found = reference[name], candidate[name]
        # Either may have cut what lies beyond the longest row.
        found = common_region(expected, found, axes=axes[name], measured=measured)
        expected = common_region(found, expected, axes=axes[name], measured=measured)
        difference = compare(expected, found, tolerance=tolerance, scale=scale_of([expected]))
        one = Agreement(
            max_abs_diff=difference.max_abs_diff,
            allowed=difference.allowed,
            sqnr_db=0.0,
            agrees=difference.passed,
            reason=difference.reason and f"{name}: {difference.reason}",
        )
        if worst is None or (worst.agrees, -worst.max_abs_diff) > (one.agrees, -one.max_abs_diff):
            worst = one
    assert worst is not None
    return replace(worst, sqnr_db=decibels(*signal_and_loss(reference, candidate, signature=signature)))


def signal_and_loss(reference: Outputs, candidate: Outputs, *, signature: Signature) -> tuple[float, float]:
    """Sum of squares of the reference's float outputs, and of what the candidate's differ from them.

    Args:
        reference: the reference's outputs by name.
        candidate: the candidate's. Outputs that one of them has not are left out.
        signature: of the bundle, for the axes that lengths measure.
    """
    measured = {one.axis for one in signature.lengths}
    signal = lost = 0.0
    for spec in signature.outputs:
        if spec.name not in reference or spec.name not in candidate:
            continue
        expected, found = reference[spec.name], candidate[spec.name]
        found = common_region(expected, found, axes=spec.axes, measured=measured)
        expected = common_region(found, expected, axes=spec.axes, measured=measured)
        if expected.dtype.kind == "f" and expected.shape == found.shape:
            # Masked scores are -inf on both sides.
            both = np.isfinite(expected) & np.isfinite(found)
            truth = expected[both].astype(np.float64)
            signal += float(np.square(truth).sum())
            lost += float(np.square(truth - found[both]).sum())
    return signal, lost


def decibels(signal: float, lost: float) -> float:
    """Signal to noise in dB, infinite where nothing was lost."""
    if lost == 0:
        return math.inf
    return 10 * math.log10(signal / lost) if signal else -math.inf
