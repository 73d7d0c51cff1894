"""Columns of a data set to rows for a model, and its answers back to columns.

A column holds one sequence in each row, as Parquet and Arrow have them: nested lists (``list<list<float>>``, with a
fixed or a variable size of the inner one), Arrow's or Ray's tensors; or, where Ray hands over NumPy arrays, an array of
rows, or an object array of arrays of different lengths. Rows have no batch axis: ``(time, features)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....errors import DtypeError, InputError, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from ....signature import TensorSpec


def rows_of_arrow(column: pa.ChunkedArray, spec: TensorSpec, batch: int) -> list[NDArray[Any]]:
    """Rows of a column of Arrow's.

    Args:
        column: one sequence in each row.
        spec: the input that they are for.
        batch: position of its batch axis.

    Returns:
        An array in each row, of the input's dtype and without its batch axis.

    Raises:
        InputError: a row is null.
        ShapeError: a row has another rank or size than declared.
        DtypeError: values cannot be converted to the input's dtype without a loss.
    """
    import pyarrow as pa  # noqa: PLC0415  (an extra; and this module is also used with NumPy alone)

    rows: list[Any] = []
    for chunk in column.chunks:
        if chunk.null_count:
            row = len(rows) + int(np.argmax(chunk.is_null().to_numpy(zero_copy_only=False)))
            raise InputError(f"row {row} of the batch has no value for input '{spec.name}'. Fill it or leave it out.")
        if isinstance(chunk.type, pa.FixedShapeTensorType):
            rows += list(chunk.to_numpy_ndarray())
        elif isinstance(chunk.type, pa.BaseExtensionType):
            rows += list(chunk.to_numpy(zero_copy_only=False))  # Ray's own tensors
        else:
            rows += _nested(chunk, spec)
    return [_fitted(row, spec, batch, number) for number, row in enumerate(rows)]


def rows_of_numpy(column: NDArray[Any], spec: TensorSpec, batch: int) -> list[NDArray[Any]]:
    """Rows of a column that Ray hands over as an array of rows, or as an object array of arrays; see above."""
    return [_fitted(row, spec, batch, number) for number, row in enumerate(column)]


def to_arrow(rows: Sequence[NDArray[Any]]) -> pa.Array:
    """Answers as a column: nested lists of each row's array, or plain values where a row is a number.

    Args:
        rows: arrays of one dtype and one rank, at least one.
    """
    import pyarrow as pa  # noqa: PLC0415  (an extra)

    array = pa.array(np.concatenate([np.ravel(row) for row in rows]))
    # From the innermost lists to the outermost: how many items each list at this depth has.
    for depth in reversed(range(rows[0].ndim)):
        sizes = np.concatenate([np.full(int(np.prod(row.shape[:depth])), row.shape[depth]) for row in rows])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        if offsets[-1] > np.iinfo(np.int32).max:
            raise ShapeError(
                f"a column of {len(rows)} rows would hold {offsets[-1]} values, more than Arrow's lists can. "
                "Give a smaller batch_size."
            )
        array = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), array)
    return array


def to_numpy(rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Answers as a column for Ray: one array where all rows have one shape, else an object array of arrays."""
    if len({row.shape for row in rows}) == 1:
        return np.stack(rows)
    column = np.empty(len(rows), object)
    column[:] = rows
    return column


def _nested(chunk: pa.Array, spec: TensorSpec) -> list[NDArray[Any]]:
    """Rows of nested lists, without a Python object for each value."""
    import pyarrow as pa  # noqa: PLC0415  (an extra)
    import pyarrow.compute as pc  # noqa: PLC0415

    levels, values = [], chunk
    while pa.types.is_list(values.type) or pa.types.is_large_list(values.type) or _is_fixed(values.type):
        levels.append(np.asarray(pc.list_value_length(values).to_numpy(zero_copy_only=False), np.int64))
        values = values.flatten()
        if values.null_count:
            raise InputError(f"input '{spec.name}' has a value that is null. Fill it or leave the row out.")
    flat = values.to_numpy(zero_copy_only=False)
    return _cut(flat, levels, len(chunk), spec)


def _cut(flat: NDArray[Any], levels: list[NDArray[np.int64]], count: int, spec: TensorSpec) -> list[NDArray[Any]]:
    """Values of all rows, one behind the other, to an array for each row.

    Args:
        flat: values ``(number of values,)``.
        levels: for each depth of nesting, the number of items of each list at that depth.
        count: number of rows.
        spec: the input.
    """
    shapes: list[tuple[int, ...]] = [()] * count
    #: How many lists of the next depth each row has.
    lists = np.ones(count, np.int64)
    for sizes in levels:
        ends = np.cumsum(lists)
        items = np.zeros(count, np.int64)
        for row, (end, number) in enumerate(zip(ends, lists, strict=True)):
            mine = sizes[end - number : end]
            if number and mine.min() != mine.max():
                raise ShapeError(
                    f"row {row} of the batch for input '{spec.name}' has lists of {mine.min()} and of {mine.max()} "
                    f"values side by side; all must be of one size: {spec}."
                )
            size = int(mine[0]) if number else 0
            shapes[row] = (*shapes[row], size)
            items[row] = number * size
        lists = items
    parts = np.split(flat, np.cumsum(lists)[:-1]) if count else []
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _is_fixed(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415  (an extra)

    return bool(pa.types.is_fixed_size_list(kind))


def _fitted(value: Any, spec: TensorSpec, batch: int, number: int) -> NDArray[Any]:  # noqa: ANN401
    """One row, in the input's dtype and shape."""
    row = np.asarray(value)
    if row.dtype == object:
        try:
            row = np.stack([np.asarray(one) for one in row]) if row.size else row.astype(spec.dtype)
        except ValueError as error:
            raise ShapeError(f"row {number} of the batch for input '{spec.name}' is uneven: {error}. {spec}.") from None
    axes = [axis for position, axis in enumerate(spec.axes) if position != batch]
    if not row.size and row.ndim <= len(axes):
        # An empty list tells nothing of the lists that it does not hold.
        missing = axes[row.ndim :]
        if all(isinstance(axis, int) for axis in missing):
            row = row.reshape([*row.shape, *(int(axis) for axis in missing)])
        known = zip(row.shape, axes, strict=True)
        row = np.zeros([axis if isinstance(axis, int) and not size else size for size, axis in known], row.dtype)
    if row.ndim != len(axes):
        raise ShapeError(
            f"row {number} of the batch for input '{spec.name}' has {row.ndim} axes, shape {row.shape}; without its "
            f"batch axis the input has {len(axes)}: {spec}."
        )
    return _converted(row, spec, number)


def _converted(row: NDArray[Any], spec: TensorSpec, number: int) -> NDArray[Any]:
    """A row in the input's dtype: files often hold doubles where a model takes float32."""
    if row.dtype == np.dtype(spec.dtype):
        return row
    if row.dtype.kind not in "biuf":
        raise DtypeError(f"row {number} of the batch for input '{spec.name}' holds {row.dtype}; it must be {spec}.")
    with np.errstate(all="ignore"):
        made = row.astype(spec.dtype)
        same = np.array_equal(made.astype(row.dtype), row, equal_nan=row.dtype.kind == "f")
    if not same:
        raise DtypeError(
            f"row {number} of the batch for input '{spec.name}' holds {row.dtype} values that {spec.dtype} cannot hold "
            f"exactly. Convert the column to {spec.dtype} first."
        )
    return made
