"""How two answers are compared: the one judge of parity, golden vectors and benchmarks.

Floats must agree within ``atol * max(scale, floor)``, where the scale is the largest magnitude that the output has
over all cases: telling by relative error alone gives NaN on states that are zero, and telling each case by its own
magnitude holds a nearly silent case to a tolerance below float32's own resolution of what was added up to make it.
What fills in for no answer, such as the -1e9 of a mask, is no part of that scale, or it would let everything else
pass: such a value is held to the same tolerance of its own magnitude. Integers and booleans must be equal. NaN never
passes, not even against NaN.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from ..manifest import Tolerance
    from ..signature import Axis


#: A filling is at least so large, and so many times as large as the largest answer.
_FILLING = 1e4
_APART = 1e3

#: A name in an axis such as ``time//2``.
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """How far one output of one case is from its reference.

    Attributes:
        max_abs_diff: largest absolute difference; infinity where shapes differ or NaN is in one of them.
        allowed: largest difference that passes.
        index: where the largest difference is, or None where shapes differ or nothing does.
        reason: why it cannot be compared by value (shapes, dtypes, NaN), or empty.
    """

    max_abs_diff: float
    allowed: float
    index: tuple[int, ...] | None = None
    reason: str = ""

    @property
    def passed(self) -> bool:
        """Whether the candidate is near enough."""
        return not self.reason and self.max_abs_diff <= self.allowed


def scale_of(arrays: Iterable[NDArray[Any]]) -> float:
    """Largest finite magnitude in all of these arrays that is no filling; zero where there is none."""
    floats = [array[np.isfinite(array)] for array in arrays if array.dtype.kind == "f"]
    magnitudes = [np.abs(array.astype(np.float64)) for array in floats if array.size]
    largest = max((float(one.max()) for one in magnitudes), default=0.0)
    if largest < _FILLING:
        return largest
    ascending = np.unique(np.concatenate(magnitudes))
    below, above = ascending[:-1], ascending[1:]
    # Relative to one at least: outputs of zeros and a few large answers have no filling.
    gaps = np.flatnonzero((above >= _FILLING) & (above >= _APART * np.maximum(below, 1.0)))
    return float(below[gaps[0]]) if gaps.size else largest


def common_region(
    reference: NDArray[Any], candidate: NDArray[Any], *, axes: Sequence[Axis], measured: Collection[str]
) -> NDArray[Any]:
    """The leading part of the candidate that the reference has too.

    A source that unpacks its sequences gives back no more steps than its longest row has, while a variant keeps the
    whole padded axis. What lies beyond is padding and means nothing.

    Args:
        reference: what the source gave.
        candidate: what the variant gave.
        axes: the output's declared axes.
        measured: names of the axes that lengths measure, which an axis such as ``time//2`` follows; along any other
            axis a difference in size stays one.

    Returns:
        A view of the candidate, cut to the reference's size along its measured axes; never longer than the candidate.
    """
    if reference.ndim != candidate.ndim or reference.ndim != len(axes):
        return candidate
    follows = (isinstance(axis, str) and any(one in measured for one in _WORD.findall(axis)) for axis in axes)
    return candidate[tuple(slice(size if one else None) for one, size in zip(follows, reference.shape, strict=True))]


def compare(reference: NDArray[Any], candidate: NDArray[Any], *, tolerance: Tolerance, scale: float) -> Difference:
    """Compare one output with its reference.

    Args:
        reference: what the source gave.
        candidate: what the variant gave, of the same shape and dtype.
        tolerance: how far floats may be apart.
        scale: the output's magnitude over all cases, from :func:`scale_of`.
    """
    floating = reference.dtype.kind == "f"
    allowed = tolerance.atol * max(scale, tolerance.floor) if floating else 0.0
    if reference.dtype != candidate.dtype:
        return _incomparable(allowed, f"dtype {candidate.dtype} instead of {reference.dtype}")
    if reference.shape != candidate.shape:
        return _incomparable(allowed, f"shape {candidate.shape} instead of {reference.shape}")
    if not reference.size:
        return Difference(max_abs_diff=0.0, allowed=allowed)
    if not floating:
        unequal = reference != candidate
        apart = np.where(unequal, np.abs(reference.astype(np.float64) - candidate.astype(np.float64)), 0.0)
        # int64 values beyond 2**53 may differ where their float64 images do not.
        apart = np.where(unequal, np.maximum(apart, 1.0), 0.0)
        return _largest(apart, allowed)
    for whose, array in (("the reference", reference), ("the candidate", candidate)):
        if np.isnan(array).any():
            return _incomparable(allowed, f"NaN in {whose}")
    with np.errstate(invalid="ignore"):
        apart = np.abs(reference.astype(np.float64) - candidate.astype(np.float64))
    # Infinity minus itself is NaN: masked scores are -inf on both sides and are equal.
    apart = np.where(reference == candidate, 0.0, apart)
    # A filling beyond the scale is held to the tolerance of its own magnitude.
    within = max(scale, tolerance.floor)
    magnitudes = np.abs(reference.astype(np.float64))
    beyond = np.isfinite(magnitudes) & (magnitudes > within)
    if beyond.any():
        apart[beyond] *= within / magnitudes[beyond]
    return _largest(apart, allowed)


def _largest(apart: NDArray[np.float64], allowed: float) -> Difference:
    index = np.unravel_index(int(np.argmax(apart)), apart.shape)
    where = tuple(int(one) for one in index)
    return Difference(max_abs_diff=float(apart[where]), allowed=allowed, index=where)


def _incomparable(allowed: float, reason: str) -> Difference:
    return Difference(max_abs_diff=float("inf"), allowed=allowed, reason=reason)
