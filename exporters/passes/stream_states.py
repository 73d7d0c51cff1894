"""What the parts of the stream pass share: states at the graph's face, the two flags, and new nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ...manifest import BEGUN, ENDING
from .naming import MODULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: "To the end" of a Slice.
END = 2**63 - 1
#: Metadata of the nodes that the pass itself adds, until it is done.
OURS = "rnnx.stream"


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
        followed: whether the graph gives its next value.
    """

    name: str
    meaning: str
    dtype: str
    rows: str | int
    sizes: tuple[int, ...]
    source: str | None = None
    followed: bool = True

    @property
    def output(self) -> str | None:
        """Name of the output that holds it after a chunk."""
        return f"{self.name}_next" if self.followed else None


class States:
    """The states of one graph as they are added to it.

    Attributes:
        graph: the graph.
        rows: the first axis of every state: a name, or a fixed number of streams.
        all: what there is so far.
    """

    def __init__(self, graph: ir.Graph, rows: str | int) -> None:
        """Begin with none."""
        self.graph = graph
        self.rows = rows
        self.all: list[StreamState] = []

    def add(self, state: StreamState) -> ir.Value:
        """A new input of the graph for a state."""
        self.all.append(state)
        value = ir.Value(name=state.name, type=ir.TensorType(ir.DataType.from_numpy(np.dtype(state.dtype))))
        value.shape = ir.Shape([state.rows, *state.sizes])
        self.graph.inputs.append(value)
        return value

    def give(self, state: ir.Value, value: ir.Value) -> None:
        """Make a value the output that holds a state after the chunk."""
        value.name = f"{state.name}_next"
        value.type, value.shape = state.type, state.shape
        self.graph.outputs.append(value)

    def fresh(self) -> ir.Value:
        """int64 ``(1,)``: 1 in the first run of a stream and 0 in every other."""
        name = f"{BEGUN}/fresh"
        found = self._made(name)
        if found is not None:
            return found
        meaning = "1 once the stream has begun"
        begun = self.add(StreamState(name=BEGUN, meaning=meaning, dtype="int64", rows=self.rows, sizes=()))
        self.give(begun, self.node("Max", [begun, self.ints(1)], {}, f"{BEGUN}/out"))
        return self.node("Sub", [self.ints(1), self._first_row(begun)], {}, name)

    def ending(self) -> ir.Value:
        """int64 ``(1,)``: 1 in the last run of a stream and 0 in every other."""
        found = self._made(f"{ENDING}/row")
        if found is not None:
            return found
        meaning = "1 in the stream's last run"
        return self._first_row(
            self.add(StreamState(name=ENDING, meaning=meaning, dtype="int64", rows=self.rows, sizes=(), followed=False))
        )

    def node(self, op_type: str, inputs: list[ir.Value], attributes: Mapping[str, Any], name: str) -> ir.Value:
        """The output of a new node."""
        return add_node(self.graph, op_type, inputs, attributes, name)

    def ints(self, *numbers: int) -> ir.Value:
        """int64 constants ``(n,)``."""
        return ints(self.graph, *numbers)

    def _first_row(self, flag: ir.Value) -> ir.Value:
        # All rows of a batch agree, which the runtime sees to.
        ends = [self.ints(0), self.ints(1), self.ints(0)]
        return self.node("Slice", [flag, *ends], {}, f"{flag.name}/row")

    def _made(self, name: str) -> ir.Value | None:
        return next((node.outputs[0] for node in self.graph if node.name == name), None)


def add_node(
    graph: ir.Graph, op_type: str, inputs: list[ir.Value], attributes: Mapping[str, Any], name: str
) -> ir.Value:
    """The output of a new node of the pass's own."""
    node = ir.node(op_type, inputs, attributes, name=name)
    node.metadata_props[MODULE] = ""
    node.metadata_props[OURS] = "1"
    node.outputs[0].name = f"{name}:out"
    graph.append(node)
    return node.outputs[0]


def ints(graph: ir.Graph, *numbers: int) -> ir.Value:
    """int64 constants ``(n,)``, one initializer for all who want the same."""
    return constant(graph, "stream_i64_" + "_".join(map(str, numbers)), np.array(numbers, np.int64))


def constant(graph: ir.Graph, name: str, array: NDArray[Any]) -> ir.Value:
    """An initializer of this name, made where it is not there yet."""
    if name not in graph.initializers:
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.type = ir.Shape(array.shape), ir.TensorType(ir.DataType.from_numpy(array.dtype))
        graph.register_initializer(value)
    return graph.initializers[name]


def numbers_of(value: ir.Value | None) -> list[int] | None:
    """The whole numbers of a constant, flat; None where it is none."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else [int(one) for one in tensor.numpy().ravel()]


def size_of(value: ir.Value | None, axis: int) -> object:
    """One size of a value as the graph has it; None where that is not known."""
    return None if value is None or value.shape is None else list(value.shape)[axis]


def whose(node: ir.Node) -> str:
    """`` of module 'encoder'``, or nothing where a node has none."""
    module = node.metadata_props.get(MODULE, "")
    return f" of module '{module}'" if module else ""
