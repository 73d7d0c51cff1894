"""Which outputs hang on choices that a lower precision may make otherwise: a token of two that are nearly as good.

A choice is where numbers that rounding moves become whole numbers or truth values: ``ArgMax``, the indices of
``TopK``, a comparison, a cast, rounding itself. Whatever is computed from one hangs on it, and so does what a loop
gives whose end is chosen. The number of frames that a stride leaves of each row hangs on no choice, though it is a
whole number: it follows from the inputs alone, and a lower precision must give it exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

#: Their outputs are floats, and steps all the same.
_STEPS = frozenset({"Round", "Floor", "Ceil", "Sign", "Hardmax", "Bernoulli", "Multinomial"})
#: Their outputs are whole numbers that say nothing of the values.
_SIZES = frozenset({"Shape", "Size"})
#: Inputs of a loop before those that its body is given; the body's own before them; outputs of the body that are not
#: the loop's. ``Loop``: trip count and condition; iteration and condition; condition (ONNX operators).
_LEADING = {"Loop": (2, 2, 1), "Scan": (0, 0, 0)}


def chosen_outputs(model: ir.Model, nodes: Collection[str]) -> frozenset[str]:
    """Names of the graph's outputs that hang on a choice which rounding can turn.

    Where it cannot be told, an output counts as one that does.

    Args:
        model: an fp32 graph.
        nodes: names of the nodes whose rounding is meant; those of bodies among them.
    """
    flow = _Flow(frozenset(nodes))
    while flow.grows(model.graph):
        pass
    return frozenset(one.name for one in model.graph.outputs if one in flow.chosen and one.name)


class _Flow:
    """What is reached from the nodes: values that rounding moves, and those that hang on a choice."""

    def __init__(self, nodes: frozenset[str]) -> None:
        self._nodes = nodes
        self.moved: set[ir.Value] = set()
        self.chosen: set[ir.Value] = set()

    def grows(self, graph: ir.Graph) -> bool:
        """Go through a graph and its bodies once; whether more was reached than before."""
        before = len(self.moved) + len(self.chosen)
        for node in graph:
            bodies = [one.as_graph() for one in node.attributes.values() if one.type == ir.AttributeType.GRAPH]
            if bodies:
                self._through(node, bodies)
            else:
                self._pass(node)
        return len(self.moved) + len(self.chosen) > before

    def _pass(self, node: ir.Node) -> None:
        chosen = any(one in self.chosen for one in node.inputs)
        moved = chosen or node.name in self._nodes or any(one in self.moved for one in node.inputs)
        if not moved or (node.op_type in _SIZES and not chosen):
            return
        for output in node.outputs:
            self.moved.add(output)
            if chosen or node.op_type in _STEPS or not _is_float(output, node):
                self.chosen.add(output)

    def _through(self, node: ir.Node, bodies: Sequence[ir.Graph]) -> None:
        """``If``, ``Loop`` and ``Scan``: values go into a body, round it, and out."""
        outer, inner, own = _LEADING.get(node.op_type, (len(node.inputs), 0, 0))
        given, found = node.inputs[outer:], list(node.outputs)
        for body in bodies:
            self._alike(zip(given, body.inputs[inner:], strict=False))
            self.grows(body)
            # What a body gives for its carried values it is given in its next run. (Of a Scan as many as are carried;
            # what comes after them in its inputs are slices, which only become suspect where they need not.)
            carried = min(len(body.inputs) - inner, len(body.outputs) - own) if node.op_type in _LEADING else 0
            self._alike(zip(body.outputs[own : own + carried], body.inputs[inner : inner + carried], strict=True))
            self._alike(zip(body.outputs[own:], found, strict=False))
        ends = [*node.inputs[:outer], *(one for body in bodies for one in body.outputs[:own])]
        if any(one in self.chosen for one in ends):
            self.moved.update(found)
            self.chosen.update(found)

    def _alike(self, pairs: Iterable[tuple[ir.Value | None, ir.Value | None]]) -> None:
        for source, target in pairs:
            if source is not None and target is not None:
                for reached in (self.moved, self.chosen):
                    if source in reached:
                        reached.add(target)


def _is_float(value: ir.Value, node: ir.Node) -> bool:
    """Whether a value is of floats; of unknown type it is what nodes of its operator mostly give."""
    if value.dtype is not None:
        return bool(value.dtype.is_floating_point())
    if node.op_type == "Cast":
        return ir.DataType(node.attributes.get_int("to", 0)).is_floating_point()
    if node.op_type == "TopK":
        return value is node.outputs[0]
    return node.op_type not in _WHOLE


#: Operators that give whole numbers or truth values, whatever they are given.
_WHOLE = frozenset(
    {
        "ArgMax", "ArgMin", "NonZero", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Not", "And", "Or",
        "Xor", "IsNaN", "IsInf", "QuantizeLinear", "DynamicQuantizeLinear", "Unique", "NonMaxSuppression",
    }
)  # fmt: skip
