"""Loops of a captured program in ONNX: the body is exported on its own and stands in the node.

A body's captured tensors, weights and activations alike, are the outer graph's own values: an ONNX subgraph may use
them by name. So weights are stored once, and layers inside a body are packed like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import torch

from .bodies import BODIES, body_program
from .passes.naming import MODULE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanSite:
    """One call of ``scan``.

    Attributes:
        number: of its body.
        name: its name in the graph.
        examples: a value for each input of the body, as torch traced it: what each step is given, then what it
            captures.
        states: how many tensors the state has.
        sequences: how many tensors the sequence has.
        time_axis: 0 or 1.
        reverse: whether it begins at the last step.
    """

    number: int
    name: str
    examples: tuple[Any, ...]
    states: int
    sequences: int
    time_axis: int
    reverse: bool

    @property
    def given(self) -> int:
        """How many inputs of the node come before those that the body captures: states and sequences."""
        return self.states + self.sequences

    @property
    def kind(self) -> str:
        """The operator type in our own domain, with the counts of inputs and outputs: ``Scan_3_2``."""
        return f"Scan_{len(self.examples)}_{len(BODIES[self.number].outputs)}"

    def make(
        self, node: ir.Node, inner: list[ir.Value], outputs: list[ir.Value], nodes: Sequence[ir.Node]
    ) -> list[ir.Node]:
        """One ``Scan`` (ONNX Scan-11) in the place of ``node``, around a body of these inputs, outputs and nodes."""
        graph = ir.Graph(inner, outputs, nodes=nodes, name=f"{self.name}.body")
        direction = [int(self.reverse)]
        ranks = [_rank(value) for value in outputs[self.states :]]
        # An empty attribute has no type, so a scan that stacks nothing has none.
        stacked = {"scan_output_axes": [min(self.time_axis, rank) for rank in ranks]} if ranks else {}
        if ranks:
            stacked["scan_output_directions"] = direction * len(ranks)
        scan = ir.node(
            "Scan",
            list(node.inputs[: self.given]),
            {
                "body": graph,
                "num_scan_inputs": self.sequences,
                "scan_input_axes": [self.time_axis] * self.sequences,
                "scan_input_directions": direction * self.sequences,
                **stacked,
            },
            num_outputs=len(outputs),
            name=self.name,
        )
        return [scan]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopSite:
    """One call of ``while_loop``.

    Attributes:
        number: of its body.
        name: its name in the graph.
        examples: a value for each input of the body, as torch traced it: the states, then what it captures.
        states: how many tensors the state has.
        limited: whether there is a largest number of steps.
        time_axis: where the outputs' steps go, 0 or 1.
        ranks: number of axes of each output of one step.
    """

    number: int
    name: str
    examples: tuple[Any, ...]
    states: int
    limited: bool
    time_axis: int
    ranks: tuple[int, ...]

    @property
    def given(self) -> int:
        """How many inputs of the node come before those that the body captures: condition, limit if any, states."""
        return 1 + int(self.limited) + self.states

    @property
    def kind(self) -> str:
        """The operator type in our own domain, with the counts of inputs and outputs: ``Loop_4_2``."""
        # The body also says whether there is another step, which is no output of the node.
        inputs = 1 + int(self.limited) + len(self.examples)
        return f"Loop_{inputs}_{len(BODIES[self.number].outputs) - 1}"

    def make(
        self, node: ir.Node, inner: list[ir.Value], outputs: list[ir.Value], nodes: Sequence[ir.Node]
    ) -> list[ir.Node]:
        """One ``Loop`` (ONNX Loop-16), and a ``Transpose`` for each output whose steps do not come first.

        See :meth:`ScanSite.make`.
        """
        counter = ir.Value(name=f"{self.name}/step", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
        going_on = ir.Value(name=f"{self.name}/go_on", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
        graph = ir.Graph([counter, going_on, *inner], outputs, nodes=nodes, name=f"{self.name}.body")
        condition, *rest = node.inputs[: self.given]
        limit = rest.pop(0) if self.limited else None
        loop = ir.node("Loop", [limit, condition, *rest], {"body": graph}, num_outputs=len(outputs) - 1, name=self.name)
        made = [loop]
        for number, rank in enumerate(self.ranks, self.states):
            # Steps are stacked along a new first axis, and belong after the batch.
            if self.time_axis == 1 and rank > 0:
                value = loop.outputs[number]
                value.name, value.type = f"{self.name}/steps{number}", outputs[1 + number].type
                order = [1, 0, *range(2, rank + 1)]
                made.append(ir.node("Transpose", [value], {"perm": order}, name=f"{self.name}/Transpose_{number}"))
        return made


Site = ScanSite | LoopSite


def sites(program: torch.export.ExportedProgram) -> dict[int, Site]:
    """Every loop of a program, by the number of its body."""
    found: dict[int, Site] = {}
    for node in program.graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is torch.ops.rnnx.scan.default:
            states, sequences, captured, number, time_axis, reverse, name = node.args
            frames = [one.select(time_axis, 0) for one in _values(sequences)]
            found[number] = ScanSite(
                number=number,
                states=len(states),
                sequences=len(sequences),
                time_axis=time_axis,
                reverse=reverse,
                name=name,
                examples=(*_values(states), *frames, *_values(captured)),
            )
        elif node.target is torch.ops.rnnx.while_loop.default:
            _, limit, states, captured, number, time_axis, _, name = node.args
            found[number] = LoopSite(
                number=number,
                states=len(states),
                limited=limit is not None,
                time_axis=time_axis,
                ranks=tuple(one.dim() - 1 for one in node.meta["val"][len(states) :]),
                name=name,
                examples=(*_values(states), *_values(captured)),
            )
    return found


def expand(
    node: ir.Node, site: Site, translate: Callable[[torch.export.ExportedProgram], ir.Model], main: ir.Graph
) -> None:
    """Put an ONNX ``Scan`` or ``Loop`` in the place of one of our own.

    Args:
        node: the node; it is removed.
        site: where it comes from.
        translate: from a program to a graph in which nested loops are expanded.
        main: the outermost graph, which takes the body's own constants.
    """
    body = translate(body_program(site.number, site.name, site.examples)).graph
    outside = list(node.inputs[site.given :])
    count = len(body.inputs) - len(outside)
    inner, captured = list(body.inputs[:count]), list(body.inputs[count:])
    for value, outer in zip(captured, outside, strict=True):
        assert outer is not None
        ir.convenience.replace_all_uses_with(value, outer, replace_graph_outputs=True)
    _adopt_initializers(body, main, site.name)
    outputs = list(_own(body, inner))
    module = site.name.rpartition(".")[0]
    for number, inside in enumerate(body):
        inside.name = f"{site.name}/{inside.op_type}" + (f"_{number}" if number else "")
        inside.metadata_props[MODULE] = module
    nodes = list(body)
    body.remove(nodes)
    body.outputs.clear()
    body.inputs.clear()
    for number, value in enumerate(inner):
        value.name = f"{site.name}/in{number}"
    made = site.make(node, inner, outputs, nodes)
    for one in made:
        one.metadata_props[MODULE] = module
    assert node.graph is not None
    for old, new in zip(node.outputs, _results(made), strict=True):
        new.shape, new.type, new.name = old.shape, old.type, f"{site.name}:{old.name}"
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    node.graph.insert_before(node, made)
    node.graph.remove(node, safe=True)


def _results(made: Sequence[ir.Node]) -> Iterator[ir.Value]:
    """The first node's outputs, each as the nodes after it turned it."""
    first, *after = made
    turned = {node.inputs[0]: node.outputs[0] for node in after}
    for value in first.outputs:
        yield turned.get(value, value)


def _values(nodes: Sequence[torch.fx.Node]) -> list[Any]:
    return [one.meta["val"] for one in nodes]


def _adopt_initializers(body: ir.Graph, main: ir.Graph, prefix: str) -> None:
    for name in list(body.initializers):
        value = body.initializers.pop(name)
        value.name = f"{prefix}/{name}"
        main.register_initializer(value)


def _own(body: ir.Graph, inner: Sequence[ir.Value]) -> Iterator[ir.Value]:
    """The body's outputs, each a value of its own: not an input, not another graph's, not another output's.

    ONNX Runtime gives wrong states where a state and an output are one value. A chain of identities, because equal
    nodes would be merged later.
    """
    seen = {*inner}
    made = {value for node in body for value in node.outputs}
    for value in list(body.outputs):
        own = value
        while own in seen or own not in made:
            identity = ir.node("Identity", [own])
            identity.outputs[0].type, identity.outputs[0].shape = own.type, own.shape
            body.append(identity)
            own = identity.outputs[0]
            made.add(own)
        seen.add(own)
        yield own


def _rank(value: ir.Value) -> int:
    assert value.shape is not None
    return len(value.shape)
