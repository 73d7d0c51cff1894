"""How two answers are compared: the one judge of parity, golden vectors and benchmarks.

Floats must agree within ``atol * max(scale, floor)``, where the scale is the largest magnitude that the output has
over all cases: telling by relative error alone gives NaN on states that are zero, and telling each case by its own
magnitude holds a nearly silent case to a tolerance below float32's own resolution of what was added up to make it.
Integers and booleans must be equal. NaN never passes, not even against NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from ..manifest import Tolerance
    from ..signature import Axis


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
    """Largest finite magnitude in all of these arrays; zero where there is none."""
    largest = 0.0
    for array in arrays:
        if array.size and array.dtype.kind == "f":
            magnitudes = np.abs(array[np.isfinite(array)].astype(np.float64))
            largest = max(largest, float(magnitudes.max(initial=0.0)))
    return largest


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
        measured: names of the axes that lengths measure; along any other axis a difference in size stays one.

    Returns:
        A view of the candidate, cut to the reference's size along its measured axes; never longer than the candidate.
    """
    if reference.ndim != candidate.ndim or reference.ndim != len(axes):
        return candidate
    cut = (slice(size if axis in measured else None) for axis, size in zip(axes, reference.shape, strict=True))
    return candidate[tuple(cut)]


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
    return _largest(apart, allowed)


def _largest(apart: NDArray[np.float64], allowed: float) -> Difference:
    index = np.unravel_index(int(np.argmax(apart)), apart.shape)
    where = tuple(int(one) for one in index)
    return Difference(max_abs_diff=float(apart[where]), allowed=allowed, index=where)


def _incomparable(allowed: float, reason: str) -> Difference:
    return Difference(max_abs_diff=float("inf"), allowed=allowed, reason=reason)
