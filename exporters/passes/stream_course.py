"""How fast and how late each sequence of a streaming graph comes, and how many frames its runs may therefore take.

Every sequence has a pace: one of its frames comes for ``rate`` frames of the input, and the first run takes ``lag``
frames of the input more than that. Where sequences of different lags meet, the earlier ones are delayed. The counts of
frames are then followed through the graph, because no layer may ever see a run of none: ONNX Runtime's GRU ends the
process on it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ...errors import StreamingError
from ...manifest import Chunks
from .stream_open import delayed, open_window
from .stream_sizes import stretched
from .stream_states import OURS
from .stream_windows import Window, find_window, refuse
from .time_axis import check_node, time_axes

if TYPE_CHECKING:
    import onnx_ir as ir

    from .stream_states import States

LAYERS = frozenset({"LSTM", "GRU", "RNN", "Scan"})
#: Operators that fail on a sequence of no frames.
_HUNGRY = LAYERS | {"Conv", "MaxPool", "AveragePool", "Loop", "If"}


class Pace(NamedTuple):
    """How fast and how late a sequence comes."""

    rate: int
    lag: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Step:
    node: ir.Node
    source: ir.Value
    outputs: tuple[ir.Value, ...]
    window: Window | None


class _Counts(NamedTuple):
    """Frames of every sequence in one run, and whether a layer, or any output, gets none; None: it cannot be run."""

    frames: dict[ir.Value, int] | None
    starved: bool
    silent: bool


class Course:
    """The way of every sequence through one graph.

    Attributes:
        states: of the graph.
        paces: of each sequence.
    """

    def __init__(self, states: States, time: str) -> None:
        """Follow the graph from its inputs, and rewrite what looks at several steps.

        Raises:
            StreamingError: something needs the whole of time, or sequences meet that cannot be lined up.
        """
        self.paces: dict[ir.Value, Pace] = {}
        self.states = states
        self._time = time
        self._steps: list[_Step] = []
        self._late: dict[tuple[ir.Value, int], ir.Value] = {}
        self._outputs = list(states.graph.outputs)
        for value in states.graph.inputs:
            if time_axes(value, time):
                self.paces[value] = Pace(1, 0)
        self._inputs = list(self.paces)
        for node in list(states.graph):
            if OURS not in node.metadata_props and node.op_type != "Shape":
                self._pass(node)

    def _pass(self, node: ir.Node) -> None:
        timed = [(index, value) for index, value in enumerate(node.inputs) if time_axes(value, self._time)]
        check_node(node, self._time)
        window = find_window(node, self._time) if timed else None
        known = [(index, value) for index, value in timed if value is not None and value in self.paces]
        if not known:
            return
        rates = sorted({self.paces[value].rate for _, value in known})
        if len(rates) > 1:
            refuse(node, f"joins sequences of which one has a step for {rates[0]} frames and another for {rates[-1]}")
        pace = Pace(rates[0], max(self.paces[value].lag for _, value in known))
        for index, value in known:
            node.replace_input_with(index, self._delayed(node, value, pace))
        source = node.inputs[known[0][0]]
        assert source is not None
        if pace != (1, 0):
            self._lengthen(node, [(index, value) for index, value in timed if value not in self.paces], source)
        if window is not None:
            open_window(self.states, node, window)
            if window.kind == "trim" and pace != (1, 0):
                refuse(node, "cuts the end of a sequence that does not come with the input's frames")
            pace = Pace(pace.rate * window.stride, pace.lag + pace.rate * window.lag)
        outputs = tuple(value for value in node.outputs if time_axes(value, self._time))
        self._steps.append(_Step(node=node, source=source, outputs=outputs, window=window))
        self.paces.update(dict.fromkeys(outputs, pace))

    def _lengthen(self, node: ir.Node, sized: list[tuple[int, ir.Value | None]], beside: ir.Value) -> None:
        """Values that were made as long as the input become as long as the sequence that they meet."""
        for index, value in sized:
            assert value is not None
            made = stretched(self.states, value, beside, self._time, f"{node.name}/input{index}")
            if made is None:
                refuse(node, f"uses '{value.name}', which is as long as the input and cannot come later")
            node.replace_input_with(index, made)

    def _delayed(self, node: ir.Node, value: ir.Value, pace: Pace) -> ir.Value:
        frames, rest = divmod(pace.lag - self.paces[value].lag, pace.rate)
        if not frames and not rest:
            return value
        axes = time_axes(value, self._time)
        if rest:
            refuse(node, f"joins sequences that skip different frames: '{value.name}' cannot be lined up with the rest")
        if (value, frames) not in self._late:
            window = Window(kind="delay", axis=axes[0], reach=frames + 1, right=frames)
            late = delayed(self.states, node, value, window)
            self._late[value, frames] = late
            self.paces[late] = pace
            self._steps.append(_Step(node=node, source=value, outputs=(late,), window=window))
        return self._late[value, frames]

    @property
    def is_plain(self) -> bool:
        """Whether every sequence comes with the frames of the input."""
        return all(pace == (1, 0) for pace in self.paces.values())

    def plan(self) -> Chunks | None:
        """How many frames the runs may take; None where that is any number, and nothing comes at the end.

        Raises:
            StreamingError: no number of frames suits every branch of the graph.
        """
        trims = [step.window.reach for step in self._steps if step.window is not None and step.window.kind == "trim"]
        multiple = math.lcm(*trims, *(pace.rate for pace in self.paces.values()))
        # What a run leaves of one repeats after `multiple` frames; from `enough` on no sequence is without a frame.
        enough = max(1, *(pace.lag + pace.rate for pace in self.paces.values()))
        first = next((n for n in range(1, enough + multiple) if self._exact(n)), None)
        if first is None:
            raise StreamingError("its branches skip different frames, so no number of frames suits them all.")
        middle = self._run(multiple, begun=True, ending=False).frames
        assert middle is not None
        assert all(middle[value] * pace.rate == multiple for value, pace in self.paces.items())
        keep = next(n for n in range(enough + 1) if all(self._may_end(n + more) for more in range(multiple)))
        last = next((n for n in range(keep, keep + multiple) if self._runs(n, begun=True)), keep + multiple)
        least = next(n for n in range(1, first + keep + 1) if self._runs(n, begun=False) or n == first + keep)
        found = Chunks(axis=self._time, multiple=multiple, first=first, keep=keep, last=last, least=least)
        ends = any(step.window is not None and step.window.right for step in self._steps)
        return None if found == Chunks(axis=self._time) and not ends else found

    def _exact(self, frames: int) -> bool:
        """Whether a first run of so many frames leaves every sequence at its pace, and none without a frame."""
        counts = self._run(frames, begun=False, ending=False).frames
        return counts is not None and all(
            counts[value] > 0 and counts[value] * pace.rate == frames - pace.lag for value, pace in self.paces.items()
        )

    def _may_end(self, frames: int) -> bool:
        counts = self._run(frames, begun=True, ending=True)
        return counts.frames is None or not counts.starved or counts.silent

    def _runs(self, frames: int, *, begun: bool) -> bool:
        """Whether a last run of so many frames is to be run: it can be, or ONNX Runtime is to say why not."""
        counts = self._run(frames, begun=begun, ending=True)
        return counts.frames is None or not (counts.starved or counts.silent)

    def _run(self, frames: int, *, begun: bool, ending: bool) -> _Counts:
        counts = dict.fromkeys(self._inputs, frames)
        starved, fed = False, False
        for step in self._steps:
            there = counts[step.source]
            after = there if step.window is None else step.window.count(there, begun=begun, ending=ending)
            if after is None:
                return _Counts(frames=None, starved=True, silent=False)
            counts.update(dict.fromkeys(step.outputs, after))
            hungry = step.node.op_type in _HUNGRY or not step.outputs
            if step.window is None or step.window.kind == "filter":
                starved |= hungry and min(there if step.window is None else after, after) < 1
            fed |= step.window is None and step.node.op_type in LAYERS and after > 0
        over_time = [counts[value] for value in self._outputs if value in counts]
        untimed = len(over_time) < len(self._outputs)
        return _Counts(frames=counts, starved=starved, silent=not any(over_time) and not (untimed and fed))
