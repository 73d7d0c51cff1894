"""Sequences of different lengths: which ones go together, and batches of them. NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def alike(lengths: Iterable[int], batch_size: int) -> list[NDArray[np.int64]]:
    """Each example once, in batches of like length, the shortest first; those of one length in the order they have.

    Args:
        lengths: one for each example; there may be none.
        batch_size: examples of each batch but the last one.

    Returns:
        int64 arrays of indices.

    Raises:
        InputError: a batch would have no example.
    """
    if batch_size < 1:
        raise InputError(f"batches of {batch_size} examples: at least one is needed.")
    order = np.argsort(np.fromiter(lengths, np.int64), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def pad(arrays: Sequence[NDArray[Any]], value: float = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Make one array of arrays of different lengths.

    Args:
        arrays: ``(time, ...)`` each, alike but for their first axis.
        value: what they are filled up with at the end.

    Returns:
        The batch, ``(batch, time, ...)`` of the longest one's time and of their dtype; and the lengths, int64
        ``(batch,)``.

    Raises:
        InputError: there is no array, or they differ in more than their first axis.
    """
    if not arrays:
        raise InputError("there is no array to make a batch of; at least one is needed.")
    kinds = {(array.dtype, array.shape[1:]) for array in arrays}
    if len(kinds) != 1 or not arrays[0].ndim:
        found = ", ".join(sorted(f"{dtype}[time{''.join(f', {size}' for size in shape)}]" for dtype, shape in kinds))
        raise InputError(f"arrays of one batch must be alike but for their first axis; found {found}.")
    lengths = np.array([len(array) for array in arrays], dtype=np.int64)
    batch = np.full((len(arrays), lengths.max(), *arrays[0].shape[1:]), value, dtype=arrays[0].dtype)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = array
    return batch, lengths
