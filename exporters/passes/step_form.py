"""Another form of a streaming graph: one frame a run, and what stands in a ``Scan`` over time stands in the graph.

A ``Scan`` costs some microseconds before its first step, and its step's nodes are run by a session of their own. For a
stream that is pushed one frame at a time there is nothing to repeat. Here the time axis has the size 1, every ``Scan``
of one step gives its body's nodes to the graph, and the states go in and out as they are:

    h', y = Scan(h, x)    becomes    h', y_t = body(h, squeeze(x));  y = unsqueeze(y_t)

Forwards or in reverse is the same for one step. The operators LSTM, GRU and RNN are one node and stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from .int8_frames import take_place
from .naming import MODULE, name_values
from .step_rank import lower_rank
from .stream_states import constant, numbers_of
from .time_axis import time_axes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

#: The name of this form in a bundle.
STEP = "step"
#: ONNX Runtime's, of ``(..., inputs)`` and a matrix ``(inputs, outputs)``.
_PRODUCTS = frozenset({"DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
#: Nodes through which a state is still itself.
_KEEPERS = frozenset({"Cast", "Identity", "Squeeze", "Unsqueeze"})


class StepFormPass(ir.passes.InPlacePass):
    """Give the time axis the size 1, and take every ``Scan`` of one step apart.

    Attributes:
        inlined: names of the scans that were taken apart, after the pass was called. Where there are none, the graph
            is of no use: it takes one frame a run, and is no other for that.
    """

    def __init__(self, *, time: str, states: Collection[str]) -> None:
        """Prepare the pass.

        Args:
            time: name of the axis that is cut into chunks.
            states: names of the inputs that carry a state from one chunk to the next. A ``Scan`` that begins from
                them goes over the frames of a chunk; of others the shapes must say that they have one step.
        """
        super().__init__()
        self._time = time
        self._states = frozenset(states)
        self.inlined: list[str] = []

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph changed in place; :attr:`inlined` says whether there was a ``Scan`` to take apart."""
        graph = model.graph
        if not any(node.op_type == "Scan" for node in graph):
            return ir.passes.PassResult(model, modified=False)
        set_time(model, self._time)
        face = [(value.type, value.shape) for value in graph.outputs]
        infer_shapes(model)
        carried = {node for node in graph if node.op_type == "Scan" and self._is_carried(node)}
        while found := [node for node in graph if node.op_type == "Scan" and (node in carried or has_one_step(node))]:
            for node in found:
                inline(model, node)
                self.inlined.append(node.name or "")
            carried.clear()
            # Sizes in a body may be known only now that it is none.
            name_values(model)
            infer_shapes(model)
        graph.sort()
        clean(model)
        lower_rank(graph)
        clean(model)
        # An output may now be a body's value, or an equal node's.
        for value, (kind, shape) in zip(graph.outputs, face, strict=True):
            value.type, value.shape = kind, shape
        return ir.passes.PassResult(model, modified=True)

    def _is_carried(self, node: ir.Node) -> bool:
        """Whether every state that this ``Scan`` begins from is the stream's."""
        states = node.inputs[: len(node.inputs) - _scanned(node)]
        return bool(states) and all(value is not None and self._origin(value) in self._states for value in states)

    def _origin(self, value: ir.Value) -> str | None:
        """Name of the input that a value is, but for its dtype and its axes of size one."""
        while (node := value.producer()) is not None and node.op_type in _KEEPERS and node.inputs[0] is not None:
            value = node.inputs[0]
        return value.name if value.is_graph_input() else None


def clean(model: ir.Model) -> None:
    """Merge equal nodes and constants, drop what nothing uses, and name what is left."""
    ir.passes.Sequential(
        common.CommonSubexpressionEliminationPass(),
        common.DeduplicateInitializersPass(),
        common.RemoveUnusedNodesPass(),
    )(model)
    name_values(model)


def infer_shapes(model: ir.Model) -> None:
    """Note the shapes of values; ONNX's own inference ends at ONNX Runtime's products in eight bits."""
    waiting = [node for node in model.graph if node.op_type in _PRODUCTS]
    while True:
        common.ShapeInferencePass()(model)
        known = [node for node in waiting if node.inputs[0] is not None and node.inputs[0].shape is not None]
        for node in known:
            x, matrix, made = node.inputs[0], node.inputs[1], node.outputs[0]
            if made.shape is None and x is not None and x.shape is not None and matrix is not None and matrix.shape:
                made.shape = ir.Shape([*x.shape[:-1], matrix.shape[-1]])
                made.type = made.type or ir.TensorType(ir.DataType.FLOAT)
        if not known:
            return
        waiting = [node for node in waiting if node not in known]


def set_time(model: ir.Model, time: str) -> None:
    """Give an axis the size 1 wherever it is named; sizes that are computed from it are forgotten."""
    for graph in model.graphs():
        for value in {*graph.inputs, *graph.outputs, *(one for node in graph for one in node.outputs)}:
            axes = time_axes(value, time)
            if axes and value.shape is not None:
                value.shape = ir.Shape(
                    [_size(size, time) if axis in axes else size for axis, size in enumerate(value.shape)]
                )


def _size(size: int | ir.SymbolicDim, time: str) -> int | None:
    return 1 if isinstance(size, ir.SymbolicDim) and str(size.value) == time else None


def has_one_step(node: ir.Node) -> bool:
    """Whether the shapes say that a ``Scan`` has a single step."""
    count = _scanned(node)
    values = node.inputs[len(node.inputs) - count :]
    for value, axis in zip(values, node.attributes.get_ints("scan_input_axes", [0] * count), strict=True):
        if value is not None and value.shape is not None and value.shape[axis] == 1:
            return True
    return False


