"""Fewer bytes for a file of lower precision, with the same numbers: what is said twice, and what nobody reads there.

In a small model whose weights are eight bits the rest weighs: an LSTM's two biases, of which only the sum counts, zero
points, notes about where nodes come from, shapes that ONNX Runtime works out by itself. Constants are made again by
nodes that ONNX Runtime computes once, when it loads the graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

#: Operators whose fourth input is ``(num_directions, 8 hidden_size)``: biases of input and recurrence, which
#: are only ever added. (Those of a GRU are not: one stands behind the reset gate.)
_BIASED = frozenset({"LSTM", "DynamicQuantizeLSTM"})
_BIAS = 3
#: Constants of fewer bytes than a node that makes them are left as they are.
_LEAST_BYTES = 256


class CompactPass(ir.passes.InPlacePass):
    """Replace constants by shorter ones and a node."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph with a sum in place of two biases, and zeros made of their shape."""
        graph = model.graph

        for node in list(ir.traversal.RecursiveGraphIterator(graph)):
            if node.op_type in _BIASED and len(node.inputs) > _BIAS:
                value = node.inputs[_BIAS]
                if value is not None and _stored(graph, value):
                    self._add_biases(graph, value)
        for value in list(graph.initializers.values()):
            if _stored(graph, value) and value.const_value is not None:
                array = value.const_value.numpy()
                if array.nbytes >= _LEAST_BYTES and not np.any(array):
                    shape = self._constant(graph, f"{value.name}.shape", np.array(array.shape, np.int64))
                    zero = ir.AttrTensor("value", ir.tensor(np.zeros(1, array.dtype)))
                    self._replace(graph, value, ir.Node("", "ConstantOfShape", [shape], [zero]))
        return ir.passes.PassResult(model, modified=True)

    def _add_biases(self, graph: ir.Graph, value: ir.Value) -> None:
        """``[Wb, Rb]`` as ``[Wb + Rb, 0]``; float32 adds them as the operator would."""
        assert value.const_value is not None
        array = value.const_value.numpy()
        # float16 would round the sum, which the operator does not.
        if array.ndim != 2 or array.dtype != np.float32 or array.nbytes < 2 * _LEAST_BYTES:
            return
        half = array.shape[1] // 2
        summed = self._constant(graph, f"{value.name}.sum", array[:, :half] + array[:, half:])
        pads = self._constant(graph, f"{value.name}.pads", np.array([0, 0, 0, half], np.int64))
        self._replace(graph, value, ir.Node("", "Pad", [summed, pads]))

    def _constant(
        self, graph: ir.Graph, name: str, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    ) -> ir.Value:
        same = graph.initializers.get(name)
        if same is not None:
            return same
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        graph.register_initializer(value)
        return value

    def _replace(self, graph: ir.Graph, value: ir.Value, node: ir.Node) -> None:
        """Let a node at the beginning of the graph make what was stored."""
        made, name = node.outputs[0], value.name
        assert name is not None
        assert value.dtype is not None
        made.shape, made.dtype = value.shape, value.dtype
        node.name = f"{name}/made"
        ir.convenience.replace_all_uses_with(value, made)
        graph.initializers.pop(name)
        made.name = name
        graph.insert_before(next(iter(graph)), [node])


def strip(model: ModelProto) -> None:
    """Remove, in place, notes and the shapes of values between nodes; names and the face stay.

    Args:
        model: that is not made anything of any more.
    """
    del model.metadata_props[:]
    _strip(model.graph)


def _strip(graph: GraphProto) -> None:
    del graph.value_info[:]
    for node in graph.node:
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)


def _stored(graph: ir.Graph, value: ir.Value) -> bool:
    """Whether a value is a constant of the outermost graph's, and nothing that a caller sees."""
    return (
        value.const_value is not None
        and graph.initializers.get(value.name or "") is value
        and not value.is_graph_input()
        and not value.is_graph_output()
    )
