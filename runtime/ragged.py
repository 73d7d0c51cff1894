"""Lists to arrays: rows of different lengths padded into one batch, Python numbers converted to the declared dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DtypeError, InputError, ShapeError
from ..signature import BATCH
from .plans import wrong_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..signature import TensorSpec
    from .plans import LengthsPlan, TensorPlan

#: dtype kinds that Python numbers may have for a declared kind: whole numbers may become floats, never the reverse.
_CONVERTIBLE = {"f": "fiu", "i": "iu", "u": "iu", "b": "b"}


def densify(
    tensors: Sequence[TensorPlan],
    lengths_plans: Sequence[LengthsPlan],
    inputs: Mapping[str, Any],
    lengths: ArrayLike | Mapping[str, ArrayLike] | None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Inputs with every list as one padded array, and the lengths that the lists tell.

    Raises:
        InputError, DtypeError, ShapeError: rows do not fit together, to the signature or to the lengths given.
    """
    dense = dict(inputs)
    batch_axes = {plan.batch for plan in lengths_plans} or {BATCH}
    measured = {plan.axis for plan in lengths_plans}
    told: dict[str, tuple[str, tuple[int, ...]]] = {}
    for plan in tensors:
        value = inputs.get(plan.name)
        if value is None or isinstance(value, np.ndarray):
            continue
        rows = _rows(plan, value)
        if rows is None:
            dense[plan.name] = _convert(plan, value)
            continue
        dense[plan.name], sizes = _pad(plan, rows, batch_axes, measured)
        for axis, found in sizes.items():
            first, other = told.setdefault(axis, (plan.name, found))
            if other != found:
                raise ShapeError(
                    f"the rows of '{first}' and '{plan.name}' have different sizes of '{axis}': "
                    f"{list(other)} and {list(found)}. Rows of one batch belong together."
                )
    return dense, _lengths(lengths_plans, inputs, lengths, told)


def named_lengths(plans: Sequence[LengthsPlan], lengths: ArrayLike | Mapping[str, ArrayLike]) -> dict[str, Any]:
    """Lengths by name, whichever way they were given.

    Raises:
        InputError: a plain list or array is given and the model has no lengths, or several.
    """
    if isinstance(lengths, Mapping):
        return dict(lengths)
    if len(plans) == 1:
        return {plans[0].name: lengths}
    if not plans:
        raise InputError("lengths are given, and the model has none. Leave them out.")
    names = ", ".join(f"'{plan.name}'" for plan in plans)
    raise InputError(f"the model has several lengths, {names}. Give them by name: lengths={{'{plans[0].name}': ...}}.")


def integers(name: str, given: ArrayLike) -> NDArray[Any]:
    """Lengths as an array of whole numbers.

    Raises:
        DtypeError: they are not whole numbers.
    """
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise DtypeError(f"lengths '{name}' are not a list of whole numbers: {error}.") from None
    if not array.size and not isinstance(given, np.ndarray):
        # An empty list says nothing of its dtype, and NumPy makes it float64.
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        holds = " and hold NaN" if array.dtype.kind == "f" and np.isnan(array).any() else ""
        raise DtypeError(
            f"lengths '{name}' have dtype {array.dtype}{holds}; they must be whole numbers. "
            f"Pass {name}.astype(np.int64), after you made sure that they are."
        )
    return array


def _rows(plan: TensorPlan, value: Any) -> list[NDArray[Any]] | None:  # noqa: ANN401  (whatever was given)
    """The rows of a list of arrays, or of a nested list whose rows differ; None where it is one plain value."""
    if not isinstance(value, list | tuple):
        if isinstance(value, bool | int | float | np.generic):
            return None
        raise InputError(
            f"input '{plan.name}' is a {type(value).__module__}.{type(value).__qualname__}; it must be a NumPy array, "
            "or a list of them without their batch axis."
        )
    if not any(isinstance(row, np.ndarray) for row in value):
        try:
            np.asarray(value)
        except ValueError:
            pass  # rows of different lengths
        else:
            return None
    return [_row(plan, row, number) for number, row in enumerate(value)]


