"""Simplification by onnxsim, a stage of its own whose result is checked."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import onnxsim

from ...errors import LoweringError
from ..quiet import silent
from .naming import MODULE, module_of

#: Rewrites that we do not want. The first turns a product over ``(batch, time, features)`` into reshape, Gemm and
#: reshape back with arithmetic on shapes, which is slower on a CPU and hides the product from quantization.
SKIPPED = ("fuse_matmul_add_bias_into_gemm_batched",)

#: Protocol buffers end here; larger models keep their weights outside, and onnxsim does not see those.
LIMIT_BYTES = 2**31 - 1

#: Begins the name that an output nobody reads has while onnxsim looks.
_UNREAD = "rnnx.unread:"


class SimplifyPass(ir.passes.FunctionalPass):
    """Fold constants and remove what does nothing."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The simplified model, a new one.

        Raises:
            LoweringError: onnxsim fails, or the ONNX checker rejects what it made.
        """
        before = ir.to_proto(model)
        _name_unread(before.graph)
        try:
            with silent():
                after, _ = onnxsim.simplify(before, skipped_optimizers=list(SKIPPED))
            onnx.checker.check_model(after, full_check=True)
        except Exception as error:
            raise LoweringError(
                f"onnxsim failed on the graph: {type(error).__name__}: {error}. Export with --no-simplify."
            ) from error
        simplified = ir.from_proto(after)
        # onnxsim drops metadata. The nodes that it kept are known by their names; what it made itself has no module.
        modules = {node.name: module_of(node) for node in ir.traversal.RecursiveGraphIterator(model.graph)}
        for node in ir.traversal.RecursiveGraphIterator(simplified.graph):
            node.metadata_props[MODULE] = modules.get(node.name, "")
            for value in node.outputs:
                if value.name is not None and value.name.startswith(_UNREAD) and not value.uses():
                    value.name = ""
        return ir.passes.PassResult(simplified, modified=before.SerializeToString() != after.SerializeToString())


def _name_unread(graph: onnx.GraphProto, prefix: str = _UNREAD) -> None:
    """Give a name to every output that has none, which says that nobody reads it.

    onnxsim takes the empty name for a value like any other: an input that is left out further on, such as a decoder's
    ``sequence_lens``, would become the encoder's output that nobody reads, and its shape inference then fails.
    """
    for number, node in enumerate(graph.node):
        for place, name in enumerate(node.output):
            if not name:
                node.output[place] = f"{prefix}{number}.{place}"
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _name_unread(attribute.g, f"{prefix}{number}.{attribute.name}.")


def weight_bytes(model: ir.Model) -> int:
    """Bytes of all weights, those of bodies among them."""
    weights = (value.const_value for graph in model.graphs() for value in graph.initializers.values())
    return sum(one.nbytes for one in weights if one is not None)