def inline(model: ir.Model, node: ir.Node) -> None:
    """Put the nodes of a ``Scan``'s body where it stands, for its single step.

    That it has no more steps is for the caller to know. Where it has, ``Squeeze`` refuses the sequence when the graph
    runs: there is no wrong answer.

    Args:
        model: that the node's graph is the outermost of.
        node: the ``Scan``.
    """
    graph = model.graph
    body = node.attributes["body"].as_graph()
    scanned = _scanned(node)
    states = len(node.inputs) - scanned
    outputs = list(body.outputs)
    body.outputs.clear()
    made = _Made(model, node)
    # States first: their values are the graph's own.
    given: list[ir.Value] = []
    axes = node.attributes.get_ints("scan_input_axes", [0] * scanned)
    for number, value in enumerate(node.inputs):
        assert value is not None
        given.append(value if number < states else made.without(value, axes[number - states]))
    for inner, outer in zip(list(body.inputs), given, strict=True):
        outer.type = outer.type or inner.type
        # A pass through the body: what goes in comes out.
        outputs = [outer if value is inner else value for value in outputs]
        ir.convenience.replace_all_uses_with(inner, outer)
    body.inputs.clear()
    made.adopt(body)
    axes = node.attributes.get_ints("scan_output_axes", [0] * (len(outputs) - states))
    for number, (old, value) in enumerate(zip(node.outputs, outputs, strict=True)):
        new = _itself(value)
        if number >= states:
            new = made.with_axis(new, axes[number - states])
        elif old.is_graph_output() and (new.is_graph_output() or new.producer() is None):
            # No value can be two outputs, or an input or a constant and an output.
            new = made.node("Identity", [new], f"state{number}")
        take_place(old, new)
    graph.remove(node, safe=True)


def _scanned(node: ir.Node) -> int:
    """How many of a ``Scan``'s inputs are sequences."""
    return node.attributes["num_scan_inputs"].as_int()


def _itself(value: ir.Value) -> ir.Value:
    """A value before it was passed on as it is: in a body a state and an output must be two values, here not."""
    while (node := value.producer()) is not None and node.op_type == "Identity" and node.inputs[0] is not None:
        value = node.inputs[0]
    return value


class _Made:
    """New nodes in place of one ``Scan``."""

    def __init__(self, model: ir.Model, node: ir.Node) -> None:
        self._graph = model.graph
        self._at = node
        # Names that are free once the body has gone: two bodies may use the same.
        others = [graph for graph in model.graphs() if graph is not node.attributes["body"].as_graph()]
        self._nodes = {one.name for graph in others for one in graph}
        self._values = {value.name for graph in others for value in _named(graph)}
        self._squeezed: dict[tuple[ir.Value, int], ir.Value] = {}

    def without(self, value: ir.Value, axis: int) -> ir.Value:
        """A sequence's only step."""
        producer = value.producer()
        if producer is not None and producer.op_type == "Unsqueeze" and numbers_of(producer.inputs[1]) == [axis]:
            assert producer.inputs[0] is not None
            return producer.inputs[0]
        if (value, axis) not in self._squeezed:
            self._squeezed[value, axis] = self.node("Squeeze", [value, self._axis(axis)], "Squeeze")
        return self._squeezed[value, axis]

    def with_axis(self, value: ir.Value, axis: int) -> ir.Value:
        """A step as a sequence of one."""
        return self.node("Unsqueeze", [value, self._axis(axis)], "Unsqueeze")

    def node(self, op_type: str, inputs: list[ir.Value], name: str) -> ir.Value:
        """The output of a new node before the ``Scan``."""
        made = ir.Node("", op_type, inputs, num_outputs=1, name=self._free(f"{self._at.name}/{name}", self._nodes))
        made.metadata_props[MODULE] = self._at.metadata_props.get(MODULE, "")
        self._graph.insert_before(self._at, [made])
        made.outputs[0].type = inputs[0].type
        return made.outputs[0]

    def adopt(self, body: ir.Graph) -> None:
        """Take over a body's constants and nodes, under names that are free."""
        for name, value in list(body.initializers.items()):
            del body.initializers[name]
            value.name = self._free(name, self._values)
            self._graph.register_initializer(value)
        for one in ir.traversal.RecursiveGraphIterator(body):
            for value in one.outputs:
                _forget_names(value)
        nodes = list(body)
        body.remove(nodes)
        for one in nodes:
            one.name = self._free(one.name or one.op_type, self._nodes)
        self._graph.insert_before(self._at, nodes)

    def _axis(self, axis: int) -> ir.Value:
        """An int64 constant ``(1,)``; one that the graph has already where there is one of that name and value."""
        there = self._graph.initializers.get(f"i64_{axis}")
        if there is not None and numbers_of(there) == [axis]:
            return there
        return constant(self._graph, self._free(f"i64_{axis}", self._values), np.array([axis], np.int64))

    def _free(self, wanted: str, taken: set[str | None]) -> str:
        name, number = wanted, 1
        while name in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name)
        return name


def _forget_names(value: ir.Value) -> None:
    """Keep of a shape what is a number: bodies may call other sizes by one name, and ONNX Runtime believes names."""
    if value.shape is not None:
        value.shape = ir.Shape([size if isinstance(size, int) else None for size in value.shape])


def _named(graph: ir.Graph) -> Iterator[ir.Value]:
    """Every value of one graph, but what is within its nodes."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs
