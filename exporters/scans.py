"""Captured scans in ONNX: the body is exported on its own and stands in the ``Scan`` node (ONNX Scan-11).

A body's captured tensors, weights and activations alike, are the outer graph's own values: an ONNX subgraph may use
them by name. So weights are stored once, and layers inside a body are packed like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import torch
from torch.export import Dim
from torch.fx.experimental import _config as shape_config

from ..errors import CaptureError
from .passes.naming import MODULE
from .quiet import quiet
from .scanning import BODIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: Operator types of scans in our own domain begin so; the counts of inputs and outputs follow.
PREFIX = "Scan_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """One call of ``scan`` in a captured program.

    Attributes:
        number: of its body.
        states: how many tensors the state has.
        sequences: how many tensors the sequence has.
        time_axis: 0 or 1.
        reverse: whether it begins at the last step.
        name: its name in the graph.
        examples: a value for each input of the body, as torch traced it: states, one step, captured tensors.
    """

    number: int
    states: int
    sequences: int
    time_axis: int
    reverse: bool
    name: str
    examples: tuple[Any, ...]


def sites(program: torch.export.ExportedProgram) -> dict[int, Site]:
    """Every scan of a program, by the number of its body."""
    found: dict[int, Site] = {}
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target is torch.ops.rnnx.scan.default:
            states, sequences, captured, number, time_axis, reverse, name = node.args
            traced = [[one.meta["val"] for one in group] for group in (states, sequences, captured)]
            found[number] = Site(
                number=number,
                states=len(states),
                sequences=len(sequences),
                time_axis=time_axis,
                reverse=reverse,
                name=name,
                examples=(*traced[0], *(one.select(time_axis, 0) for one in traced[1]), *traced[2]),
            )
    return found


def body_program(site: Site) -> torch.export.ExportedProgram:
    """The body of a scan as a program of its own, dynamic where the model around it is.

    Raises:
        CaptureError: the step cannot be captured.
    """
    dims: dict[str, Any] = {}
    examples = []
    shapes = []
    for traced in site.examples:
        sizes = [size.node.hint if isinstance(size, torch.SymInt) else size for size in traced.shape]
        examples.append(torch.zeros(sizes, dtype=traced.dtype))
        shapes.append([_dim(size, dims) for size in traced.shape])
    last: Exception | None = None
    for oblivious in (False, True):
        try:
            patched = shape_config.patch(backed_size_oblivious=oblivious)  # type: ignore[attr-defined]
            with quiet("torch.export", "torch.fx"), patched:
                return torch.export.export(
                    BODIES[site.number], tuple(examples), dynamic_shapes=(tuple(shapes),), strict=False
                )
        except Exception as error:  # noqa: BLE001  (torch raises of every kind)
            last = error
    lines = [line.strip() for line in str(last).splitlines() if line.strip()]
    raise CaptureError(
        f"the step of '{site.name}' cannot be exported: {type(last).__name__}: {' '.join(lines[:3])[:500]}"
    ) from last


def expand(
    node: ir.Node, site: Site, translate: Callable[[torch.export.ExportedProgram], ir.Model], main: ir.Graph
) -> None:
    """Put an ONNX ``Scan`` in the place of one of our own.

    Args:
        node: the node; it is removed.
        site: where it comes from.
        translate: from a program to a graph in which nested scans are expanded.
        main: the outermost graph, which takes the body's own constants.
    """
    body = translate(body_program(site)).graph
    given = site.states + site.sequences
    inner, captured = list(body.inputs[:given]), list(body.inputs[given:])
    for value, outer in zip(captured, node.inputs[given:], strict=True):
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
    graph = ir.Graph(inner, outputs, nodes=nodes, name=f"{site.name}.body")
    direction = [int(site.reverse)]
    ranks = [_rank(value) for value in outputs[site.states :]]
    # An empty attribute has no type, so a scan that stacks nothing has none.
    stacked = {"scan_output_axes": [min(site.time_axis, rank) for rank in ranks]} if ranks else {}
    if ranks:
        stacked["scan_output_directions"] = direction * len(ranks)
    scan = ir.node(
        "Scan",
        list(node.inputs[:given]),
        {
            "body": graph,
            "num_scan_inputs": site.sequences,
            "scan_input_axes": [site.time_axis] * site.sequences,
            "scan_input_directions": direction * site.sequences,
            **stacked,
        },
        num_outputs=len(outputs),
        name=site.name,
    )
    scan.metadata_props[MODULE] = module
    for old, new in zip(node.outputs, scan.outputs, strict=True):
        new.shape, new.type, new.name = old.shape, old.type, f"{site.name}:{old.name}"
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    assert node.graph is not None
    node.graph.insert_before(node, scan)
    node.graph.remove(node, safe=True)


def _dim(size: Any, dims: dict[str, Any]) -> Any:  # noqa: ANN401
    if not isinstance(size, torch.SymInt):
        return Dim.STATIC
    expression = str(size.node.expr)
    if not expression.isidentifier():
        return Dim.DYNAMIC  # an expression: torch finds out again what it depends on
    return dims.setdefault(expression, Dim(f"axis_{expression}", min=1))


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
