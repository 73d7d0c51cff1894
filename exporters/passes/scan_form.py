"""Another form of an fp32 graph: each LSTM, GRU and RNN as a ``Scan`` whose step is products and activations.

It computes the same. ONNX Runtime's fused operators are the fastest for few rows; for many, their own loops over gates
and, for an RNN, their products take longer than those of single operators (``benchmarks/notes/fp32.md`` has figures).
Which form is the faster for some batch on some machine is for measurement to say, so this one stands beside the first.

Past a row's length the states stay and the output is zero, in the reverse direction as well: a scan from the last frame
leaves the initial state alone until it reaches the row's own last frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common

from ..layer import Builder
from .int8_frames import directions, give, optional_input, take_place, valid_frames, without_axis
from .int8_weights import float_weight
from .naming import module_of, name_values
from .replacing import shared_constants, stamp
from .scan_steps import GATES, NONLINEARITIES, STATES, body, weights_of

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The name of this form in a bundle.
SCAN = "scan"
_TAKEN = {"hidden_size", "direction", "activations", "linear_before_reset", "layout", "input_forget"}
#: ONNX's own activations of one direction, in lower case.
_ACTIVATIONS = {"LSTM": ["sigmoid", "tanh", "tanh"], "GRU": ["sigmoid", "tanh"]}
#: Which inputs hold the initial states, and which the peephole weights.
_INITIAL, _PEEPHOLES = (5, 6), 7


class ScanFormPass(ir.passes.InPlacePass):
    """Replace every recurrent layer of the outermost graph that can be."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """The graph with those layers replaced, changed in place."""
        layers = [node for node in model.graph if node.op_type in GATES and node.domain in {"", "ai.onnx"}]
        made = shared_constants(model)
        taken = {node.name for node in ir.traversal.RecursiveGraphIterator(model.graph)}
        prefixes: set[str] = set()
        changed = False
        for node in layers:
            if refusal(node):
                continue
            builder = Builder(graph=model.graph, scope=id(model.graph), made=made, prefix=_prefix(node, prefixes))
            _replace(node, builder)
            taken.discard(node.name)
            for new in builder.nodes:
                stamp(new, module_of(node), taken, "scan")
            model.graph.insert_before(node, builder.nodes)
            model.graph.remove(node, safe=True)
            changed = True
        if changed:
            common.RemoveUnusedNodesPass()(model)
            name_values(model)
        return ir.passes.PassResult(model, modified=changed)


def refusals(model: ir.Model) -> dict[str, str]:
    """By name, each recurrent layer of the outermost graph, and why it keeps its form; empty where it can change."""
    prefixes: set[str] = set()
    return {
        _prefix(node, prefixes): refusal(node)
        for node in model.graph
        if node.op_type in GATES and node.domain in {"", "ai.onnx"}
    }


def refusal(node: ir.Node) -> str:
    """Why this LSTM, GRU or RNN keeps its form; empty where it can change."""
    if any(float_weight(node.inputs[index], 3) is None for index in (1, 2)):
        return "its weights are not float32 constants"
    bias = optional_input(node, 3)
    if bias is not None and float_weight(bias, 2) is None:
        return "its biases are not float32 constants"
    if optional_input(node, _PEEPHOLES) is not None:
        return "it has peephole weights"
    return _setting_refusal(node)


def _setting_refusal(node: ir.Node) -> str:
    """Which attribute of this LSTM, GRU or RNN no step here has; empty where there is none."""
    unknown = sorted(set(node.attributes) - _TAKEN)
    if unknown:
        return f"it has the attribute '{unknown[0]}'"
    if node.attributes.get_int("input_forget", 0):
        return "its input and forget gates are coupled"
    if node.attributes.get_int("layout", 0):
        return "it has batch-first layout"
    functions = [one.lower() for one in node.attributes.get_strings("activations", ())]
    if node.op_type == "RNN":
        plain = set(functions) <= set(NONLINEARITIES)
    else:
        plain = not functions or functions == _ACTIVATIONS[node.op_type] * len(directions(node))
    return "" if plain else f"its activations are {', '.join(functions)}"


def _prefix(node: ir.Node, taken: set[str]) -> str:
    """A name for a layer that no other has: another exporter's nodes may have none, or the same."""
    name = wanted = node.name or node.op_type
    number = 1
    while name in taken:
        number += 1
        name = f"{wanted}#{number}"
    taken.add(name)
    return name


def _replace(node: ir.Node, builder: Builder) -> None:
    """Record the ``Scan`` of each direction in ``builder``, and let them take the layer's place."""
    results = [_direction(node, builder, index, reverse=reverse) for index, reverse in enumerate(directions(node))]
    y, *finals = node.outputs
    if _is_used(y):
        _put(y, [one[-1] for one in results], 1, builder)
    for number, final in enumerate(finals):
        if _is_used(final):
            _put(final, [one[number] for one in results], 0, builder)


def _put(old: ir.Value, parts: Sequence[ir.Value], axis: int, builder: Builder) -> None:
    """Let the directions' values take the place of the layer's, which has an axis for them."""
    if len(parts) == 1:
        give(old, parts[0], axis, builder)
    else:
        lifted = [builder.call("Unsqueeze", one, builder.ints(axis)) for one in parts]
        take_place(old, builder.call("Concat", *lifted, axis=axis))


def _direction(node: ir.Node, builder: Builder, index: int, *, reverse: int) -> Sequence[ir.Value]:
    """The last states ``(batch, hidden_size)`` of one direction, then its outputs ``(time, batch, hidden_size)``."""
    sequence, lengths = node.inputs[0], optional_input(node, 4)
    assert sequence is not None
    both = len(directions(node)) > 1
    states, with_output = STATES[node.op_type], _is_used(node.outputs[0])
    scanned = [sequence] if lengths is None else [sequence, valid_frames(sequence, lengths, builder)]
    scope = f"{builder.prefix}.{index}" if both else builder.prefix
    values = builder.call_multi(
        "Scan",
        *(_initial(node, builder, index, number) for number in range(states)),
        *scanned,
        count=states + with_output,
        name=("reverse" if reverse else "forward") if both else "Scan",
        body=body(node, builder, index, f"{scope}/body", with_output=with_output, masked=lengths is not None),
        num_scan_inputs=len(scanned),
        scan_input_directions=[reverse] * len(scanned),
        scan_output_directions=[reverse] * with_output,
    )
    for value in values:
        value.type = ir.TensorType(ir.DataType.FLOAT)
    return values


def _initial(node: ir.Node, builder: Builder, index: int, number: int) -> ir.Value:
    """One initial state of one direction: ``(batch, hidden_size)``."""
    given = optional_input(node, _INITIAL[number])
    if given is not None:
        if len(directions(node)) == 1:
            return without_axis(given, 0, builder)
        return builder.call("Gather", given, builder.constant(f"i64_scalar_{index}", np.array(index, np.int64)), axis=0)
    sequence, size = node.inputs[0], weights_of(node, index).hidden_size
    assert sequence is not None

    def make() -> ir.Value:
        batch = builder.call("Shape", sequence, start=1, end=2)
        shape = builder.call("Concat", batch, builder.ints(size), axis=0, name="state_shape")
        return builder.call("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, np.float32)), name="zeros")

    return builder.made_once(("scan form zeros", sequence, size), make)


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()
