"""A runner that keeps the first arrays on their way to another one: real inputs to calibrate with and to time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from .system import Arrays, Pushing, Runner


class Recorder:
    """Answers as another runner does.

    Attributes:
        name: the other runner's.
        feeds: the first inputs that it was given, whole sequences or chunks.
    """

    def __init__(self, runner: Runner, *, count: int, rows: int) -> None:
        """Keep ``count`` feeds of at most ``rows`` rows each."""
        self.name = runner.name
        self.feeds: list[Arrays] = []
        self._runner, self._count, self._rows = runner, count, rows

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """As the other runner."""
        self.keep(inputs)
        return self._runner.run(inputs)

    def stream(self) -> Pushing:
        """As the other runner."""
        return _Recorded(self, self._runner.stream())

    def keep(self, inputs: Mapping[str, NDArray[Any]]) -> None:
        """Keep these, if there are not enough yet. Scalars have no rows and are kept whole."""
        if len(self.feeds) < self._count:
            arrays = {name: np.asarray(array) for name, array in inputs.items()}
            self.feeds.append({name: array[: self._rows] if array.ndim else array for name, array in arrays.items()})


class _Recorded:
    def __init__(self, recorder: Recorder, stream: Pushing) -> None:
        self._recorder, self._stream = recorder, stream

    def push(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        self._recorder.keep(inputs)
        return self._stream.push(inputs)

    def finish(self) -> Arrays:
        return self._stream.finish()
