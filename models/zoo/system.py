"""What one system of the zoo is: a model, its recipe, its face to the exporter, and how its answers are scored."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from .gallery.exhibit import Exhibit

Arrays = dict[str, "NDArray[Any]"]


class Pushing(Protocol):
    """A batch of streams that are answered chunk by chunk."""

    def push(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """The next chunk of every row, ``(batch, chunk, ...)`` each -> the outputs for it."""
        ...

    def finish(self) -> Arrays:
        """The answers that were still to come where the model looks ahead; outputs without steps otherwise."""
        ...


class Runner(Protocol):
    """A model that answers arrays, whatever it is made of: the PyTorch module, or a variant of its bundle.

    Attributes:
        name: what to call it, such as ``torch`` or ``int8 offline``.
    """

    name: str

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Answer a batch.

        Args:
            inputs: arrays by the names of the system's face, lengths (int64 ``(batch,)``) among them. States may be
                left out, and begin at zeros.

        Returns:
            Arrays by the names of the system's outputs.
        """
        ...

    def stream(self) -> Pushing:
        """Begin a batch of streams.

        Raises:
            StreamingError: this runner cannot go chunk by chunk.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """What a system is judged by.

    Attributes:
        name: such as ``accuracy`` or ``bits per character``.
        unit: such as ``%``; empty for a plain number.
        higher_is_better: whether more is better.
        digits: decimals to show.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    digits: int = 2

    def show(self, value: float) -> str:
        """A value for people: a share as per cent where the unit is ``%``."""
        return f"{100 * value:.{self.digits}f}%" if self.unit == "%" else f"{value:.{self.digits}f} {self.unit}".strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What a model reached on held-out examples.

    Attributes:
        value: in the metric's own unit; per cents as shares of 1.
        count: of how many examples (or tokens, or frames).
        details: further figures by name, such as a second metric, a part of the data, or a baseline.
    """

    value: float
    count: int
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Face:
    """What the exporter is told of a model; see :func:`rnnx.exporters.export` for each of these.

    Attributes:
        inputs: declarations, in ``forward``'s order.
        outputs: names.
        lengths: names of the inputs that hold lengths.
        states: declarations of inputs that recur. The module takes them last, and gives their new values last, in the
            same order, as outputs of the names in ``new_states``.
        new_states: names among ``outputs``; as many as there are states.
        ranges: sizes of dynamic axes.
        example: sizes for the example that is traced.
        streaming: ``on``, ``off`` or ``auto``.
        time: the axis that a streaming variant is given in chunks.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lengths: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    new_states: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    example: Mapping[str, int] = field(default_factory=dict)
    streaming: Literal["on", "off", "auto"] = "auto"
    time: str = "time"


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """What a user says of one training.

    Attributes:
        seed: of weights, order, dropout and whatever else is left to chance.
        steps: optimiser steps in place of the recipe's own, to try things out.
        data: a folder that holds the unpacked source of the data, where it is not installed.
        folder: where the training keeps what it needs to go on after it was cut off; None keeps nothing.
        report: called with the step, from 1, the number of steps, and a line of figures.
    """

    seed: int = 0
    steps: int | None = None
    data: Path | None = None
    folder: Path | None = None
    report: Callable[[int, int, str], None] = lambda _step, _steps, _line: None


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """One system of the zoo.

    Attributes:
        name: as in ``rnnx zoo export NAME``; also the stem of its files, ``NAME.safetensors`` and so on.
        build: the module that is exported, with fresh weights, at the size of the checkpoint. It needs no data: tables
            of characters and the like are committed beside it.
        train: from data to that module, in eval mode.
        face: what the exporter is told of it.
        assets: files that travel in the bundle, by name: ``task.json`` (:mod:`rnnx.runtime.tasks`) and what it names.
        held_out: the examples to score, from the slice of data that is committed beside the module, without torch; or
            from the package that holds them, where it is installed.
        held_out_in: the same from a folder that holds the unpacked package; None where they are committed.
        evaluate: the score of a runner on them, in NumPy.
        metric: what that score is.
        int8_budget: by how much the metric may become worse for an int8 variant; None for no int8 variant.
        int8_metric: a score that is quicker to find, for the search of the int8 variant; None for :attr:`evaluate`.
        exhibit: from the path of its bundle to what it shows in the gallery; None for nothing.
    """

    name: str
    build: Callable[[], nn.Module]
    train: Callable[[Training], nn.Module]
    face: Face
    assets: Callable[[], Mapping[str, bytes]]
    held_out: Callable[[], Any]
    evaluate: Callable[[Runner, Any], Score]
    metric: Metric
    int8_budget: float | None = None
    int8_metric: Callable[[Runner, Any], Score] | None = None
    exhibit: Callable[[Path], Exhibit] | None = None
    held_out_in: Callable[[Path], Any] | None = None

    def examples(self, data: Path | None) -> Any:  # noqa: ANN401  (what the system's evaluate takes)
        """The examples to score.

        Args:
            data: a folder that holds the unpacked source of the data, for examples that are not committed.

        Raises:
            MissingDataError: they are neither committed, nor in the folder, nor installed.
        """
        return self.held_out() if data is None or self.held_out_in is None else self.held_out_in(data)

    @property
    def home(self) -> Path:
        """The folder of the module that made it: where its checkpoint, its card and its data lie."""
        return Path(inspect.getfile(self.train)).parent

    @property
    def checkpoint(self) -> Path:
        """The committed weights."""
        return self.home / f"{self.name}.safetensors"
