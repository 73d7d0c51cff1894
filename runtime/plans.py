"""A signature compiled into what :mod:`rnnx.runtime.inputs` compares: one plan for each input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..signature import LengthsSpec, Signature, TensorSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorPlan:
    """One input, compiled.

    Attributes:
        name: its name.
        spec: what it was compiled from, for messages.
        dtype: its dtype.
        rank: its number of axes.
        fixed: (position, size) of each axis of fixed size.
        dynamic: (position, number of the axis) of each dynamic axis.
        is_state: whether it may be left out and is zeros then.
        has_range: whether its integers must lie in a declared range.
    """

    name: str
    spec: TensorSpec
    dtype: np.dtype[Any]
    rank: int
    fixed: tuple[tuple[int, int], ...]
    dynamic: tuple[tuple[int, int], ...]
    is_state: bool
    has_range: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthsPlan:
    """One lengths input, compiled.

    Attributes:
        name: its name.
        dtype: its dtype, int64 or int32.
        axis: name of the axis that it measures.
        axis_number: number of that axis.
        batch: name of its own axis, or its fixed size.
        batch_number: number of its own axis; -1 where its size is fixed.
        lowest: smallest length allowed: 1, or 0 where the axis may be empty.
        tight: whether the longest row must fill the axis.
    """

    name: str
    dtype: np.dtype[Any]
    axis: str
    axis_number: int
    batch: str | int
    batch_number: int
    lowest: int
    tight: bool


def wrong_dtype(plan: TensorPlan, value: NDArray[Any], where: str = "") -> DtypeError:
    """The error for an array of another dtype than declared. ``where`` names its row in a list."""
    return DtypeError(
        f"input '{plan.name}'{where} has dtype {value.dtype}; it must be {plan.dtype}. "
        f"Nothing is cast silently: write {plan.name}.astype(np.{plan.dtype.name.replace('bool', 'bool_')})."
    )


def compile_tensor(spec: TensorSpec, number: Mapping[str, int], *, is_state: bool) -> TensorPlan:
    """One input, compiled. ``number`` tells the number of each dynamic axis."""
    return TensorPlan(
        name=spec.name,
        spec=spec,
        dtype=np.dtype(spec.dtype),
        rank=len(spec.axes),
        fixed=tuple((position, axis) for position, axis in enumerate(spec.axes) if isinstance(axis, int)),
        dynamic=tuple((position, number[axis]) for position, axis in enumerate(spec.axes) if isinstance(axis, str)),
        is_state=is_state,
        has_range=spec.minimum is not None or spec.bound is not None,
    )


def compile_lengths(
    spec: TensorSpec, lengths: LengthsSpec, number: Mapping[str, int], signature: Signature
) -> LengthsPlan:
    """One lengths input, compiled; ``number`` as for :func:`compile_tensor`."""
    batch = spec.axes[0]
    return LengthsPlan(
        name=spec.name,
        dtype=np.dtype(spec.dtype),
        axis=lengths.axis,
        axis_number=number[lengths.axis],
        batch=batch,
        batch_number=number[batch] if isinstance(batch, str) else -1,
        lowest=min(1, signature.range(lengths.axis).minimum),
        tight=lengths.tight,
    )
