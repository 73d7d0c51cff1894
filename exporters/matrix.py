"""The parity matrix: the cases over which a source and its variants are run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..signature import BATCH, TIME, AxisRange, Signature, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

BATCHES = (1, 2, 5)
TIMES = (1, 2, 7, 33, 257)
#: ``full``: every row to the end; ``ones``: one frame each; ``mixed``: the longest row to the end, the others
#: anywhere; ``short``: no row to the end.
LENGTHS = ("full", "ones", "mixed", "short")
#: Kinds in which no row fills the array.
LOOSE = frozenset({"ones", "short"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One entry of the matrix.

    Attributes:
        sizes: size of each dynamic axis.
        lengths: kind of the lengths, one of :data:`LENGTHS`, or empty where the model has none.
        states: ``absent`` or ``random``, or empty where the model has none.
        inputs: arrays by input name; absent states are left out.
        chunks: how the sequence is cut, ``all``, ``random`` or ``1``, or empty where it is run whole.
    """

    sizes: Mapping[str, int]
    lengths: str
    states: str
    inputs: Mapping[str, NDArray[Any]]
    chunks: str = ""

    def __str__(self) -> str:
        """``batch=2 time=7 lengths=mixed states=random``."""
        parts = [f"{axis}={size}" for axis, size in self.sizes.items()]
        parts += [f"lengths={self.lengths}"] if self.lengths else []
        parts += [f"states={self.states}"] if self.states else []
        parts += [f"chunks={self.chunks}"] if self.chunks else []
        return " ".join(parts)


def build_matrix(
    signature: Signature, *, traced: Mapping[str, int], descending: bool = False, seed: int = 0
) -> list[Case]:
    """Every case that the signature allows: sizes x kinds of lengths x states absent or random.

    Args:
        signature: the model's inputs and ranges.
        traced: the sizes of the example that was traced; no case equals it.
        descending: the source wants lengths in descending order (``enforce_sorted=True``).
        seed: of all values.
    """
    cases: list[Case] = []
    for sizes in _sizes(signature):
        if sizes and dict(sizes) == dict(traced):
            continue
        for lengths in _length_kinds(signature, sizes):
            for states in ("absent", "random") if signature.states else ("",):
                generator = np.random.default_rng([seed, len(cases)])
                inputs = {
                    spec.name: _values(spec, signature, sizes, lengths, generator, descending=descending)
                    for spec in signature.inputs
                    if states != "absent" or spec.name not in signature.state_names
                }
                cases.append(Case(sizes=sizes, lengths=lengths, states=states, inputs=inputs))
    return cases


def _sizes(signature: Signature) -> list[dict[str, int]]:
    """Batches x times; any other axis takes the times too, each in an order of its own."""
    axes = signature.dynamic_axes
    batches = _admitted(BATCHES, signature.range(BATCH)) if BATCH in axes else (0,)
    others = [axis for axis in axes if axis != BATCH]
    # The time axis comes first, so that it walks the list as it stands.
    others.sort(key=lambda axis: axis != TIME)
    ladders = [_admitted(TIMES, signature.range(axis)) for axis in others]
    steps = max((len(ladder) for ladder in ladders), default=1)
    rows: list[dict[str, int]] = []
    for batch in batches:
        for step in range(steps):
            chosen = {
                axis: ladder[(step + shift) % len(ladder)]
                for shift, (axis, ladder) in enumerate(zip(others, ladders, strict=True))
            }
            rows.append({axis: batch if axis == BATCH else chosen[axis] for axis in axes})
    return rows


def _admitted(wanted: Sequence[int], allowed: AxisRange) -> tuple[int, ...]:
    """These sizes, moved to the nearest that the axis may have, each once."""
    sizes: dict[int, None] = {}
    for size in wanted:
        fitting = max(size, allowed.minimum)
        fitting += -fitting % allowed.multiple_of
        if allowed.maximum is not None and fitting > allowed.maximum:
            fitting = allowed.maximum - allowed.maximum % allowed.multiple_of
        # Sizes that fell together (minimum 5: 1, 2 and 5) step on, so that the axis is still seen to move.
        while fitting in sizes and allowed.admits(fitting + allowed.multiple_of):
            fitting += allowed.multiple_of
        sizes[fitting] = None
    return tuple(sizes)


def _length_kinds(signature: Signature, sizes: Mapping[str, int]) -> tuple[str, ...]:
    if not signature.lengths:
        return ("",)
    time = max(sizes[one.axis] for one in signature.lengths)
    if time == 1:
        return ("full",)
    # The long case is there for drift, not for every kind of raggedness.
    return ("full", "mixed") if time > TIMES[-2] else LENGTHS


def _values(
    spec: TensorSpec,
    signature: Signature,
    sizes: Mapping[str, int],
    lengths: str,
    generator: np.random.Generator,
    *,
    descending: bool,
) -> NDArray[Any]:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in spec.axes)
    measured = next((one.axis for one in signature.lengths if one.name == spec.name), None)
    if measured is not None:
        row = _row_lengths(shape[0], sizes[measured], lengths, generator)
        return (np.sort(row)[::-1].copy() if descending else row).astype(spec.dtype)
    if spec.dtype.startswith("float"):
        return generator.standard_normal(shape).astype(spec.dtype)
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(np.bool_)
    low = spec.minimum or 0
    return generator.integers(low, spec.bound if spec.bound is not None else low + 2, shape).astype(spec.dtype)


def _row_lengths(batch: int, size: int, kind: str, generator: np.random.Generator) -> NDArray[np.int64]:
    if kind == "full":
        return np.full(batch, size, np.int64)
    if kind == "ones":
        return np.ones(batch, np.int64)
    if kind == "short":
        return generator.integers(1, max(size, 2), batch)
    mixed = generator.integers(1, size + 1, batch)
    mixed[generator.integers(batch)] = size
    return mixed
