"""Every value that a graph computes for given inputs, those of its subgraphs too, by running it.

Shapes that are told by running hold for operators that no shape inference knows (``com.microsoft``), for sizes that
depend on data, and for the number of iterations of a ``Loop``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ..errors import ModelFileError
from ..runtime.ort import cpu_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

_TRIPS = "rnnx.trips."


@dataclass(frozen=True, kw_only=True, slots=True)
class Executed:
    """A graph, and what it computed.

    Attributes:
        graph: the graph.
        values: arrays by name: inputs, initializers, what its nodes made, and what it sees of the graphs around it.
        constants: names of those that are the same whatever the inputs are.
    """

    graph: onnx.GraphProto
    values: Mapping[str, NDArray[Any]]
    constants: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A subgraph as its node ran it.

    Attributes:
        executed: its first iteration.
        steps: how many iterations there were.
    """

    executed: Executed
    steps: int


class Executor:
    """Runs the graphs of one model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take over a model whose local functions are inlined."""
        self._model = model

    def whole(self, feed: Mapping[str, NDArray[Any]]) -> Executed:
        """The main graph with these inputs.

        Raises:
            ModelFileError: ONNX Runtime does not run it.
        """
        return self._execute(self._model.graph, feed, {}, frozenset())

    def runs(self, node: onnx.NodeProto, around: Executed) -> Iterator[Run]:
        """The subgraphs that this node ran: the body of a ``Scan`` or ``Loop``, the chosen branch of an ``If``.

        Raises:
            ModelFileError: ONNX Runtime does not run a subgraph.
        """
        given = [around.values.get(name) for name in node.input]
        attributes = {one.name: one for one in node.attribute}
        if node.op_type == "Scan":
            body, count = attributes["body"].g, attributes["num_scan_inputs"].i
            axes = list(attributes["scan_input_axes"].ints) if "scan_input_axes" in attributes else [0] * count
            states, sequences = given[: len(given) - count], given[len(given) - count :]
            pairs = [(array, axis) for array, axis in zip(sequences, axes, strict=True) if array is not None]
            steps = pairs[0][0].shape[pairs[0][1]]
            if steps:
                yield Run(
                    executed=self._body(body, [*states, *(array.take(0, axis) for array, axis in pairs)], around),
                    steps=steps,
                )
        elif node.op_type == "Loop":
            body = attributes["body"].g
            steps = around.values[_TRIPS + node.output[0]].shape[0]
            if steps:
                first = [np.array(0, np.int64), np.array(True), *given[2:]]  # noqa: FBT003  (a condition, not a flag)
                yield Run(executed=self._body(body, first, around), steps=steps)
        elif node.op_type == "If" and given[0] is not None:
            branch = attributes["then_branch" if bool(given[0]) else "else_branch"].g
            yield Run(executed=self._body(branch, [], around), steps=1)

    def _body(self, body: onnx.GraphProto, arguments: Sequence[NDArray[Any] | None], around: Executed) -> Executed:
        feed = {
            declared.name: array for declared, array in zip(body.input, arguments, strict=True) if array is not None
        }
        # A name that is made inside hides the outer one.
        own = {one.name for one in body.input} | {one.name for one in body.initializer}
        seen = {name: around.values[name] for name in sorted(_used(body) - own) if name in around.values}
        return self._execute(body, feed, seen, around.constants & seen.keys())

    def _execute(
        self,
        graph: onnx.GraphProto,
        feed: Mapping[str, NDArray[Any]],
        outer: Mapping[str, NDArray[Any]],
        constant: frozenset[str],
    ) -> Executed:
        """Run a graph with every value as an output."""
        copy = onnx.GraphProto()
        copy.CopyFrom(graph)
        stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        fed = {**{name: array for name, array in feed.items() if name not in stored}, **outer}
        del copy.input[:], copy.output[:], copy.value_info[:]
        copy.input.extend(
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in fed.items()
        )
        for node in copy.node:
            if node.op_type == "Loop":
                _count_trips(node)
        names = [name for node in copy.node for name in node.output if name]
        if not names:
            return Executed(graph=graph, values={**fed, **stored}, constants=constant | stored.keys())
        copy.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        model = onnx.ModelProto(ir_version=self._model.ir_version, graph=copy)
        model.opset_import.extend(self._model.opset_import)
        try:
            session = cpu_session(model.SerializeToString())
            found: list[Any] = session.run(names, {one.name: fed[one.name] for one in session.get_inputs()})
        except Exception as error:
            raise ModelFileError(f"the graph '{graph.name}' cannot be run to count its operations: {error}") from error
        made = {name: value for name, value in zip(names, found, strict=True) if isinstance(value, np.ndarray)}
        return Executed(
            graph=graph,
            values={**fed, **stored, **made},
            constants=_constants(graph, constant | stored.keys()),
        )


def _count_trips(node: onnx.NodeProto) -> None:
    """Let a ``Loop`` also give the number of each of its iterations."""
    body = next(one.g for one in node.attribute if one.name == "body")
    name = _TRIPS + node.output[0]
    body.node.append(helper.make_node("Identity", [body.input[0].name], [name]))
    body.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.INT64, []))
    node.output.append(name)


def _constants(graph: onnx.GraphProto, known: frozenset[str]) -> frozenset[str]:
    """Names of what follows from constants alone: a transposed weight is still a weight."""
    found = set(known)
    for node in graph.node:
        free = any(one.type == onnx.AttributeProto.GRAPH for one in node.attribute)
        if not free and not node.op_type.startswith("Random") and {name for name in node.input if name} <= found:
            found.update(node.output)
    return frozenset(found)


def _used(graph: onnx.GraphProto) -> set[str]:
    """Names that a graph or one of its subgraphs reads."""
    used = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    for node in graph.node:
        for one in node.attribute:
            if one.type == onnx.AttributeProto.GRAPH:
                used |= _used(one.g)
    return used - {""}
