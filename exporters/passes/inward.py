"""Constants that only one body uses lie in that body.

An int8 product in a ``Scan`` was found to take ONNX Runtime about a microsecond longer where its weights are the outer
graph's, a tenth of a step of a GRU of 256. In a body of a body it takes as long as with weights that are not packed for
it, two to three times the whole step (``benchmarks/notes/quantization.md``).
"""

from __future__ import annotations

import onnx_ir as ir

#: Constants of fewer numbers than this cost nothing where they are.
_SMALLEST = 64


class InwardPass(ir.passes.InPlacePass):
    """Move each initializer of the outermost graph that a single body uses into it; what several use stays."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph with its constants moved, changed in place."""
        outermost = model.graph
        moved = False
        for name, value in list(outermost.initializers.items()):
            if value.is_graph_input() or value.is_graph_output() or value.const_value is None:
                continue
            users = {id(graph): graph for user in value.uses() if (graph := user.node.graph) is not None}
            if value.const_value.size < _SMALLEST or len(users) != 1 or id(outermost) in users:
                continue
            (body,) = users.values()
            del outermost.initializers[name]
            body.register_initializer(value)
            moved = True
        return ir.passes.PassResult(model, modified=moved)
