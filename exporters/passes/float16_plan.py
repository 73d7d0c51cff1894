"""Which values of an fp32 graph become float16: worked out from the heavy nodes outwards, bodies too.

Half precision starts at the nodes that are asked for, those whose weights are worth it. Light nodes (sums, products of
elements, what only moves values) follow their inputs: beside a half value they are half, between float32 values they
stay. So a chain of light nodes is never cast to and fro, and what is computed of whole numbers alone (positions,
counts, masks) stays in float32, where a float16 could not even count beyond 2048. Everything else, such as sums,
exponentials, variances and ranges, stays in float32.

A node whose values were measured beyond :data:`SAFE`, or whose constants float16 cannot hold, stays too, and why.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .int8 import SMALLEST, Candidate
from .int8_weights import constant_of
from .naming import module_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

#: Largest magnitude that a value may have in what was measured: an eighth of float16's 65504, for other data.
SAFE = 8192.0
#: How much a constant may lose by rounding, as a share of itself. A float16 of full precision loses at most 2**-11;
#: what loses more is too small for it, such as the 1e-12 that keeps a division from zero.
_LOST = 2.0**-9
#: Operators that pay in float16, and which of their inputs are weights.
WEIGHTS = {
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "MatMul": (0, 1),
    "Gemm": (0, 1),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "Gather": (0,),
}
#: Light operators: as exact in float16 as their inputs are, and the same type in and out.
_LIGHT = frozenset(
    {
        "Abs",
        "Add",
        "ArgMax",
        "ArgMin",
        "Clip",
        "Compress",
        "Concat",
        "DepthToSpace",
        "Dropout",
        "Elu",
        "Erf",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gelu",
        "GlobalMaxPool",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LayerNormalization",
        "LeakyRelu",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "PRelu",
        "Pad",
        "ReduceMax",
        "ReduceMin",
        "Relu",
        "Reshape",
        "ReverseSequence",
        "ScatterElements",
        "ScatterND",
        "Selu",
        "Sigmoid",
        "Sign",
        "Slice",
        "Softsign",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Sub",
        "Tanh",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        *WEIGHTS,
    }
)
#: They take any type as it is.
_ANY = frozenset({"Shape", "Size", "IsNaN", "IsInf", "Cast"})
#: Half where all of their inputs are. Beside a float32 value they stay: to compare is then exact, and what guards a
#: division from zero, such as 1e-12, is not rounded to it.
_WARY = frozenset({"Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
BODIES = frozenset({"Scan", "Loop", "If"})


@dataclass(kw_only=True, slots=True)
class Plan:
    """What becomes float16.

    Attributes:
        nodes: nodes that compute in float16.
        values: outputs of nodes and inputs of bodies that are float16.
        large: values that were measured beyond :data:`SAFE`, with what was measured.
        left: why nodes that would be float16 are not, by node.
    """

    nodes: set[ir.Node] = field(default_factory=set)
    values: set[ir.Value] = field(default_factory=set)
    large: dict[ir.Value, float] = field(default_factory=dict)
    left: dict[ir.Node, str] = field(default_factory=dict)


def heavy_nodes(model: ir.Model) -> Iterator[tuple[str, ir.Node]]:
    """The nodes with weights of a size that counts, bodies' too, each under a name that no other has."""
    taken: set[str] = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if not _is_heavy(node):
            continue
        name, number = node.name or node.op_type, 1
        while name in taken:
            number += 1
            name = f"{node.name or node.op_type}#{number}"
        taken.add(name)
        yield name, node


def half_candidates(model: ir.Model, peaks: Mapping[str, float]) -> list[Candidate]:
    """The nodes that could compute in float16, and other nodes that would but for their values, with the reason.

    Args:
        model: an fp32 graph.
        peaks: largest finite magnitude of each value by name, from :func:`.float16_peaks.peaks_of`.
    """
    heavy = {node: name for name, node in heavy_nodes(model)}
    large = large_values(model, peaks)
    plan = make_plan(model, [one for one in heavy if not refusal(one, large)], large)
    found = []
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        why = refusal(node, large) if node in heavy else plan.left.get(node, "")
        if node in heavy or why:
            found.append(
                Candidate(
                    name=heavy.get(node) or node.name or node.op_type,
                    operator=node.op_type,
                    module=module_of(node),
                    weights=_size(node),
                    refusal=why,
                )
            )
    return found


