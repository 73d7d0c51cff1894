"""The twin of a float16 graph that a CPU can prove: the same roundings, with arithmetic in float32.

ONNX Runtime's CPU provider has no float16 kernel of most operators. It computes them in float32, between casts that it
puts there and takes away again where two meet, and with them the rounding: a float16 graph on a CPU then shows no more
than what its weights lost. Casts that stand in a graph of float32 are kept. So here every float16 value becomes a
float32 one that was cast to float16 and back, and every float16 constant the float32 of the same number.

What the twin cannot show is how a GPU rounds within one operator, such as the state of an LSTM from step to step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .float16_plan import BODIES
from .naming import MODULE

if TYPE_CHECKING:
    from collections.abc import Sequence

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT
#: They give only numbers that they take, so there is nothing to round.
_MOVING = frozenset(
    {"Concat", "Expand", "Gather", "Identity", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"}
)


class TwinPass(ir.passes.InPlacePass):
    """Turn a graph of :class:`.float16.Float16Pass` into its twin. The face keeps its types."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The twin, changed in place."""
        graph = model.graph
        for value in graph.initializers.values():
            if value.dtype == _HALF and value.const_value is not None:
                exact = value.const_value.numpy().astype(np.float32)
                value.const_value = ir.tensor(exact, name=value.name)
                value.dtype = _SINGLE
        face = [value.dtype for value in graph.outputs]
        for value in [one for one in graph.inputs if one.dtype == _HALF]:
            first = next(iter(graph))
            cast = _cast(value, _SINGLE, f"{value.name}/single")
            _use(graph, value, cast.outputs[0], [cast])
            graph.insert_before(first, [cast])
        self._walk(graph)
        for index, (value, dtype) in enumerate(zip(graph.outputs, face, strict=True)):
            if dtype == _HALF and value.dtype != _HALF:
                name = value.name
                cast = _cast(value, _HALF, f"{name}/half")
                value.name, cast.outputs[0].name = f"{name}.single", name
                graph.append(cast)
                graph.outputs[index] = cast.outputs[0]
        return ir.passes.PassResult(model, modified=True)

    def _walk(self, graph: ir.Graph) -> None:
        for node in list(graph):
            for attribute in node.attributes.values():
                if attribute.type == ir.AttributeType.GRAPH:
                    body = attribute.as_graph()
                    for value in body.inputs:
                        if value.dtype == _HALF:
                            value.dtype = _SINGLE
                    self._walk(body)
            for value in node.outputs:
                if value.dtype != _HALF or not value.name:
                    continue
                if node.op_type == "Cast":
                    back = _cast(value, _SINGLE, f"{node.name}/back")
                    _use(graph, value, back.outputs[0], [back])
                    graph.insert_after(node, [back])
                    continue
                value.dtype = _SINGLE
                if node.op_type not in _MOVING | BODIES:
                    down = _cast(value, _HALF, f"{value.name}/rounded")
                    back = _cast(down.outputs[0], _SINGLE, f"{value.name}/back")
                    _use(graph, value, back.outputs[0], [down])
                    graph.insert_after(node, [down, back])


def _cast(value: ir.Value, dtype: ir.DataType, name: str) -> ir.Node:
    node = ir.node("Cast", [value], {"to": int(dtype)}, name=name)
    node.metadata_props[MODULE] = ""
    made = node.outputs[0]
    made.dtype, made.shape, made.name = dtype, value.shape, f"{name}.out"
    return node


def _use(graph: ir.Graph, value: ir.Value, other: ir.Value, apart_from: Sequence[ir.Node]) -> None:
    """Let all who use a value use the other, and at the graph's face let the other take its name."""
    for use in list(value.uses()):
        if use.node not in apart_from:
            use.node.replace_input_with(use.idx, other)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = other
            if not value.is_graph_input():
                other.name, value.name = value.name, other.name
