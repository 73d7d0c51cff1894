"""Frames of a stream that wait for enough company: what a run takes, what stays behind, and what an empty answer is.

A graph with a stride takes multiples of some number of frames, and one that looks ahead takes more in its first run
(:class:`rnnx.manifest.Chunks`). A caller pushes what there is; what cannot be run yet waits in the state.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import StateError
from ..manifest import BEGUN, ENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ..manifest import Chunks
    from ..signature import Axis, Signature, TensorSpec
    from .state import State


def time_position(axes: tuple[Axis, ...], time: str) -> int | None:
    """Which of these axes is as long as time decides, ``time`` or ``time//2``; None where none is."""
    word = re.compile(rf"\b{re.escape(time)}\b")
    return next((i for i, axis in enumerate(axes) if isinstance(axis, str) and word.search(axis)), None)


class Waiting:
    """Joins, cuts and keeps frames for one streaming variant. It holds no arrays and is thread-safe.

    Arrays that wait are ``(batch, frames, ...)``, whatever axes the input has: the state's rows are then the first
    axis of everything in it. Inputs without frames wait as they were given last, for the run at the end.
    """

    def __init__(self, signature: Signature, chunks: Chunks) -> None:
        """Compile the signature of the variant."""
        states = signature.state_names
        self.chunks = chunks
        self._inputs = [spec for spec in signature.inputs if spec.name not in states]
        self._positions = {spec.name: time_position(spec.axes, chunks.axis) for spec in self._inputs}
        self._rows: Axis = next((signature.input(one.name).axes[0] for one in signature.states), 1)
        followed = {one.output for one in signature.states}
        self._outputs = [spec for spec in signature.outputs if spec.name not in followed]
        self.has_ending = ENDING in states

    def joined(self, state: State, feed: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """What waits and the chunk behind it, by input name, ``(batch, frames, ...)`` each.

        Args:
            state: where the stream is.
            feed: the chunk, checked.
        """
        joined = {}
        for spec in self._inputs:
            array = self._stored(spec, feed[spec.name], state.batch)
            before = state.pending.get(spec.name)
            if before is not None and before.shape[1:2] != (0,) and self._positions[spec.name] is not None:
                array = np.concatenate((before, array), axis=1)
            joined[spec.name] = array
        return joined

    def frames(self, held: Mapping[str, NDArray[Any]]) -> int:
        """How many frames these are."""
        return next((held[name].shape[1] for name, at in self._positions.items() if at is not None and name in held), 0)

    def runnable(self, frames: int, state: State) -> int:
        """How many of these frames a run may take that is not the last; 0 where all of them wait."""
        least = self.chunks.multiple if _begun(state) else self.chunks.first
        free = frames - self.chunks.keep
        return free - (free - least) % self.chunks.multiple if free >= least else 0

    def ends_with_run(self, frames: int, state: State) -> bool:
        """Whether these frames, the last ones, give anything."""
        return frames >= (self.chunks.last if _begun(state) else self.chunks.least)

    def fed(self, held: Mapping[str, NDArray[Any]], frames: int) -> dict[str, NDArray[Any]]:
        """The first ``frames`` frames in the form that the graph takes."""
        return {spec.name: self._as_given(spec, held[spec.name], frames) for spec in self._inputs}

    def rest(self, held: Mapping[str, NDArray[Any]], frames: int) -> dict[str, NDArray[Any]]:
        """What stays behind after ``frames`` frames; copies, so that the caller's arrays are free."""
        return {
            name: array.copy() if self._positions[name] is None else array[:, frames:].copy()
            for name, array in held.items()
        }

    def ending(self, state: State) -> dict[str, NDArray[Any]]:
        """The input that says that this run is the last, where the graph has it."""
        return {ENDING: np.ones(state.batch, np.int64)} if self.has_ending else {}

    def nothing(self, held: Mapping[str, NDArray[Any]], state: State) -> dict[str, NDArray[Any]]:
        """Outputs of no frames; those without frames, such as a last answer, are left out."""
        sizes: dict[Axis, int] = {self._rows: state.batch}
        for spec in self._inputs:
            if spec.name in held:
                given = self._as_given(spec, held[spec.name], 0)
                sizes.update(dict(zip(spec.axes, given.shape, strict=True)))
        answers = {}
        for spec in self._outputs:
            at = time_position(spec.axes, self.chunks.axis)
            if at is not None:
                shape = [size if isinstance(size, int) else sizes.get(size, 0) for size in spec.axes]
                shape[at] = 0
                answers[spec.name] = np.zeros(shape, spec.dtype)
        return answers

    def _stored(self, spec: TensorSpec, array: NDArray[Any], batch: int) -> NDArray[Any]:
        at = self._positions[spec.name]
        if self._rows not in spec.axes:  # one stream without a batch axis, or an input that all streams share
            array = array if at is None else np.moveaxis(array, at, 0)
            return np.repeat(array[None], batch, axis=0)
        rows = spec.axes.index(self._rows)
        return np.moveaxis(array, rows, 0) if at is None else np.moveaxis(array, (rows, at), (0, 1))

    def _as_given(self, spec: TensorSpec, array: NDArray[Any], frames: int) -> NDArray[Any]:
        at = self._positions[spec.name]
        array = array if at is None else array[:, :frames]
        if self._rows not in spec.axes:
            array = array[0] if at is None else np.moveaxis(array[0], 0, at)
        else:
            rows = spec.axes.index(self._rows)
            array = np.moveaxis(array, 0, rows) if at is None else np.moveaxis(array, (0, 1), (rows, at))
        return np.ascontiguousarray(array)


def _begun(state: State) -> bool:
    """Whether the streams have had their first run; a graph that has no such state needs nothing of its first run."""
    flag = state.values.get(BEGUN)
    if flag is None:
        return True
    if flag.min() != flag.max():
        raise StateError(
            f"some of the state's {state.batch} streams have begun and others have not ('{BEGUN}' is {flag.tolist()}). "
            "This model's streams go on together: begin them with one session.initial_state(batch)."
        )
    return bool(flag[0])