def _row(plan: TensorPlan, row: Any, number: int) -> NDArray[Any]:  # noqa: ANN401  (whatever was given)
    array = row if isinstance(row, np.ndarray) else _convert(plan, row)
    if array.dtype != plan.dtype:
        raise wrong_dtype(plan, array, f", row {number},")
    if array.ndim != plan.rank - 1:
        raise ShapeError(
            f"row {number} of input '{plan.name}' has {array.ndim} axes, shape {array.shape}; rows of a list have no "
            f"batch axis and so must have {plan.rank - 1}: {plan.spec}."
        )
    return array


def _convert(plan: TensorPlan, value: Any) -> NDArray[Any]:  # noqa: ANN401  (whatever was given)
    """Python numbers as an array of the declared dtype."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ShapeError(f"input '{plan.name}' is a nested list of uneven rows: {error}.") from None
    if array.size and (array.dtype.kind not in _CONVERTIBLE[plan.dtype.kind]):
        raise DtypeError(f"input '{plan.name}' holds values of dtype {array.dtype}; it must be {plan.dtype}.")
    if array.size and plan.dtype.kind in "iu":
        limits = np.iinfo(plan.dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InputError(
                f"input '{plan.name}' holds values from {array.min()} to {array.max()}, beyond {plan.dtype}."
            )
    return array.astype(plan.dtype)


def _pad(
    plan: TensorPlan, rows: list[NDArray[Any]], batch_axes: set[str | int], measured: set[str]
) -> tuple[NDArray[Any], dict[str, tuple[int, ...]]]:
    """Rows as one array, and their sizes along each measured axis."""
    axes = plan.spec.axes
    position = next((index for index, axis in enumerate(axes) if axis in batch_axes), None)
    if position is None:
        raise InputError(f"input '{plan.name}' is a list, and has no batch axis: {plan.spec}. Give one array.")
    inner = [axis for index, axis in enumerate(axes) if index != position]
    sizes: dict[str, tuple[int, ...]] = {}
    for index, axis in enumerate(inner):
        found = tuple(row.shape[index] for row in rows)
        if axis in measured:
            sizes[str(axis)] = found
        elif len(set(found)) > 1:
            raise InputError(
                f"the rows of input '{plan.name}' have different sizes {list(found)} along '{axis}', and the model has "
                "no lengths for it, so padding would change its answers. Give rows of one size, or run them one by one."
            )
    shape = [max((row.shape[index] for row in rows), default=0) for index in range(len(inner))]
    padded = np.full((len(rows), *shape), padding_value(plan.spec), plan.dtype)
    for target, row in zip(padded, rows, strict=True):
        target[tuple(slice(size) for size in row.shape)] = row
    return np.ascontiguousarray(np.moveaxis(padded, 0, position)), sizes


def padding_value(spec: TensorSpec) -> int:
    """Zero, or the value nearest to it in the declared range: padding must not look like a wrong index."""
    minimum, bound = spec.minimum, spec.bound
    if minimum is not None and minimum > 0:
        return minimum
    return bound - 1 if bound is not None and bound <= 0 else 0


def _lengths(
    plans: Sequence[LengthsPlan],
    inputs: Mapping[str, Any],
    lengths: ArrayLike | Mapping[str, ArrayLike] | None,
    told: Mapping[str, tuple[str, tuple[int, ...]]],
) -> dict[str, Any] | None:
    """The lengths given, and those that the lists tell."""
    named = None if lengths is None else named_lengths(plans, lengths)
    for plan in plans:
        if plan.axis not in told:
            continue
        source, sizes = told[plan.axis]
        given = inputs.get(plan.name) if named is None or plan.name not in named else named[plan.name]
        if given is None:
            named = {**(named or {}), plan.name: np.array(sizes, plan.dtype)}
        elif tuple(integers(plan.name, given).ravel().tolist()) != sizes:
            raise InputError(
                f"lengths '{plan.name}' are {np.asarray(given).tolist()}, and the rows of '{source}' have "
                f"{list(sizes)}. Leave the lengths out: a list of arrays tells them."
            )
    return named
