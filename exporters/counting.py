"""How many operations a graph computes for given inputs, and how many bytes it must at least read.

Products count two operations for each multiplication and addition. Each node's weights count once, and once more for
every further step of a recurrence: a layer that goes through time reads its recurrent weights anew in each step.
Whatever else moves between nodes is left out, so that the bytes are those that no implementation can avoid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import onnx
import onnx.inliner

from ..errors import ModelFileError
from .executing import Executor
from .operations import PRODUCTS, RECURRENT, Operations, products, recurrence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from .executing import Executed

#: Only the rows that are looked up are read.
_LOOKUPS = frozenset({"Gather", "GatherElements", "GatherND", "GatherBlockQuantized"})
#: They move or rename values and compute nothing.
_MOVES = frozenset({
    "Cast", "Concat", "Constant", "ConstantOfShape", "Expand", "Flatten", "Identity", "Pad", "Reshape", "Shape",
    "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze", "If", "Loop", "Scan",
}) | _LOOKUPS  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeCost:
    """What one node costs in one run of the model.

    Attributes:
        name: the node's name, with the names of the nodes around it.
        operator: its operator.
        float_ops: operations of products in floating point.
        int8_ops: operations of products in 8-bit integers.
        other_ops: values that it computes without a product, one operation each.
        weight_bytes: bytes of its weights, once.
        repeated_bytes: bytes of weights that it reads again in the later steps of a recurrence.
        working_set_bytes: bytes of the weights that each such step reads.
    """

    name: str
    operator: str
    float_ops: int = 0
    int8_ops: int = 0
    other_ops: int = 0
    weight_bytes: int = 0
    repeated_bytes: int = 0
    working_set_bytes: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphCost:
    """What one run of a model costs.

    Attributes:
        nodes: each node that computes or reads something.
        face_bytes: bytes of the model's inputs and outputs.
    """

    nodes: tuple[NodeCost, ...]
    face_bytes: int

    @property
    def float_ops(self) -> int:
        """Operations of products in floating point."""
        return sum(node.float_ops for node in self.nodes)

    @property
    def int8_ops(self) -> int:
        """Operations of products in 8-bit integers."""
        return sum(node.int8_ops for node in self.nodes)

    @property
    def other_ops(self) -> int:
        """Values computed without a product."""
        return sum(node.other_ops for node in self.nodes)

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights, each once."""
        return sum(node.weight_bytes for node in self.nodes)

    @property
    def total_bytes(self) -> int:
        """All bytes that are read or written: inputs, outputs, weights, and weights again."""
        return self.face_bytes + self.weight_bytes + sum(node.repeated_bytes for node in self.nodes)


def count(model: Path | onnx.ModelProto, feed: Mapping[str, NDArray[Any]]) -> GraphCost:
    """Count what a model costs with these inputs. It is run once on the CPU to learn its sizes.

    Args:
        model: an ONNX file, or what one holds.
        feed: every input by name.

    Raises:
        ModelFileError: the model cannot be read or run.
    """
    if isinstance(model, onnx.ModelProto):
        whole = model
    else:
        try:
            whole = onnx.load(model)
        except Exception as error:
            raise ModelFileError(f"'{model}' cannot be read as an ONNX model: {error}") from error
    try:
        whole = onnx.inliner.inline_local_functions(whole)
        executor = Executor(whole)
        executed = executor.whole(feed)
    except ValueError as error:  # beyond what a protocol buffer holds
        raise ModelFileError(f"the operations of the model cannot be counted: {error}") from error
    names = [*feed, *(one.name for one in whole.graph.output)]
    face = sum(executed.values[name].nbytes for name in names if name in executed.values)
    return GraphCost(nodes=tuple(_graph_cost(executor, executed, "")), face_bytes=face)


def _graph_cost(executor: Executor, executed: Executed, prefix: str) -> list[NodeCost]:
    costs: list[NodeCost] = []
    for number, node in enumerate(executed.graph.node):
        if set(node.output) - {""} <= executed.constants:
            continue  # folded before the first run
        name = f"{prefix}{node.name or f'{node.op_type}_{number}'}"
        for run in executor.runs(node, executed):
            inside = _graph_cost(executor, run.executed, f"{name}/")
            step = sum(one.weight_bytes for one in inside)
            costs.extend(_over_steps(one, run.steps, step) for one in inside)
        own = _node_cost(node, executed, name)
        if own != NodeCost(name=own.name, operator=own.operator):
            costs.append(own)
    return costs


def _over_steps(cost: NodeCost, steps: int, step_bytes: int) -> NodeCost:
    """What a node of a loop's body costs over all iterations, of which each reads ``step_bytes`` of weights."""
    again = steps * (cost.weight_bytes + cost.repeated_bytes) - cost.weight_bytes
    # What the node itself goes through again, it has nearer than what the whole body goes through.
    working_set = cost.working_set_bytes or (step_bytes if cost.weight_bytes else 0)
    return replace(
        cost,
        float_ops=cost.float_ops * steps,
        int8_ops=cost.int8_ops * steps,
        other_ops=cost.other_ops * steps,
        repeated_bytes=again,
        working_set_bytes=working_set if steps > 1 else cost.working_set_bytes,
    )


def _node_cost(node: onnx.NodeProto, executed: Executed, name: str) -> NodeCost:
    values = [executed.values.get(one) if one else None for one in node.input]
    results = [executed.values.get(one) if one else None for one in node.output]
    made = sum(one.size for one in results if one is not None)
    weights = sum(
        value.nbytes
        for one, value in zip(node.input, values, strict=True)
        if value is not None and one in executed.constants
    )
    base = NodeCost(name=name, operator=node.op_type, weight_bytes=weights)
    if node.op_type in RECURRENT:
        through = recurrence(node, values)
        base = replace(base, repeated_bytes=through.repeated_bytes, working_set_bytes=through.step_bytes)
        return _with(base, through.operations)
    if node.op_type in PRODUCTS:
        return _with(base, products(node, values, results))
    if node.op_type in _LOOKUPS:
        read = sum(one.nbytes for one in results if one is not None)
        return replace(base, weight_bytes=min(weights, read))
    if node.op_type in _MOVES:
        return replace(base, weight_bytes=0)
    return replace(base, other_ops=made)


def _with(cost: NodeCost, operations: Operations) -> NodeCost:
    return replace(cost, float_ops=operations.float_ops, int8_ops=operations.int8_ops, other_ops=operations.other_ops)
