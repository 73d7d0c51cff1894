"""The graph's face: inputs and outputs in the signature's names, order, dtypes and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from ...errors import CaptureError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ...signature import Axis, Signature


class InterfacePass(ir.passes.InPlacePass):
    """Name inputs and outputs, and write their axes by name.

    torch.onnx writes its own symbols (``s27``), whose numbers depend on what the process did before. The face gets
    the declared names, and intermediate shapes are rewritten in them; a dimension that has none is left open.
    """

    def __init__(self, signature: Signature, sources: Mapping[str, str], rename: Callable[[str], str | None]) -> None:
        """Prepare the pass.

        Args:
            signature: the face that the graph is to have.
            sources: for each of the signature's inputs the graph's present name.
            rename: a symbolic size in the signature's axes, or None where it has no name in them.
        """
        super().__init__()
        self._signature = signature
        self._sources = sources
        self._rename = rename

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rename, retype and reorder."""
        graph = model.graph
        for value in _intermediates(graph):
            if value.shape is not None:
                value.shape = ir.Shape([self._named(size) for size in value.shape])
        by_name = {value.name: value for value in graph.inputs}
        inputs = []
        for spec in self._signature.inputs:
            value = by_name[self._sources[spec.name]]
            value.name = spec.name
            value.shape = _shape(spec.axes)
            if value.dtype != ir.DataType[_ONNX_DTYPES[spec.dtype]]:
                raise CaptureError(f"input '{spec.name}' became {value.dtype} in the graph, not {spec.dtype}.")
            inputs.append(value)
        graph.inputs.clear()
        graph.inputs.extend(inputs)
        _own_outputs(graph)
        for value, spec in zip(graph.outputs, self._signature.outputs, strict=True):
            value.name = spec.name
            value.shape = _shape(spec.axes)
            value.dtype = ir.DataType[_ONNX_DTYPES[spec.dtype]]
        return ir.passes.PassResult(model, modified=True)

    def _named(self, size: int | ir.SymbolicDim) -> int | str | None:
        if isinstance(size, int):
            return size
        return None if size.value is None else self._rename(str(size.value))


def _own_outputs(graph: ir.Graph) -> None:
    """Every output a value of its own: not an input, an initializer, or another output's value."""
    seen: set[ir.Value] = set()
    for index, value in enumerate(graph.outputs):
        if value in seen or value.is_graph_input() or value.is_initializer():
            node = ir.node("Identity", [value], name=f"output{index}/Identity")
            graph.append(node)
            copy = node.outputs[0]
            copy.type = value.type
            graph.outputs[index] = copy
        seen.add(graph.outputs[index])


def _intermediates(graph: ir.Graph) -> list[ir.Value]:
    return [
        value
        for node in ir.traversal.RecursiveGraphIterator(graph)
        for value in node.outputs
        if not value.is_graph_output()
    ]


def _shape(axes: tuple[Axis, ...]) -> ir.Shape:
    return ir.Shape(axes)


#: ONNX's names of our dtypes.
_ONNX_DTYPES = {
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "float16": "FLOAT16",
    "int64": "INT64",
    "int32": "INT32",
    "int16": "INT16",
    "int8": "INT8",
    "uint8": "UINT8",
    "bool": "BOOL",
}