def make_plan(
    model: ir.Model, chosen: Collection[ir.Node], large: Mapping[ir.Value, float], *, face: Collection[str] = ()
) -> Plan:
    """What becomes float16 with these heavy nodes.

    Args:
        model: an fp32 graph.
        chosen: the heavy nodes that compute in float16.
        large: values that must stay in float32, with what was measured.
        face: names of the graph's inputs that come as float16.
    """
    plan = Plan(large=dict(large))
    plan.values |= {one for one in model.graph.inputs if is_float(one) and one.name in face}
    # Bodies carry states around: what one round finds to be half may make more half in the next. It only ever grows.
    before = -1
    while before != len(plan.values) + len(plan.nodes):
        before = len(plan.values) + len(plan.nodes)
        _visit(model.graph, plan, frozenset(chosen))
    return plan


def large_values(model: ir.Model, peaks: Mapping[str, float]) -> dict[ir.Value, float]:
    """The values that were measured beyond :data:`SAFE`."""
    found = {}
    for value in _all_values(model.graph):
        peak = peaks.get(value.name or "", 0.0)
        if peak > SAFE and is_float(value):
            found[value] = peak
    return found


def refusal(node: ir.Node, large: Mapping[ir.Value, float]) -> str:
    """Why a node must not compute in float16; empty where it may."""
    for value in (*node.inputs, *node.outputs):
        if value is not None and value in large:
            return (
                f"a value of it reaches {large[value]:.3g}, and float16 ends at 65504 (values up to {SAFE:g} are taken)"
            )
    for value in node.inputs:
        why = "" if value is None or not is_float(value) else _unfit(value)
        if why:
            return why
    return ""


def is_float(value: ir.Value) -> bool:
    """Whether a value is a float32 tensor, or was until it became float16."""
    return value.dtype in {ir.DataType.FLOAT, ir.DataType.FLOAT16}


def slots(
    node: ir.Node,
) -> Iterator[tuple[ir.Graph, list[tuple[int, int]], list[tuple[int, int]], list[tuple[int, int]]]]:
    """How the bodies of a ``Scan``, ``Loop`` or ``If`` hang together with the node around them.

    Yields:
        For each body: the body; pairs (input of the node, input of the body); pairs (output of the body, output of the
        node); and pairs (input of the body, output of the body) that carry a state.
    """
    for attribute in node.attributes.values():
        if attribute.type != ir.AttributeType.GRAPH:
            continue
        body = attribute.as_graph()
        if node.op_type == "If":
            yield body, [], [(one, one) for one in range(len(node.outputs))], []
        elif node.op_type == "Scan":
            states = len(node.inputs) - node.attributes.get_int("num_scan_inputs", 0)
            every = [(one, one) for one in range(len(node.inputs))]
            yield body, every, [(one, one) for one in range(len(node.outputs))], every[:states]
        else:
            # A Loop's body also takes the round's number and the condition, and gives the condition.
            states = len(node.inputs) - 2
            carried = [(one + 2, one + 1) for one in range(states)]
            around = [(one, one) for one in range(2, len(node.inputs))]
            yield body, around, [(one + 1, one) for one in range(len(node.outputs))], carried


def _visit(graph: ir.Graph, plan: Plan, chosen: Collection[ir.Node]) -> None:
    for node in graph:
        if node.op_type in BODIES and node.domain in {"", "ai.onnx"}:
            _visit_bodies(node, plan, chosen)
        elif node.op_type not in _ANY and _wanted(node, plan, chosen):
            why = "" if node in chosen else refusal(node, plan.large)
            if why:
                plan.left[node] = why
                continue
            plan.nodes.add(node)
            plan.values |= {one for one in node.outputs if is_float(one)}


