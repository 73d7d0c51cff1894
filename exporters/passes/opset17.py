"""Back from operator set 18, which torch.onnx writes, to 17.

ONNX's own converter has no way back for several operators whose change in 18 was only one of form. Those are rewritten
here (ONNX changelog, operator set 18): the axes of reductions from an input to an attribute, and the number of parts of
a ``Split``, which 17 takes from the node's outputs.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from ...errors import LoweringError

_REDUCTIONS = {
    f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
}


class Opset17Pass(ir.passes.InPlacePass):
    """Write a graph of operator set 18 in 17."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite what changed.

        Raises:
            LoweringError: an operator does not exist in 17 in the form that the graph uses.
        """
        for node in ir.traversal.RecursiveGraphIterator(model.graph):
            if node.domain not in {"", "ai.onnx"} or not _changed(node.op_type):
                continue
            if node.op_type in _REDUCTIONS:
                _axes_to_attribute(node)
            elif node.op_type == "Split":
                node.attributes.pop("num_outputs", None)
            elif not (node.op_type == "Pad" and len(node.inputs) < 4):
                raise LoweringError(
                    f"node '{node.name}' ({node.op_type}) has no form in opset 17. Use --opset 18 or later."
                )
        model.opset_imports[""] = 17
        return ir.passes.PassResult(model, modified=True)


def _changed(op_type: str) -> bool:
    """Whether this operator is another one in 18 than in 17."""
    if not onnx.defs.has(op_type, 17, ""):
        return True
    versions = {onnx.defs.get_schema(op_type, version, "").since_version for version in (17, 18)}
    return len(versions) > 1


def _axes_to_attribute(node: ir.Node) -> None:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is None:
        if node.attributes.get_int("noop_with_empty_axes", 0):
            raise LoweringError(f"node '{node.name}' reduces nothing, which opset 17 cannot say. Use --opset 18.")
    else:
        known = ir.convenience.get_const_tensor(axes)
        if known is None:
            raise LoweringError(f"node '{node.name}' computes its axes, which opset 17 cannot. Use --opset 18.")
        node.attributes["axes"] = ir.AttrInt64s("axes", [int(one) for one in known.numpy().ravel()])
        node.resize_inputs(1)
    node.attributes.pop("noop_with_empty_axes", None)
