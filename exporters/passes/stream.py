"""Streaming: whole sequences in, one chunk at a time out; what recurs becomes an input and an output.

Every recurrent node gets its initial state as an input and gives its final state as an output, ``(batch, size)`` each.
Lengths disappear: every frame of a chunk is valid. What needs the whole of time is refused, with the node and the
source's module. The rules here give the reasons; that the result is right is for the parity over chunks to show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ...errors import StreamingError
from .naming import MODULE
from .stream_conv import left_context
from .time_axis import check_node, time_axes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_LAYERS = {"LSTM": ("h", "c"), "GRU": ("h",), "RNN": ("h",)}
#: Where ONNX's layers take lengths and initial states.
_SEQUENCE_LENS, _INITIAL = 4, 5
#: "To the end" of a Slice.
_END = 2**63 - 1
#: Metadata of the nodes that the pass itself adds, until it is done.
_OURS = "rnnx.stream"


class _Shape(NamedTuple):
    dtype: str
    sizes: tuple[int, ...]
    rows: object  # the first axis as the graph has it, if it has


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamState:
    """One state of a streaming graph.

    Attributes:
        name: the input, ``encoder.lstm.l0.h``; the output is called the same and ``_next``.
        meaning: ``h of encoder.lstm.l0``.
        dtype: NumPy's name of its dtype.
        rows: its first axis: a name, or a fixed number of streams.
        sizes: its axes after that.
        source: the offline graph's value that it starts from, to be evaluated for a batch of one; None for zeros.
    """

    name: str
    meaning: str
    dtype: str
    rows: str | int
    sizes: tuple[int, ...]
    source: str | None

    @property
    def output(self) -> str:
        """Name of the output that holds it after a chunk."""
        return f"{self.name}_next"


class StreamPass(ir.passes.InPlacePass):
    """Turn an offline graph into a streaming one.

    Attributes:
        states: what became state, after the pass was called.
    """

    def __init__(
        self, *, time: str, batch: str | int, lengths: tuple[str, ...] = (), declared: tuple[str, ...] = ()
    ) -> None:
        """Prepare the pass.

        Args:
            time: name of the axis that is cut into chunks.
            batch: name of the axis over which each row is a stream of its own, or 1 where there is none.
            lengths: inputs that hold lengths; they disappear.
            declared: inputs that were declared as states; the graph's own states take their place.
        """
        super().__init__()
        self._time = time
        self._batch = batch
        self._lengths = lengths
        self._declared = declared
        self.states: list[StreamState] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite the graph.

        Raises:
            StreamingError: something in it needs the whole of time.
        """
        graph = model.graph
        if not any(time_axes(value, self._time) for value in graph.inputs):
            raise StreamingError(f"no input has the axis '{self._time}', so there is nothing to cut into chunks.")
        self._check(graph)
        for name in self._lengths:
            self._full_lengths(graph, name)
        for node in list(graph):
            if node.op_type in _LAYERS:
                self._open_layer(graph, node)
            elif node.op_type == "Scan":
                self._open_scan(graph, node)
        if not self.states:
            raise StreamingError("the graph has no recurrent operator, so it has no state to carry between chunks.")
        graph.sort()  # unused nodes are found from the end
        common.RemoveUnusedNodesPass()(model)
        self._drop_inputs(graph)
        for node in graph:
            node.metadata_props.pop(_OURS, None)
        return ir.passes.PassResult(model, modified=True)

    def _check(self, graph: ir.Graph) -> None:
        """Open causal convolutions, and refuse what else mixes steps."""
        carried = {node for node in list(graph) if self._open_convolution(graph, node)}
        for node in list(graph):
            if node not in carried and node.metadata_props.get(_OURS) is None:
                check_node(node, self._time)

    def _drop_inputs(self, graph: ir.Graph) -> None:
        """Lengths and declared states go, once nothing uses them."""
        for name in (*self._lengths, *self._declared):
            value = next(one for one in graph.inputs if one.name == name)
            if value.uses():
                node = next(iter(value.uses())).node
                raise StreamingError(
                    f"'{node.name}' ({node.op_type}{_of(node)}) uses '{name}' for something else than a layer's "
                    "state, so it cannot be carried."
                )
            graph.inputs.remove(value)

    def _full_lengths(self, graph: ir.Graph, name: str) -> None:
        """Where lengths are used for masks, the chunk's own number of frames takes their place."""
        value = next(one for one in graph.inputs if one.name == name)
        for node, index in list(value.uses()):
            # Layers take lengths through a cast; without them every frame is valid.
            if node.op_type == "Cast" and all(use.idx == _SEQUENCE_LENS for use in node.outputs[0].uses()):
                for use in list(node.outputs[0].uses()):
                    use.node.replace_input_with(_SEQUENCE_LENS, None)
                graph.remove(node, safe=True)
            elif node.op_type in _LAYERS and index == _SEQUENCE_LENS:
                node.replace_input_with(_SEQUENCE_LENS, None)
        if not value.uses():
            return
        timed = next(one for one in graph.inputs if time_axes(one, self._time))
        axis = time_axes(timed, self._time)[0]
        batch = next((i for i, size in enumerate(timed.shape or ()) if i != axis and not isinstance(size, int)), None)
        if batch is None:
            raise StreamingError(f"'{timed.name}' has no batch axis for the lengths '{name}' to be of.")
        frames = _node(graph, "Shape", [timed], {"start": axis, "end": axis + 1}, f"{name}/frames")
        rows = _node(graph, "Shape", [timed], {"start": batch, "end": batch + 1}, f"{name}/rows")
        full = _node(graph, "Expand", [frames, rows], {}, f"{name}/full")
        if value.dtype != ir.DataType.INT64:
            full = _node(graph, "Cast", [full], {"to": int(value.dtype or ir.DataType.INT64)}, f"{name}/cast")
        full.type, full.shape = value.type, value.shape
        ir.convenience.replace_all_uses_with(value, full)

    def _open_convolution(self, graph: ir.Graph, node: ir.Node) -> bool:
        """Give a causal convolution its left context as a state; False where it is none."""
        found = left_context(node, self._time)
        weights = node.inputs[1] if len(node.inputs) > 1 else None
        if found is None or weights is None or weights.shape is None:
            return False
        reach, source, pad = found
        channels = int(weights.shape.numpy()[1]) * node.attributes.get_int("group", 1)
        state = self._declare(
            graph, f"{node.name}.context", _Shape("float32", (channels, reach), _size(source, 0)), None
        )
        whole = _node(graph, "Concat", [state, source], {"axis": 2}, f"{state.name}/in")
        ends = [_ints(graph, -reach), _ints(graph, _END), _ints(graph, 2)]
        self._give(graph, state, _node(graph, "Slice", [whole, *ends], {}, f"{state.name}/out"))
        node.replace_input_with(0, whole)
        node.attributes["pads"] = ir.AttrInt64s("pads", [0, 0])
        if pad is not None:
            graph.remove(pad, safe=True)
        return True

    def _open_layer(self, graph: ir.Graph, node: ir.Node) -> None:
        if node.attributes.get_string("direction", "forward") != "forward":
            raise StreamingError(
                f"'{node.name}' ({node.op_type}{_of(node)}) runs backwards over time, so it needs the last frame "
                "before it can answer the first. Use a one-directional layer, or --streaming off."
            )
        hidden = node.attributes["hidden_size"].as_int()
        kinds = _LAYERS[node.op_type]
        rows = _size(node.inputs[0], 1)
        while len(node.inputs) < _INITIAL + len(kinds):
            node.resize_inputs(len(node.inputs) + 1)
        if len(node.outputs) < 1 + len(kinds):
            node.resize_outputs(1 + len(kinds))
        for number, kind in enumerate(kinds):
            initial = node.inputs[_INITIAL + number]
            state = self._declare(graph, f"{node.name}.{kind}", _Shape("float32", (hidden,), rows), initial)
            lifted = _node(graph, "Unsqueeze", [state, _ints(graph, 0)], {}, f"{state.name}/in")
            node.replace_input_with(_INITIAL + number, lifted)
            final = node.outputs[1 + number]
            final.type = final.type or ir.TensorType(ir.DataType.FLOAT)
            final.name = final.name or f"{node.name}:{kind}"
            self._give(graph, state, _node(graph, "Squeeze", [final, _ints(graph, 0)], {}, f"{state.name}/out"))

    def _open_scan(self, graph: ir.Graph, node: ir.Node) -> None:
        if 1 in node.attributes.get_ints("scan_input_directions", []):
            raise StreamingError(
                f"'{node.name}' (Scan{_of(node)}) runs backwards over time, so it needs the last frame before it can "
                "answer the first. Scan forwards, or use --streaming off."
            )
        count = len(node.inputs) - node.attributes["num_scan_inputs"].as_int()
        inner = node.attributes["body"].as_graph().inputs
        for number in range(count):
            initial = node.inputs[number]
            known = [value.shape for value in (initial, inner[number]) if value is not None and value.shape is not None]
            fixed = [shape for shape in known if all(isinstance(size, int) for size in list(shape)[1:])]
            if not fixed:
                raise StreamingError(
                    f"state {number} of '{node.name}' (Scan{_of(node)}) has the shape {known}; a state that is carried "
                    "must have fixed sizes after its batch axis."
                )
            sizes = tuple(int(size) for size in list(fixed[0])[1:] if isinstance(size, int))
            dtype = inner[number].dtype or ir.DataType.FLOAT
            name = f"{node.name}.state{number}"
            state = self._declare(graph, name, _Shape(str(dtype.numpy()), sizes, next(iter(fixed[0]))), initial)
            node.replace_input_with(number, state)
            self._give(graph, state, _node(graph, "Identity", [node.outputs[number]], {}, f"{name}/out"))

    def _declare(self, graph: ir.Graph, name: str, shape: _Shape, initial: ir.Value | None) -> ir.Value:
        """A new input of the graph for a state that started from ``initial``."""
        layer, _, kind = name.rpartition(".")
        meaning = f"{kind} of {layer}"
        # A model of a fixed batch has as many streams.
        rows = shape.rows if isinstance(shape.rows, int) else self._batch
        if initial is not None and (culprit := _depends_on(initial, set(self._declared) | set(self._lengths))):
            raise StreamingError(
                f"the initial {meaning} is computed from the input '{culprit}', so no stream can start before that is "
                "known. Start from zeros or a learned constant, or use --streaming off."
            )
        self.states.append(
            StreamState(
                name=name,
                meaning=meaning,
                dtype=shape.dtype,
                rows=rows,
                sizes=shape.sizes,
                source=None if initial is None or _from_declared(initial, set(self._declared)) else initial.name,
            )
        )
        value = ir.Value(name=name, type=ir.TensorType(ir.DataType.from_numpy(np.dtype(shape.dtype))))
        value.shape = ir.Shape([rows, *shape.sizes])
        graph.inputs.append(value)
        return value

    def _give(self, graph: ir.Graph, state: ir.Value, value: ir.Value) -> None:
        value.name = f"{state.name}_next"
        value.type, value.shape = state.type, state.shape
        graph.outputs.append(value)


