"""Constant folding that torch.onnx leaves to others: casts of constants, sizes that are known."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

from ..quiet import quiet
from .naming import name_values

#: Fold only what makes little: a folded product of two weights may be larger than both.
_OUTPUT_ELEMENTS = 4096


class FoldPass(ir.passes.InPlacePass):
    """Fold small constants, merge equal nodes and weights, and drop what nothing uses.

    Identities stay: in the body of a ``Scan`` one keeps a state and an output apart, and ONNX Runtime gives wrong
    states where both are one value. onnxsim removes those that do nothing.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold, then clean up after it."""
        face = [(value.type, value.shape) for value in model.graph.outputs]
        with quiet("onnxscript"):
            optimizer.fold_constants(model, output_size_limit=_OUTPUT_ELEMENTS)
        cleaned = ir.passes.Sequential(
            common.CommonSubexpressionEliminationPass(),
            common.LiftConstantsToInitializersPass(lift_all_constants=False, size_limit=0),
            common.DeduplicateInitializersPass(),
            common.RemoveUnusedNodesPass(),
        )(model)
        # An output may now be an equal node's, of which no type was noted.
        for value, (kind, shape) in zip(cleaned.model.graph.outputs, face, strict=True):
            value.type, value.shape = kind, shape
        name_values(cleaned.model)
        return ir.passes.PassResult(cleaned.model, modified=True)
