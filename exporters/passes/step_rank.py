"""In a graph for single frames an axis of size one is taken out as early as can be, and put in as late.

A ``Scan`` that was taken apart leaves a ``Squeeze`` behind each of its sequences and an ``Unsqueeze`` behind each of
its outputs. Between two layers most of them meet, where what lies between treats every frame alike: products with a
matrix, what is done element by element, cuts along the features. Each node less is some tenths of a microsecond, and a
step has about forty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from .int8_frames import take_place
from .naming import MODULE
from .stream_states import ints, numbers_of

if TYPE_CHECKING:
    from collections.abc import Callable

_ELEMENTWISE = frozenset(
    """
    Abs Add Cast Clip Div Elu Erf Exp Gelu HardSigmoid LeakyRelu Log Max Min Mul Neg Pow QuantizeLinear Reciprocal Relu
    Sigmoid Softplus Sqrt Sub Tanh
    """.split()  # noqa: SIM905  (a list of this length reads better so)
)
#: Their first input is multiplied with a matrix, which is the second.
_PRODUCTS = frozenset({"DynamicQuantizeMatMul", "MatMul", "MatMulIntegerToFloat"})
_REDUCTIONS = frozenset({"ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"})
#: A product needs as many axes.
_MATRIX = 2


def lower_rank(graph: ir.Graph) -> None:
    """Let each ``Squeeze`` move towards the inputs, as long as there are fewer of them in the end, not more."""
    for axis in sorted({axis for node in graph if (axis := _squeezed(node)) is not None}):
        _Lowered(graph, axis).apply()
    for node in list(graph):
        _put_in_later(graph, node)
    graph.sort()


def _squeezed(node: ir.Node) -> int | None:
    """The axis that a ``Squeeze`` takes out, counted from the first; None for anything else."""
    if node.op_type != "Squeeze" or node.outputs[0].is_graph_output() or len(node.inputs) < _MATRIX:
        return None
    axes = numbers_of(node.inputs[1])
    return axes[0] if axes is not None and len(axes) == 1 and axes[0] >= 0 else None


class _Lowered:
    """The values of one graph that can do without one axis."""

    def __init__(self, graph: ir.Graph, axis: int) -> None:
        self._graph = graph
        self._axis = axis
        self._ranks: dict[ir.Value, int | None] = {}
        self._squeezes = [node for node in graph if _squeezed(node) == axis]
        #: Values whose producers can compute them without the axis, because nobody needs it.
        self._inside = self._found()

    def apply(self) -> None:
        """Change the graph, where that leaves it with no more nodes."""
        users = [node for node in self._graph if any(one in self._inside for one in node.outputs)]
        entering = {self._source(node) for node in self._squeezes} - self._inside
        entering |= {value for node in users for value in self._moved(node) if value not in self._inside}
        if sum(not self._is_spared(value, users) for value in entering) > len(self._squeezes):
            return
        made = {value: self._taken_out(value) for value in entering}
        for node in users:
            for number, value in enumerate(node.inputs):
                if value in made and self._moves(node, number):
                    node.replace_input_with(number, made[value])
            if node.op_type == "Split":
                node.attributes["axis"] = ir.AttrInt64("axis", -1)
            for value in node.outputs:
                value.shape = None
        for node in self._squeezes:
            source = self._source(node)
            shape, kind = node.outputs[0].shape, node.outputs[0].type
            new = made.get(source, source)
            new.shape, new.type = new.shape or shape, new.type or kind
            ir.convenience.replace_all_uses_with(node.outputs[0], new)
            self._graph.remove(node, safe=True)

    def _found(self) -> set[ir.Value]:
        """Every value that may be inside, less those that something else needs as they are."""
        inside: set[ir.Value] = set()
        waiting = [self._source(node) for node in self._squeezes]
        while waiting:
            value = waiting.pop()
            node = value.producer()
            if value not in inside and node is not None and self._can(node):
                inside.add(value)
                waiting += self._moved(node)
        while gone := {value for value in inside if not self._is_free(value, inside)}:
            inside -= gone
        return inside

    def _is_free(self, value: ir.Value, inside: set[ir.Value]) -> bool:
        """Whether all that use a value take it without the axis, and its siblings are as free."""
        node = value.producer()
        assert node is not None
        return (
            not value.is_graph_output()
            and all(
                user in self._squeezes or (user.outputs[0] in inside and self._moves(user, number))
                for user, number in value.uses()
            )
            and all(one in inside or not one.uses() for one in node.outputs)
        )

    def _can(self, node: ir.Node) -> bool:
        """Whether a node computes the same without the axis, but for the axis."""
        rank = self._rank(node.outputs[0])
        if rank is None or rank <= self._axis + 1 or node.graph is not self._graph:
            return False
        if node.op_type in _ELEMENTWISE:
            # A constant with more axes than the features' would have to be changed too.
            constants = [one for one in node.inputs if one is not None and one not in self._moved(node)]
            # One scale for each feature would be found by the number of its axis, which changes.
            allowed = {0} if node.op_type == "QuantizeLinear" else {0, 1}
            return all(_constant_rank(one) in allowed for one in constants) and all(
                self._rank(one) == rank for one in self._moved(node)
            )
        if node.op_type in _PRODUCTS:
            return rank > _MATRIX and _constant_rank(node.inputs[1]) == _MATRIX
        if node.op_type in _REDUCTIONS:
            axes = numbers_of(node.inputs[1]) if len(node.inputs) > 1 else node.attributes.get_ints("axes", ())
            return list(axes or ()) == [-1] and node.attributes.get_int("keepdims", 1) == 1
        return node.op_type == "Split" and node.attributes.get_int("axis", 0) in {-1, rank - 1}

    def _moves(self, node: ir.Node, number: int) -> bool:
        """Whether an input of a node has the axis."""
        if node.op_type in _ELEMENTWISE:
            return _constant_rank(node.inputs[number]) is None
        return number == 0

    def _moved(self, node: ir.Node) -> list[ir.Value]:
        """The inputs of a node that have the axis."""
        return [one for number, one in enumerate(node.inputs) if one is not None and self._moves(node, number)]

    def _rank(self, value: ir.Value | None) -> int | None:
        """How many axes a value has; None where that is not known."""
        if value is None or value.shape is not None:
            return None if value is None or value.shape is None else len(value.shape)
        node = value.producer()
        if value not in self._ranks and node is not None:
            self._ranks[value] = None
            known = node.op_type in _ELEMENTWISE | _PRODUCTS | _REDUCTIONS | {"Split"}
            ranks = [self._rank(one) for one in self._moved(node)] if known else []
            # Contrib operators have no shapes.
            self._ranks[value] = None if None in ranks or not ranks else max(one for one in ranks if one is not None)
        return self._ranks.get(value)

    def _without(self, value: ir.Value) -> Callable[[], ir.Value] | None:
        """How to have a value without the axis from what it was made of; None where there is no way."""
        node = value.producer()
        if node is None or node.inputs[0] is None:
            return None
        source = node.inputs[0]
        if node.op_type == "Unsqueeze" and numbers_of(node.inputs[1]) == [self._axis]:
            return lambda: source
        order = list(node.attributes.get_ints("perm", ()))
        if node.op_type == "Transpose" and _only_moves(order, self._axis):
            return lambda: self._squeeze(source, order[self._axis])
        return None

    def _is_spared(self, value: ir.Value, users: list[ir.Node]) -> bool:
        """Whether a value without the axis costs no node more than the value did."""
        node = value.producer()
        if self._without(value) is None or node is None:
            return False
        alone = not value.is_graph_output() and all(one in users or one in self._squeezes for one, _ in value.uses())
        return node.op_type == "Unsqueeze" or alone

    def _taken_out(self, value: ir.Value) -> ir.Value:
        free = self._without(value)
        return self._squeeze(value, self._axis) if free is None else free()

    def _squeeze(self, value: ir.Value, axis: int) -> ir.Value:
        name = f"{value.name}/Squeeze{axis}"
        made = ir.Node("", "Squeeze", [value, ints(self._graph, axis)], num_outputs=1, name=name)
        made.metadata_props[MODULE] = self._squeezes[0].metadata_props.get(MODULE, "")
        self._graph.insert_before(self._graph[0], [made])  # sorted when all is done
        made.outputs[0].type = value.type
        return made.outputs[0]

    @staticmethod
    def _source(node: ir.Node) -> ir.Value:
        assert node.inputs[0] is not None
        return node.inputs[0]


def _put_in_later(graph: ir.Graph, node: ir.Node) -> None:
    """``Transpose(Unsqueeze(x))`` that only moves the new axis, as one ``Unsqueeze``."""
    if node.op_type != "Transpose" or node.inputs[0] is None:
        return
    producer = node.inputs[0].producer()
    if producer is None or producer.op_type != "Unsqueeze" or producer.inputs[0] is None:
        return
    axes, order = numbers_of(producer.inputs[1]), list(node.attributes.get_ints("perm", ()))
    if axes is None or len(axes) != 1 or axes[0] not in order or not _only_moves(order, order.index(axes[0])):
        return
    at = ints(graph, order.index(axes[0]))
    made = ir.Node("", "Unsqueeze", [producer.inputs[0], at], num_outputs=1, name=f"{node.name}/Unsqueeze")
    made.metadata_props[MODULE] = node.metadata_props.get(MODULE, "")
    old, new = node.outputs[0], made.outputs[0]
    new.type, new.shape = old.type, old.shape
    graph.insert_before(node, [made])
    take_place(old, new)
    graph.remove(node, safe=True)


def _only_moves(order: list[int], axis: int) -> bool:
    """Whether a transposition leaves all axes but one of its output in their order."""
    if axis >= len(order):
        return False
    rest = [one for number, one in enumerate(order) if number != axis]
    return rest == sorted(rest)


def _constant_rank(value: ir.Value | None) -> int | None:
    """How many axes a constant has; None of what is no constant."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return len(value.const_value.shape)
