"""Sixteen bits: the heavy nodes of an fp32 graph, those asked for, and what hangs on them, in float16; bodies too.

The face (inputs, outputs, states) stays float32, with a ``Cast`` at it, but for what is asked for in float16. What
must stay in float32 is worked out in :mod:`.float16_plan`.

``onnxruntime.transformers.float16`` was tried first and not taken. A node that must stay float32 within a ``Scan`` body
gets its casts in the outer graph, and a ``Scan`` that must stay gets a body of two types: neither is a valid graph. And
it clips constants: a mask's -1e9 becomes -65504, and two of these added are an infinity.

How a machine without a GPU proves such a graph is told in :mod:`.float16_twin`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ...errors import LoweringError
from .float16_plan import BODIES, heavy_nodes, is_float, large_values, make_plan, refusal, slots
from .float16_twin import TwinPass
from .int8_weights import constant_of
from .naming import MODULE, module_of, name_values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .float16_plan import Plan

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT


class Float16Pass(ir.passes.InPlacePass):
    """Compute some nodes, and what hangs on them, in float16.

    Attributes:
        nodes: names of the heavy nodes to take, from :func:`.float16_plan.half_candidates`.
        peaks: largest finite magnitude of each value by name.
        face: names of the graph's inputs and outputs that are float16 too.
        proof: whether the graph's twin is made in its place, which a CPU can prove.
    """

    def __init__(
        self,
        nodes: Collection[str],
        peaks: Mapping[str, float],
        *,
        face: Collection[str] = (),
        proof: bool = False,
    ) -> None:
        """Prepare for these nodes."""
        super().__init__()
        self.nodes = frozenset(nodes)
        self.peaks = peaks
        self.face = frozenset(face)
        self.proof = proof

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph with those nodes in float16, changed in place.

        Raises:
            LoweringError: a name is no heavy node's, or that node must stay in float32.
        """
        _complete_types(model)
        heavy = dict(heavy_nodes(model))
        large = large_values(model, self.peaks)
        for name in sorted(self.nodes):
            if name not in heavy:
                known = ", ".join(f"'{one}'" for one in heavy) or "none"
                raise LoweringError(f"there is no node '{name}' to compute in float16; there are {known}.")
            why = refusal(heavy[name], large)
            if why:
                raise LoweringError(f"node '{name}' cannot be float16: {why}. Leave it in fp32.")
        plan = make_plan(model, [heavy[one] for one in self.nodes], large, face=self.face)
        _Rewriter(model, plan).run(self.face)
        if self.proof:
            TwinPass()(model)
        common.RemoveUnusedNodesPass()(model)
        name_values(model)
        return ir.passes.PassResult(model, modified=True)


