"""Streaming: whole sequences in, one chunk at a time out; what recurs becomes an input and an output.

Every recurrent node gets its initial state as an input and gives its final state as an output, ``(batch, size)`` each.
Lengths disappear: every frame of a chunk is valid. What needs the whole of time is refused, with the node and the
source's module. The rules here give the reasons; that the result is right is for the parity over chunks to show.

Beside this module: what mixes steps (:mod:`.time_axis`), what looks at several of them (:mod:`.stream_windows`) and how
that is carried (:mod:`.stream_open`), how many frames the runs take (:mod:`.stream_course`), sizes
(:mod:`.stream_sizes`) and lengths (:mod:`.stream_lengths`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import onnx_ir as ir
from onnx_ir.passes import common

from ...errors import StreamingError
from .stream_absorb import absorb_crops, absorb_pads, absorb_zeros
from .stream_course import Course
from .stream_lengths import ancestors, drop_lengths_of_layers, drop_masks, fill_lengths
from .stream_sizes import forget_sizes, let_sizes_follow
from .stream_states import OURS, States, StreamState, size_of, whose
from .time_axis import time_axes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...manifest import Chunks

_LAYERS = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
#: Where ONNX's layers take initial states.
_INITIAL = 5


class _Shape(NamedTuple):
    dtype: str
    sizes: tuple[int, ...]
    rows: object  # the first axis as the graph has it, if it has


class StreamPass(ir.passes.InPlacePass):
    """Turn an offline graph into a streaming one.

    Attributes:
        states: what became state, after the pass was called.
        chunks: how many frames the runs of a stream take; None for any number.
    """

    def __init__(
        self,
        *,
        time: str,
        batch: str | int,
        lengths: tuple[str, ...] = (),
        declared: tuple[str, ...] = (),
        masks: Mapping[str, bool] | None = None,
    ) -> None:
        """Prepare the pass.

        Args:
            time: name of the axis that is cut into chunks.
            batch: name of the axis over which each row is a stream of its own, or 1 where there is none.
            lengths: inputs that hold lengths; they disappear.
            declared: inputs that were declared as states; the graph's own states take their place.
            masks: values that are computed from lengths alone and say the same of every frame of whole rows, and what.
        """
        super().__init__()
        self._time = time
        self._batch = batch
        self._lengths = lengths
        self._declared = declared
        self._masks = masks or {}
        self.states: list[StreamState] = []
        self.chunks: Chunks | None = None

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite the graph.

        Raises:
            StreamingError: something in it needs the whole of time.
        """
        graph = model.graph
        if not any(time_axes(value, self._time) for value in graph.inputs):
            raise StreamingError(f"no input has the axis '{self._time}', so there is nothing to cut into chunks.")
        graph.sort()
        states = States(graph, _rows(graph, self._batch))
        self.states = states.all
        absorb_zeros(graph, self._time)
        absorb_pads(graph, self._time)
        absorb_crops(graph, self._time)
        common.RemoveUnusedNodesPass()(model)  # what only made zeros of the right size
        drop_lengths_of_layers(graph, self._lengths)
        drop_masks(graph, self._masks)
        course = Course(states, self._time)
        self.chunks = course.plan()
        self._name_outputs(graph, course)
        lag = 0 if self.chunks is None else self.chunks.first - self.chunks.multiple
        for name in self._lengths:
            fill_lengths(states, name, self._time, lag)
        for node in list(graph):
            if node.op_type in _LAYERS:
                self._open_layer(states, node)
            elif node.op_type == "Scan":
                self._open_scan(states, node)
        if not self.states:
            raise StreamingError("the graph has no recurrent operator, so it has no state to carry between chunks.")
        graph.sort()  # unused nodes are found from the end
        common.RemoveUnusedNodesPass()(model)
        self._drop_inputs(graph)
        for node in graph:
            node.metadata_props.pop(OURS, None)
        return ir.passes.PassResult(model, modified=True)

    def _name_outputs(self, graph: ir.Graph, course: Course) -> None:
        """Where frames are skipped or late, outputs say how fast they come: ``time//2``."""
        if course.is_plain:
            return
        for node in graph:
            if node.outputs[0] in course.paces and course.paces[node.outputs[0]] != (1, 0):
                let_sizes_follow(course.states, node, self._time)
        for value in graph.outputs:
            if value in course.paces and value.shape is not None:
                rate = course.paces[value].rate
                late = self._time if rate == 1 else f"{self._time}//{rate}"
                over = time_axes(value, self._time)
                value.shape = ir.Shape([late if axis in over else size for axis, size in enumerate(value.shape)])
        forget_sizes(graph, self._time)

    def _drop_inputs(self, graph: ir.Graph) -> None:
        """Lengths and declared states go, once nothing uses them."""
        for name in (*self._lengths, *self._declared):
            value = next(one for one in graph.inputs if one.name == name)
            if value.uses():
                node = next(iter(value.uses())).node
                raise StreamingError(
                    f"'{node.name}' ({node.op_type}{whose(node)}) uses '{name}' for something else than a layer's "
                    "state, so it cannot be carried."
                )
            graph.inputs.remove(value)

    def _open_layer(self, states: States, node: ir.Node) -> None:
        if node.attributes.get_string("direction", "forward") != "forward":
            raise StreamingError(
                f"'{node.name}' ({node.op_type}{whose(node)}) runs backwards over time, so it needs the last frame "
                "before it can answer the first. Use a one-directional layer, or --streaming off."
            )
        hidden = node.attributes["hidden_size"].as_int()
        kinds = _LAYERS[node.op_type]
        rows = size_of(node.inputs[0], 1)
        while len(node.inputs) < _INITIAL + len(kinds):
            node.resize_inputs(len(node.inputs) + 1)
        if len(node.outputs) < 1 + len(kinds):
            node.resize_outputs(1 + len(kinds))
        for number, kind in enumerate(kinds):
            initial = node.inputs[_INITIAL + number]
            state = self._declare(states, f"{node.name}.{kind}", _Shape("float32", (hidden,), rows), initial)
            lifted = states.node("Unsqueeze", [state, states.ints(0)], {}, f"{state.name}/in")
            node.replace_input_with(_INITIAL + number, lifted)
            final = node.outputs[1 + number]
            final.type = final.type or ir.TensorType(ir.DataType.FLOAT)
            final.name = final.name or f"{node.name}:{kind}"
            states.give(state, states.node("Squeeze", [final, states.ints(0)], {}, f"{state.name}/out"))

    def _open_scan(self, states: States, node: ir.Node) -> None:
        if 1 in node.attributes.get_ints("scan_input_directions", []):
            raise StreamingError(
                f"'{node.name}' (Scan{whose(node)}) runs backwards over time, so it needs the last frame before it can "
                "answer the first. Scan forwards, or use --streaming off."
            )
        count = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
        inner = node.attributes["body"].as_graph().inputs
        for number in range(count):
            initial = node.inputs[number]
            known = [value.shape for value in (initial, inner[number]) if value is not None and value.shape is not None]
            fixed = [one for one in known if len(one) and all(isinstance(size, int) for size in list(one)[1:])]
            if not fixed:
                raise StreamingError(
                    f"state {number} of '{node.name}' (Scan{whose(node)}) has the shape {known}; a state that is "
                    "carried must have fixed sizes after its batch axis."
                )
            sizes = tuple(int(size) for size in list(fixed[0])[1:] if isinstance(size, int))
            dtype = inner[number].dtype or ir.DataType.FLOAT
            name = f"{node.name}.state{number}"
            state = self._declare(states, name, _Shape(str(dtype.numpy()), sizes, next(iter(fixed[0]))), initial)
            node.replace_input_with(number, state)
            states.give(state, states.node("Identity", [node.outputs[number]], {}, f"{name}/out"))

    def _declare(self, states: States, name: str, shape: _Shape, initial: ir.Value | None) -> ir.Value:
        """A new input of the graph for a state that started from ``initial``."""
        layer, _, kind = name.rpartition(".")
        meaning = f"{kind} of {layer}"
        if initial is not None and (culprit := _depends_on(initial, set(self._declared) | set(self._lengths))):
            raise StreamingError(
                f"the initial {meaning} is computed from the input '{culprit}', so no stream can start before that is "
                "known. Start from zeros or a learned constant, or use --streaming off."
            )
        declared = initial is None or _from_declared(initial, set(self._declared))
        return states.add(
            StreamState(
                name=name,
                meaning=meaning,
                dtype=shape.dtype,
                # A model of a fixed batch has as many streams.
                rows=shape.rows if isinstance(shape.rows, int) else states.rows,
                sizes=shape.sizes,
                source=None if declared or initial is None else initial.name,
            )
        )


def _rows(graph: ir.Graph, named: str | int) -> str | int:
    """The first axis of every state; a model of a fixed batch says it in its layers."""
    if isinstance(named, str):
        return named
    at = {**dict.fromkeys(_LAYERS, 1), "Conv": 0}
    sizes = [size_of(node.inputs[0], at[node.op_type]) for node in graph if node.op_type in at]
    return next((size for size in sizes if isinstance(size, int)), named)


def _depends_on(value: ir.Value, allowed: set[str]) -> str:
    """Name of an input whose values this one depends on, its sizes aside; empty where there is none."""
    for ancestor in ancestors(value):
        if ancestor.is_graph_input() and ancestor.name not in allowed:
            return ancestor.name or ""
    return ""


def _from_declared(value: ir.Value, declared: set[str]) -> bool:
    return any(ancestor.is_graph_input() and ancestor.name in declared for ancestor in ancestors(value))
