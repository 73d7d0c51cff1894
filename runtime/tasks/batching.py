"""Rows to a batch, and a batch's answers to rows again."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import InputError
from ..empty import size_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ...signature import Signature, TensorSpec
    from .reading import Item


def batches(
    items: Sequence[Item], signature: Signature, output: TensorSpec, *, told: bool, widened: Mapping[str, int]
) -> list[list[int]]:
    """Which rows may run together: all, where no padding can change or hide an answer; else each alone.

    Args:
        items: the rows.
        signature: of the model.
        output: the output that is read.
        told: whether another output tells how long each row's answer is.
        widened: as of :func:`feed`.
    """
    together = [list(range(len(items)))]
    free = {signature.input(name).axes[-1] for name in widened}
    sizes = [{axis: size for axis, size in _sizes(one, signature).items() if axis not in free} for one in items]
    if isinstance(batch_axis(signature), int):
        return [[number] for number in range(len(items))]
    if all(one == sizes[0] for one in sizes):
        return together
    measured = {one.axis for one in signature.lengths}
    differing = {axis for one in sizes for axis in one if one[axis] != sizes[0][axis]}
    if differing <= measured and (told or all(_cut(axis, sizes[0]) is not None for axis in output.dynamic_axes[1:])):
        return together
    return [[number] for number in range(len(items))]


def feed(
    items: Sequence[Item], signature: Signature, options: Mapping[str, float], widened: Mapping[str, int]
) -> dict[str, Any]:
    """The inputs of rows that run together: lists, which the session pads and measures; options for all of them.

    Args:
        items: the rows.
        signature: of the model.
        options: one number by input, for every row.
        widened: inputs whose last axis is made equally long, and with what: letters, up to the longest word.

    Raises:
        InputError: an option's value is not one that its input takes.
    """
    inputs: dict[str, Any] = {}
    for name in items[0].inputs:
        rows = [one.inputs[name] for one in items]
        inputs[name] = _wide(rows, widened[name]) if name in widened else rows
    for name, value in options.items():
        spec = signature.input(name)
        whole = "int" in spec.dtype
        if not (float(value).is_integer() if whole else math.isfinite(value)):
            raise InputError(f"option '{name}' is {value!r}; it must be a {'whole' if whole else 'finite'} number.")
        scalar = np.array(value, spec.dtype)
        inputs[name] = scalar if not spec.axes else np.full(len(items), scalar)
    return inputs


def split(outputs: Mapping[str, NDArray[Any]], signature: Signature, items: Sequence[Item]) -> list[dict[str, Any]]:
    """Each row's outputs by name, without the batch axis; cut to the row's size where that follows from its inputs."""
    rows: list[dict[str, Any]] = [{} for _ in items]
    for name, array in outputs.items():
        axes = signature.output(name).axes
        at = axes.index(batch_axis(signature)) if batch_axis(signature) in axes else None
        for number, item in enumerate(items):
            row = array if at is None else np.take(array, number, axis=at)
            sizes = _sizes(item, signature)
            for place, axis in enumerate(one for index, one in enumerate(axes) if index != at):
                size = _cut(axis, sizes) if isinstance(axis, str) else None
                if size is not None and size < row.shape[place]:
                    row = np.take(row, range(size), axis=place)
            rows[number][name] = row
    return rows


def batch_axis(signature: Signature) -> int | str:
    """The axis of rows: the first of the first input that has axes and is neither lengths nor a state."""
    others = signature.state_names | {one.name for one in signature.lengths}
    return next(one.axes[0] for one in signature.inputs if one.axes and one.name not in others)


def _wide(rows: list[NDArray[Any]], value: int) -> list[NDArray[Any]]:
    width = max(one.shape[-1] for one in rows)
    return [
        np.pad(one, [(0, 0)] * (one.ndim - 1) + [(0, width - one.shape[-1])], constant_values=value) for one in rows
    ]


def _sizes(item: Item, signature: Signature) -> dict[str, int]:
    """The size of each named axis of a row."""
    return {
        axis: size
        for name, array in item.inputs.items()
        for axis, size in zip(signature.input(name).axes[1:], array.shape, strict=True)
        if isinstance(axis, str)
    }


def _cut(axis: str, sizes: Mapping[str, int]) -> int | None:
    """The size that follows for an output's axis, such as ``time//2``; None where it does not follow."""
    try:
        return max(size_of(ast.parse(axis, mode="eval").body, sizes), 0)
    except (KeyError, SyntaxError, TypeError, ZeroDivisionError):
        return None
