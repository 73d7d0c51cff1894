"""How large every float value of a graph becomes, those of its bodies too: measured by running it.

A copy of the graph gets one more output, a vector with the largest finite magnitude of each value; each body gives such
a vector for its steps. Infinities are left out: float16 has them too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ...runtime.ort import cpu_session
from .float16_plan import BODIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

_OUTPUT = "rnnx.peaks"
#: The operator set from which reductions take their axes as an input.
_AXES_AS_INPUT = 18


def peaks_of(model: ir.Model, feeds: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, float]:
    """Largest finite magnitude of each float32 value by name, over all of these inputs.

    Args:
        model: an fp32 graph; it stays as it is.
        feeds: inputs by name, each complete.

    Raises:
        Exception: ONNX Runtime's own, where it does not run the graph with these inputs.
    """
    copy = ir.from_proto(ir.to_proto(model))
    measure = _Measure(copy)
    names, peaks = measure.graph(copy.graph, "")
    if peaks is None:
        return {}
    peaks.name = _OUTPUT
    copy.graph.outputs.append(peaks)
    session = cpu_session(ir.to_proto(copy).SerializeToString())
    largest: NDArray[np.float32] = np.zeros(len(names), np.float32)
    for feed in feeds:
        largest = np.maximum(largest, session.run([_OUTPUT], feed)[0])
    found: dict[str, float] = {}
    for name, peak in zip(names, largest.tolist(), strict=True):
        found[name] = max(found.get(name, 0.0), peak)
    return found


class _Measure:
    """Adds to each graph the nodes that measure it."""

    def __init__(self, model: ir.Model) -> None:
        self._outer = model.graph
        self._opset = model.graph.opset_imports.get("", 0)
        self._count = 0

    def graph(self, graph: ir.Graph, scope: str) -> tuple[list[str], ir.Value | None]:
        """Names of what is measured in a graph, and the vector of its peaks, float32 ``(names,)``."""
        names: list[str] = []
        parts: list[ir.Value] = []
        nodes = list(graph)
        for value in (*graph.inputs, *(one for node in nodes for one in node.outputs)):
            if value.name and value.dtype == ir.DataType.FLOAT and value.const_value is None:
                names.append(value.name)
                parts.append(self._peak(graph, value))
        for node in nodes:
            if node.op_type in BODIES and node.domain in {"", "ai.onnx"}:
                for inner, peaks in self._bodies(graph, node, scope):
                    names += inner
                    parts.append(peaks)
        return names, self._add(graph, "Concat", *parts, axis=0) if parts else None

    def _bodies(self, graph: ir.Graph, node: ir.Node, scope: str) -> list[tuple[list[str], ir.Value]]:
        """The peaks of a node's bodies over all of their steps."""
        bodies = [one.as_graph() for one in node.attributes.values() if one.type == ir.AttributeType.GRAPH]
        found = [self.graph(body, f"{scope}{node.name}/") for body in bodies]
        counts = [len(names) for names, _ in found]
        if not sum(counts):
            return []
        total = sum(counts)
        for index, (body, (_, peaks)) in enumerate(zip(bodies, found, strict=True)):
            # Each branch of an If gives zeros for what the other measures.
            pieces = [self._zeros(sum(counts[:index])), peaks, self._zeros(sum(counts[index + 1 :]))]
            whole = self._add(body, "Concat", *[one for one in pieces if one is not None], axis=0)
            whole.shape = ir.Shape([total])
            body.outputs.append(whole)
        names = [name for inner, _ in found for name in inner]
        node.resize_outputs(len(node.outputs) + 1)
        given = node.outputs[-1]
        self._count += 1
        given.name, given.dtype = f"rnnx.peaks{self._count}", ir.DataType.FLOAT
        for key in ("scan_output_axes", "scan_output_directions"):
            if key in node.attributes:
                node.attributes[key] = ir.AttrInt64s(key, [*node.attributes[key].as_ints(), 0])
        if node.op_type == "If":
            return [(names, given)]
        # A Loop may take no step at all.
        none = self._constant(np.zeros((1, total), np.float32))
        steps = self._add(graph, "Concat", none, given, axis=0)
        return [(names, self._reduce(graph, steps, 0))]

    def _peak(self, graph: ir.Graph, value: ir.Value) -> ir.Value:
        size = self._add(graph, "Abs", value)
        # NaN is less than nothing.
        finite = self._add(graph, "Less", size, self._constant(np.array(np.inf, np.float32)))
        kept = self._add(graph, "Where", finite, size, self._constant(np.array(0, np.float32)))
        flat = self._add(graph, "Reshape", kept, self._constant(np.array([-1], np.int64)))
        padded = self._add(graph, "Concat", self._constant(np.zeros(1, np.float32)), flat, axis=0)
        return self._reduce(graph, padded, 0, keepdims=1)

    def _reduce(self, graph: ir.Graph, value: ir.Value, axis: int, *, keepdims: int = 0) -> ir.Value:
        if self._opset >= _AXES_AS_INPUT:
            axes = self._constant(np.array([axis], np.int64))
            return self._add(graph, "ReduceMax", value, axes, keepdims=keepdims)
        return self._add(graph, "ReduceMax", value, axes=[axis], keepdims=keepdims)

    def _zeros(self, count: int) -> ir.Value | None:
        return self._constant(np.zeros(count, np.float32)) if count else None

    def _constant(self, array: NDArray[Any]) -> ir.Value:
        self._count += 1
        name = f"rnnx.constant{self._count}"
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
        self._outer.register_initializer(value)
        return value

    def _add(self, graph: ir.Graph, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:  # noqa: ANN401
        self._count += 1
        node = ir.node(op_type, list(inputs), attributes, name=f"rnnx.measure{self._count}")
        graph.append(node)
        value = node.outputs[0]
        value.name = f"rnnx.measured{self._count}"
        value.dtype = ir.DataType.BOOL if op_type == "Less" else ir.DataType.FLOAT
        return value
