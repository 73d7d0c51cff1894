"""Eight bits: the heavy nodes of an fp32 graph, those asked for, replaced by quantized ones; bodies too.

The face and all states stay float32. Activations are quantized on the spot (dynamic quantization), so nothing has to be
calibrated; what each node costs in accuracy is for :mod:`rnnx.exporters.quantization` to measure, which then says which
nodes to take. Forms were chosen by measurement, see ``benchmarks/notes/quantization.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import onnx_ir as ir
from onnx_ir.passes import common

from ...errors import LoweringError
from ..layer import Builder
from .int8_frames import BOUNDED, LENGTHS
from .int8_lstm import lstm_refusal, quantize_lstm
from .int8_products import (
    conv_refusal,
    gather_refusal,
    matmul_refusal,
    quantize_conv,
    quantize_gather,
    quantize_matmul,
)
from .int8_scan import quantize_scan, scan_refusal
from .int8_weights import CONTRIB, constant_of
from .inward import InwardPass
from .naming import module_of, name_values
from .replacing import shared_constants, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

#: Version of ONNX Runtime's own operators.
CONTRIB_VERSION = 1
#: Weights with fewer numbers than this stay: they take no room and no time, and quantizing around them does.
SMALLEST = 1024


class _Form(NamedTuple):
    refusal: Callable[[ir.Node], str]
    quantize: Callable[[ir.Node, Builder], None]
    #: Which inputs hold the weights.
    weights: tuple[int, ...]
    #: Whether the node itself stays and only its weights change.
    stays: bool = False


_FORMS = {
    "LSTM": _Form(lstm_refusal, quantize_lstm, (1, 2)),
    "GRU": _Form(scan_refusal, quantize_scan, (1, 2)),
    "RNN": _Form(scan_refusal, quantize_scan, (1, 2)),
    "MatMul": _Form(matmul_refusal, quantize_matmul, (1,)),
    "Gemm": _Form(matmul_refusal, quantize_matmul, (1,)),
    "Gather": _Form(gather_refusal, quantize_gather, (0,)),
    "Conv": _Form(conv_refusal, quantize_conv, (1,), stays=True),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A node of an fp32 graph whose weights could be held in eight bits.

    Attributes:
        name: the node's, unique in the graph and its bodies.
        operator: its operator, such as ``GRU``.
        module: qualified name of the source's module, or empty.
        weights: how many numbers its weights are.
        refusal: why it cannot be quantized, or empty.
    """

    name: str
    operator: str
    module: str
    weights: int
    refusal: str = ""


class Int8Pass(ir.passes.InPlacePass):
    """Replace nodes by quantized ones.

    Attributes:
        nodes: names of the nodes to replace, from :func:`candidates`; None for all that can be.
    """

    def __init__(self, nodes: Collection[str] | None = None) -> None:
        """Prepare for these nodes."""
        super().__init__()
        self.nodes = None if nodes is None else frozenset(nodes)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph with those nodes replaced, changed in place.

        Raises:
            LoweringError: a name is no candidate's, or that node cannot be quantized.
        """
        found = {candidate.name: (candidate, node) for candidate, node in _found(model)}
        chosen = self._chosen([candidate for candidate, _ in found.values()])
        made = shared_constants(model)
        taken = {node.name for node in ir.traversal.RecursiveGraphIterator(model.graph)}
        for name in chosen:
            node = found[name][1]
            graph = node.graph
            assert isinstance(graph, ir.Graph)
            builder = Builder(graph=model.graph, scope=id(graph), made=made, prefix=name)
            form = _FORMS[node.op_type]
            form.quantize(node, builder)
            for new in builder.nodes:
                stamp(new, module_of(node), taken, "int8")
            graph.insert_before(node, builder.nodes)
            if not form.stays:
                graph.remove(node, safe=True)
        if chosen:
            model.opset_imports[CONTRIB] = CONTRIB_VERSION
            for node in ir.traversal.RecursiveGraphIterator(model.graph):
                for note in (LENGTHS, BOUNDED):
                    node.metadata_props.pop(note, None)
            common.RemoveUnusedNodesPass()(model)
            name_values(model)
            InwardPass()(model)
        return ir.passes.PassResult(model, modified=bool(chosen))

    def _chosen(self, there: list[Candidate]) -> list[str]:
        if self.nodes is None:
            return [one.name for one in there if not one.refusal]
        refusals = {one.name: one.refusal for one in there}
        for name in sorted(self.nodes):
            if name not in refusals:
                known = ", ".join(f"'{one.name}'" for one in there) or "none"
                raise LoweringError(f"there is no node '{name}' to quantize; there are {known}.")
            if refusals[name]:
                raise LoweringError(f"node '{name}' cannot be quantized: {refusals[name]}. Leave it in fp32.")
        return [one.name for one in there if one.name in self.nodes]


def candidates(model: ir.Model) -> list[Candidate]:
    """The nodes whose weights could be held in eight bits, in the graph's order, those of bodies among them."""
    return [candidate for candidate, _ in _found(model)]


def _found(model: ir.Model) -> Iterator[tuple[Candidate, ir.Node]]:
    taken: set[str] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        form = _FORMS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
        if form is None:
            continue
        weights = [constant_of(node.inputs[index]) if index < len(node.inputs) else None for index in form.weights]
        size = sum(one.size for one in weights if one is not None)
        if size < SMALLEST or any(one is None for one in weights):
            continue
        name = node.name or f"{node.op_type}"
        number = 1
        while name in taken:
            number += 1
            name = f"{node.name or node.op_type}#{number}"
        taken.add(name)
        yield (
            Candidate(
                name=name,
                operator=node.op_type,
                module=module_of(node),
                weights=size,
                refusal=form.refusal(node),
            ),
            node,
        )
