"""The ONNX operator set that a graph is written in."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnxscript import version_converter

from ...errors import LoweringError, SignatureError
from ...runtime.ort import cpu_session
from .opset17 import Opset17Pass

DEFAULT_OPSET = 20
OLDEST_OPSET = 17


class OpsetPass(ir.passes.InPlacePass):
    """Write the graph in another version of the ONNX operators."""

    def __init__(self, opset: int) -> None:
        """Prepare for this version; see :func:`check_opset`."""
        super().__init__()
        self._opset = opset

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The converted model.

        Raises:
            LoweringError: an operator of the graph does not exist in this version.
        """
        if model.opset_imports.get("") == self._opset:
            return ir.passes.PassResult(model, modified=False)
        if self._opset == OLDEST_OPSET:
            return Opset17Pass()(model)
        try:
            version_converter.convert_version(model, target_version=self._opset, fallback=True)
        except Exception as error:
            raise LoweringError(
                f"the graph cannot be written in opset {self._opset}: {type(error).__name__}: {error}. "
                f"Leave --opset out for {DEFAULT_OPSET}."
            ) from error
        if model.opset_imports.get("") != self._opset:
            raise LoweringError(
                f"the graph cannot be written in opset {self._opset}: it uses operators that this version has not. "
                f"Leave --opset out for {DEFAULT_OPSET}."
            )
        return ir.passes.PassResult(model, modified=True)


def check_opset(opset: int) -> None:
    """Find out before any work whether this version can be written and run here.

    Raises:
        SignatureError: it is older than what is written here, or newer than ONNX Runtime takes.
    """
    newest = newest_opset()
    if not OLDEST_OPSET <= opset <= newest:
        raise SignatureError(
            f"opset {opset} cannot be written; allowed are {OLDEST_OPSET} to {newest}, the newest that the installed "
            "ONNX Runtime takes. Choose one of them."
        )


def newest_opset() -> int:
    """The newest released operator set that the installed onnx writes and the installed ONNX Runtime takes."""
    for opset in range(onnx.defs.onnx_opset_version(), OLDEST_OPSET, -1):
        value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
        result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
        graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "probe", [value], [result])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
        try:
            cpu_session(model.SerializeToString())
        except Exception:  # noqa: BLE001, S112  (every refusal means: try an older one)
            continue
        return opset
    return OLDEST_OPSET
