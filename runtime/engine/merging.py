"""Requests to one feed, and its answers back to each request.

Requests are never laid end to end blindly. Along the batch axis they are stacked; along an axis that lengths measure
the shorter ones are padded, their lengths say where they end, and their answers are cut to what they would be alone.
Requests that differ along any other axis never meet.
"""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...signature import BATCH
from ..empty import size_of
from ..ragged import padding_value
from .request import Place

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from ...signature import Signature, TensorSpec
    from ..state import State
    from .request import Request

#: Begins the names of operators that quantize activations with one scale for a whole tensor, and so for a whole batch.
_ONE_SCALE = "DynamicQuantize"
#: The loudness of nothing but zeros.
_SILENCE = -10_000


class _Input(NamedTuple):
    """One input, compiled: where its rows are, which axes are padded (position, number of the axis), and with what."""

    name: str
    rows: int
    padded: tuple[tuple[int, int], ...]
    fill: int


class _Output(NamedTuple):
    """One output, compiled: where its rows are, and the axes that padding may make longer (position, expression)."""

    rows: int
    cut: tuple[tuple[int, ast.expr], ...]


class Merger:
    """Stacks and splits the requests of one variant. It holds no arrays and is thread-safe.

    Attributes:
        alone: why requests cannot be run together; empty where they can.
        unpadded: why requests of different sizes cannot; empty where they can.
        batch: name of the axis of rows; empty where it has no dynamic one.
        padded: axes that are padded.
        one_scale: whether activations are quantized with one scale for the whole batch. Requests then share a run only
            where their largest magnitudes have the same power of the root of two, or a loud one would drown the others
            (measured: beside one that is ten times as loud an int8 LSTM is off by four times its tolerance); and one
            that is not finite runs alone, or its NaN would reach all of them.
    """

    def __init__(self, signature: Signature, *, streaming: bool, operators: Mapping[str, int]) -> None:
        """Compile a signature.

        Args:
            signature: of the variant.
            streaming: whether states go their own way, as :class:`~rnnx.runtime.state.State`, and not with the feed.
            operators: how many nodes of each operator the variant has.
        """
        apart = {one.name for one in signature.states} if streaming else set()
        apart_too = {one.output for one in signature.states} if streaming else set()
        inputs = [spec for spec in signature.inputs if spec.name not in apart]
        outputs = [spec for spec in signature.outputs if spec.name not in apart_too]
        self.one_scale = any(name.startswith(_ONE_SCALE) for name in operators)
        self.unpadded = ""
        self.batch = _batch_axis(signature)
        tight = {one.axis for one in signature.lengths if one.tight}
        measured = tuple(dict.fromkeys(one.axis for one in signature.lengths))
        if tight:
            self.unpadded = f"the answers depend on where the longest row ends along {_listing(sorted(tight))}"
        elif not measured:
            self.unpadded = "the variant has no lengths"
        known = {*signature.dynamic_axes}
        parsed = {spec.name: [_parse(axis, known) for axis in spec.axes] for spec in outputs}
        self.alone: str = _why_alone(self.batch, inputs, outputs, parsed)
        self.padded: tuple[str, ...] = () if self.alone else tuple(axis for axis in measured if axis not in tight)
        # Where each dynamic axis is first seen, so that a feed's sizes are found without asking every input.
        self._axes = {
            axis: (spec.name, position)
            for spec in reversed(inputs)
            for position, axis in enumerate(spec.axes)
            if isinstance(axis, str)
        }
        self._floats = [spec.name for spec in inputs if spec.dtype.startswith("float")]
        if self.alone:
            return
        number = {axis: index for index, axis in enumerate(self.padded)}
        self._inputs = [
            _Input(
                name=spec.name,
                rows=spec.axes.index(self.batch),
                padded=tuple((at, number[axis]) for at, axis in enumerate(spec.axes) if axis in number),
                fill=padding_value(spec),
            )
            for spec in inputs
        ]
        self._outputs = {
            spec.name: _Output(
                rows=spec.axes.index(self.batch),
                cut=tuple(
                    (at, tree)
                    for at, tree in enumerate(parsed[spec.name])
                    if tree is not None and _names(tree) & {*self.padded}
                ),
            )
            for spec in outputs
        }

    def run_alone(self, why: str) -> None:
        """Run every request by itself from now on."""
        self.alone = self.alone or why

    def stop_padding(self, why: str) -> None:
        """Let only requests of equal sizes meet from now on."""
        self.unpadded, self.padded = why, ()
        self._inputs = [one._replace(padded=()) for one in self._inputs]

    def place(self, feed: Mapping[str, NDArray[Any]], state: State | None = None, kind: Hashable = "") -> Place:
        """Where a request may stand.

        Args:
            feed: its inputs, checked; empty for a stream that only ends.
            state: where its streams are, or None of whole sequences.
            kind: requests of different kinds never meet.
        """
        sizes = {axis: feed[name].shape[position] for axis, (name, position) in self._axes.items() if name in feed}
        rows = sizes.pop(self.batch, 1) if state is None else state.batch
        if self.alone or not rows or 0 in sizes.values():
            return Place(rows=rows, key=None)
        padded = tuple([sizes.pop(axis) for axis in self.padded])
        loudness = 0
        if self.one_scale:
            finite = state is None or all(np.isfinite(one).all() for one in state.values.values())
            found = self._loudness(feed)
            if not finite or found is None:
                return Place(rows=rows, key=None)
            loudness = found
        sizes.pop(self.batch, 0)
        elements = sum(array.size for array in feed.values())
        return Place(rows=rows, key=(kind, tuple(sizes.values()), loudness), sizes=padded, elements=elements)

    def merge(self, requests: Sequence[Request]) -> Mapping[str, NDArray[Any]]:
        """One feed of all their rows, in order; requests of equal keys."""
        first = requests[0].feed
        if len(requests) == 1 or not first:
            return first
        most = [max(sizes) for sizes in zip(*(one.place.sizes for one in requests), strict=True)]
        uneven = any(one.place.sizes != requests[0].place.sizes for one in requests)
        feed = {}
        for name, rows, padded, fill in self._inputs:
            arrays = [one.feed[name] for one in requests]
            if not (uneven and padded):
                feed[name] = np.concatenate(arrays, rows)
                continue
            shape = list(arrays[0].shape)
            shape[rows] = sum(one.place.rows for one in requests)
            for position, number in padded:
                shape[position] = most[number]
            feed[name] = whole = np.full(shape, fill, arrays[0].dtype)
            begin = 0
            for array in arrays:
                where = [slice(size) for size in array.shape]
                where[rows] = slice(begin, begin + array.shape[rows])
                whole[tuple(where)] = array
                begin += array.shape[rows]
        return feed

    def split(self, outputs: Mapping[str, NDArray[Any]], requests: Sequence[Request]) -> list[dict[str, NDArray[Any]]]:
        """What each of these requests asked for, copied out of the answers to :meth:`merge`."""
        if len(requests) == 1:
            return [{name: outputs[name] for name in requests[0].names if name in outputs}]
        uneven = any(one.place.sizes != requests[0].place.sizes for one in requests)
        answers, begin = [], 0
        for one in requests:
            end = begin + one.place.rows
            sizes = self._sizes(one.feed) if uneven else {}
            answer = {}
            for name in one.names:
                array = outputs.get(name)
                if array is None:
                    continue  # nothing of it yet: all frames of these streams wait
                rows, cut = self._outputs[name]
                if not rows and not (uneven and cut):
                    answer[name] = array[begin:end].copy()
                    continue
                where = [slice(None)] * array.ndim
                where[rows] = slice(begin, end)
                if uneven:
                    for position, expression in cut:
                        where[position] = slice(max(size_of(expression, sizes), 0))
                answer[name] = array[tuple(where)].copy()
            answers.append(answer)
            begin = end
        return answers

    def frames(self, requests: Sequence[Request]) -> tuple[int, int]:
        """Frames that these requests have, and frames that run when they are together."""
        rows = sum(one.place.rows for one in requests)
        if not requests[0].place.sizes:
            return rows, rows
        used = sum(one.place.rows * sum(one.place.sizes) for one in requests)
        return used, rows * sum(max(sizes) for sizes in zip(*(one.place.sizes for one in requests), strict=True))

    def _sizes(self, feed: Mapping[str, NDArray[Any]]) -> dict[str, int]:
        return {axis: feed[name].shape[position] for axis, (name, position) in self._axes.items()}

    def _loudness(self, feed: Mapping[str, NDArray[Any]]) -> int | None:
        """The power of the root of two of the largest magnitude in all floats; None where one is not finite."""
        largest = [float(np.abs(feed[name]).max()) for name in self._floats if name in feed]
        if not all(math.isfinite(one) for one in largest):
            return None
        most = max(largest, default=0.0)
        return math.floor(2 * math.log2(most)) if most else _SILENCE