def _wanted(node: ir.Node, plan: Plan, chosen: Collection[ir.Node]) -> bool:
    """Whether this node would be half, if its values allow it."""
    if node in chosen:
        return True
    if node.domain not in {"", "ai.onnx"} or _is_heavy(node):
        return False
    given = [one for one in node.inputs if one is not None and is_float(one) and constant_of(one) is None]
    if node.op_type in _WARY:
        return bool(given) and all(one in plan.values for one in given)
    if node.op_type == "LayerNormalization" and sum(bool(one.name) for one in node.outputs) > 1:
        return False  # its mean and variance are float32 whatever its input is
    return node.op_type in _LIGHT and any(one in plan.values for one in given)


def _visit_bodies(node: ir.Node, plan: Plan, chosen: Collection[ir.Node]) -> None:
    for body, inputs, outputs, carried in slots(node):
        into = {inner: outer for outer, inner in inputs}
        out_of = dict(outputs)
        states = dict(carried)
        for inner, outer in into.items():
            value, given = body.inputs[inner], node.inputs[outer]
            if given is not None and given in plan.values:
                _take([value, *_state(node, body, states, out_of, inner)], plan)
        _visit(body, plan, chosen)
        for inner in [one for one in into if one not in states]:
            # What every step would cast is cast once, outside.
            uses = list(body.inputs[inner].uses())
            if uses and all(use.node in plan.nodes for use in uses) and not body.inputs[inner].is_graph_output():
                _take([body.inputs[inner]], plan)
        for inner, outer in out_of.items():
            if body.outputs[inner] in plan.values:
                first = next((one for one, last in states.items() if last == inner), None)
                around = [node.outputs[outer]] if first is None else _state(node, body, states, out_of, first)
                _take([*([] if first is None else [body.inputs[first]]), *around], plan)


def _state(
    node: ir.Node, body: ir.Graph, states: Mapping[int, int], out_of: Mapping[int, int], inner: int
) -> list[ir.Value]:
    """What must be of one type with a body's input: the node's output, and the body's own, which may be large."""
    if inner not in states:
        return []
    return [node.outputs[out_of[states[inner]]], body.inputs[inner]]


def _take(values: Sequence[ir.Value], plan: Plan) -> None:
    """Make all of these half, or none where one of them is too large."""
    if all(is_float(one) and one not in plan.large for one in values):
        plan.values |= set(values)


def _is_heavy(node: ir.Node) -> bool:
    return node.domain in {"", "ai.onnx"} and node.op_type in WEIGHTS and _size(node) >= SMALLEST


def _size(node: ir.Node) -> int:
    """How many float numbers a node's weights are; zero where they are computed."""
    found = [node.inputs[one] for one in WEIGHTS.get(node.op_type, ()) if one < len(node.inputs)]
    arrays = [constant_of(one) for one in found if one is not None and is_float(one)]
    return sum(one.size for one in arrays if one is not None)


def _unfit(value: ir.Value) -> str:
    """Why a constant cannot be held in float16; empty where it can, or is none."""
    exact = constant_of(value)
    if exact is None or not exact.size:
        return ""
    numbers = exact.astype(np.float64)[np.isfinite(exact)]
    with np.errstate(over="ignore"):
        rounded = numbers.astype(np.float16).astype(np.float64)
    if np.isinf(rounded).any():
        return f"its constant '{value.name}' reaches {np.abs(numbers).max():.3g}, and float16 ends at 65504"
    size = float(np.linalg.norm(numbers))
    lost = float(np.linalg.norm(numbers - rounded))
    if lost > _LOST * size:
        return f"its constant '{value.name}' is too small: float16 would change it by {lost / size:.2g} of itself"
    return ""


def _all_values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    for node in graph:
        yield from node.outputs
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                yield from _all_values(attribute.as_graph())