def _depends_on(value: ir.Value, allowed: set[str]) -> str:
    """Name of an input whose values this one depends on, its sizes aside; empty where there is none."""
    for ancestor in _ancestors(value):
        if ancestor.is_graph_input() and ancestor.name not in allowed:
            return ancestor.name or ""
    return ""


def _from_declared(value: ir.Value, declared: set[str]) -> bool:
    return any(ancestor.is_graph_input() and ancestor.name in declared for ancestor in _ancestors(value))


def _ancestors(value: ir.Value) -> Iterator[ir.Value]:
    """This value and all that its numbers come from. A shape comes from nobody's numbers."""
    seen: set[ir.Value] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        yield one
        producer = one.producer()
        if producer is not None and producer.op_type != "Shape":
            waiting += [source for source in producer.inputs if source is not None]


def _node(graph: ir.Graph, op_type: str, inputs: list[ir.Value], attributes: Mapping[str, Any], name: str) -> ir.Value:
    node = ir.node(op_type, inputs, attributes, name=name)
    node.metadata_props[MODULE] = ""
    node.metadata_props[_OURS] = "1"
    node.outputs[0].name = f"{name}:out"
    graph.append(node)
    return node.outputs[0]


def _ints(graph: ir.Graph, *numbers: int) -> ir.Value:
    name = "stream_i64_" + "_".join(map(str, numbers))
    if name not in graph.initializers:
        array: NDArray[np.int64] = np.array(numbers, np.int64)
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.INT64)
        graph.register_initializer(value)
    return graph.initializers[name]


def _size(value: ir.Value | None, axis: int) -> object:
    return None if value is None or value.shape is None else list(value.shape)[axis]


def _of(node: ir.Node) -> str:
    module = node.metadata_props.get(MODULE, "")
    return f" of module '{module}'" if module else ""