def _batch_axis(signature: Signature) -> str:
    """The axis of rows; empty where there is none that is dynamic."""
    for names in (signature.lengths, signature.states):
        axes = {signature.input(one.name).axes[0] for one in names}
        if len(axes) == 1 and isinstance(axis := axes.pop(), str):
            return axis
    return BATCH if BATCH in signature.dynamic_axes else ""


def _why_alone(
    batch: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    parsed: Mapping[str, Sequence[ast.expr | None]],
) -> str:
    """Why requests of this signature cannot be run together; empty where they can."""
    if not batch:
        return "the variant has no axis 'batch' of any size"
    for what, specs in (("input", inputs), ("output", outputs)):
        for spec in specs:
            if batch not in spec.axes:
                return f"{what} '{spec.name}' has no axis '{batch}': {spec}"
    for spec in outputs:
        for axis, tree in zip(spec.axes, parsed[spec.name], strict=True):
            if isinstance(axis, str) and (tree is None or (axis != batch and batch in _names(tree))):
                return f"the axis '{axis}' of output '{spec.name}' does not follow from one request's own sizes"
    return ""


def _parse(axis: int | str, known: set[str]) -> ast.expr | None:
    """An output's axis as an expression over known axes; None of a number, and of what is decided by data."""
    if isinstance(axis, int):
        return None
    try:
        tree = ast.parse(axis, mode="eval").body
        size_of(tree, dict.fromkeys(known, 1000))
    except (KeyError, SyntaxError, TypeError, ZeroDivisionError):
        return None
    return tree


def _names(tree: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _listing(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