class _Rewriter:
    """Gives values their types and puts a cast wherever two of them disagree."""

    def __init__(self, model: ir.Model, plan: Plan) -> None:
        self._graph = model.graph
        self._plan = plan
        self._casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self._taken = {node.name for node in ir.traversal.RecursiveGraphIterator(model.graph)}

    def run(self, face: Collection[str]) -> None:
        """Rewrite the whole graph."""
        graph = self._graph
        for value in graph.inputs:
            if value.dtype == _SINGLE and value.name in face:
                value.dtype = _HALF
        wanted = {value: value.dtype for value in graph.outputs}
        self._walk(graph)
        for index, value in enumerate(graph.outputs):
            if wanted[value] not in {_SINGLE, _HALF}:
                continue
            dtype = _HALF if value.name in face else _SINGLE
            if value.dtype != dtype:
                graph.outputs[index] = self._face(graph, value, dtype)

    def _walk(self, graph: ir.Graph) -> None:
        for node in list(graph):
            if node.op_type in BODIES and node.domain in {"", "ai.onnx"}:
                self._enter(node)
            elif node in self._plan.nodes:
                for index in range(len(node.inputs)):
                    self._feed(node, index, _HALF)
                for value in node.outputs:
                    if value in self._plan.values:
                        value.dtype = _HALF
            elif node.op_type not in {"Shape", "Size", "IsNaN", "IsInf", "Cast"}:
                for index in range(len(node.inputs)):
                    self._feed(node, index, _SINGLE)

    def _enter(self, node: ir.Node) -> None:
        """A node with bodies: what goes in, what happens there, and what comes out."""
        values = self._plan.values
        for body, inputs, outputs, _ in slots(node):
            for outer, inner in inputs:
                value = body.inputs[inner]
                if is_float(value):
                    into = _HALF if value in values else _SINGLE
                    value.dtype = into
                    self._feed(node, outer, into)
            self._walk(body)
            for inner, outer in outputs:
                value, out_of = body.outputs[inner], _HALF if node.outputs[outer] in values else _SINGLE
                if is_float(value) and value.dtype != out_of:
                    body.outputs[inner] = self._cast(value, out_of, body)
        for value in node.outputs:
            if value in values:
                value.dtype = _HALF

    def _feed(self, node: ir.Node, index: int, dtype: ir.DataType) -> None:
        """Let an input of a node be of this type."""
        value = node.inputs[index]
        if value is None or not is_float(value) or value.dtype == dtype:
            return
        node.replace_input_with(index, self._as(value, dtype))

    def _as(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """The same value in this type, made once, beside the value itself: a body then finds it made outside."""
        key = (value, dtype)
        if key not in self._casts:
            constant = constant_of(value) if dtype == _HALF else None
            self._casts[key] = self._cast(value, dtype) if constant is None else self._constant(value, constant)
        return self._casts[key]

    def _constant(self, value: ir.Value, numbers: Any) -> ir.Value:  # noqa: ANN401
        name = f"{value.name}.float16"
        made = ir.Value(name=name, const_value=ir.tensor(np.asarray(numbers.astype(np.float16), order="C"), name=name))
        made.shape, made.dtype = ir.Shape(numbers.shape), _HALF
        self._graph.register_initializer(made)
        return made

    def _cast(self, value: ir.Value, dtype: ir.DataType, body: ir.Graph | None = None) -> ir.Value:
        """A ``Cast`` behind what makes the value, or at the end of a body."""
        producer = value.producer()
        kind = "float16" if dtype == _HALF else "float32"
        base = f"{value.name if producer is None else producer.name}/to_{kind}"
        name = next(
            one
            for one in itertools.chain([base], (f"{base}_{count}" for count in itertools.count(1)))
            if one not in self._taken
        )
        self._taken.add(name)
        node = ir.node("Cast", [value], {"to": int(dtype)}, name=name)
        made = node.outputs[0]
        made.shape, made.dtype, made.name = value.shape, dtype, f"{value.name}.{kind}"
        node.metadata_props[MODULE] = "" if producer is None else module_of(producer)
        if body is not None:
            body.append(node)
        elif producer is not None:
            assert isinstance(producer.graph, ir.Graph)
            producer.graph.insert_after(producer, node)
        else:
            graph = value.graph if isinstance(value.graph, ir.Graph) else self._graph
            first = next(iter(graph), None)
            assert first is not None
            graph.insert_before(first, node)
        return made

    def _face(self, graph: ir.Graph, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        """A ``Cast`` at the face, whose output takes the value's name."""
        name = value.name
        made = self._cast(value, dtype, graph)
        if value.producer() is not None:
            value.name = f"{name}.inner"
        made.name = name
        return made


def _complete_types(model: ir.Model) -> None:
    """Types that capture left open: those of a node's first input, whatever the node does with it."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in node.outputs:
            if value.dtype is None and value.name:
                given = next((one.dtype for one in node.inputs if one is not None and one.dtype is not None), None)
                found = ir.DataType.INT64 if node.op_type in {"Shape", "Size"} else given
                if found is not None:
                    value.dtype = found
