"""One recurrent layer as capture wrote it, and the builder of the nodes that take its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
from onnx_ir import tape

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A recurrent layer as capture wrote it.

    Attributes:
        kind: ``LSTM``, ``GRU`` or ``RNN``.
        name: its name in the graph, ``encoder.lstm.l0``.
        input: float32 ``(time, batch, features)``.
        lengths: int64 ``(batch,)``, or None.
        states: initial ``h_0`` (and ``c_0``), ``(num_directions, batch, size)``; None for zeros.
        weights: one tuple a direction: ``w_ih, w_hh[, b_ih, b_hh][, w_hr]``.
        hidden_size: size of the cell.
        bias: whether there are biases.
        nonlinearity: of an RNN, ``tanh`` or ``relu``.
        outputs: ``output``, ``h_n`` (and ``c_n``), to be replaced.
    """

    kind: str
    name: str
    input: ir.Value
    lengths: ir.Value | None
    states: tuple[ir.Value | None, ir.Value | None]
    weights: tuple[tuple[ir.Value, ...], ...]
    hidden_size: int
    bias: bool
    nonlinearity: str
    outputs: tuple[ir.Value, ...]

    @property
    def num_directions(self) -> int:
        """1 or 2."""
        return len(self.weights)

    @property
    def projected(self) -> bool:
        """Whether the output is a projection of the cell's."""
        return len(self.weights[0]) % 2 == 1


class Builder(tape.Tape):
    """Records nodes named after a layer, and makes each initializer once.

    Attributes:
        prefix: start of every name.
    """

    def __init__(self, *, graph: ir.Graph, scope: object, made: dict[tuple[Any, ...], ir.Value], prefix: str) -> None:
        """Nodes are only recorded; initializers go to ``graph`` at once. ``scope`` tells the nodes' own graph."""
        super().__init__()
        self._graph = graph
        self._scope = scope
        self._made = made
        self.prefix = prefix

    @property
    def opset(self) -> int:
        """Version of the ONNX operators that the graph is written in."""
        return self._graph.opset_imports.get("", 0)

    def is_outermost(self, graph: object) -> bool:
        """Whether this is the graph that holds all weights, not a body within it."""
        return graph is self._graph

    def within(self, prefix: str) -> Builder:
        """A builder of a body's nodes; initializers go to the same graph, which a body may use by name."""
        return Builder(graph=self._graph, scope=object(), made=self._made, prefix=prefix)

    def call(self, op_type: str, *inputs: ir.Value | None, name: str = "", **attributes: Any) -> ir.Value:  # noqa: ANN401
        """One node with one output."""
        node_name = self._unique(f"{self.prefix}/{name or op_type}")
        value = self.op(op_type, inputs, attributes, name=node_name)
        value.name = f"{node_name}.out"
        return value

    def call_multi(
        self,
        op_type: str,
        *inputs: ir.Value | None,
        count: int,
        name: str = "",
        **attributes: Any,  # noqa: ANN401
    ) -> Sequence[ir.Value]:
        """One node with several outputs."""
        node_name = self._unique(self.prefix if name == "" else f"{self.prefix}/{name}")
        values = self.op_multi_out(op_type, inputs, attributes, num_outputs=count, name=node_name)
        for index, value in enumerate(values):
            value.name = f"{node_name}.out{index}"
        return values

    def constant(self, name: str, array: NDArray[Any], *, key: tuple[Any, ...] = ()) -> ir.Value:
        """An initializer. Of equal keys there is one, whatever its name; without a key the name is the key."""
        key = key or ("constant", name)
        if key not in self._made:
            value = ir.Value(name=name, const_value=ir.tensor(np.asarray(array, order="C"), name=name))
            value.shape = ir.Shape(array.shape)
            value.dtype = ir.DataType.from_numpy(array.dtype)
            self._graph.register_initializer(value)
            self._made[key] = value
        return self._made[key]

    def ints(self, *numbers: int) -> ir.Value:
        """A constant int64 vector, shared by all who need it."""
        return self.constant("i64_" + "_".join(map(str, numbers)), np.array(numbers, np.int64))

    def made_once(self, key: tuple[Any, ...], make: Callable[[], ir.Value]) -> ir.Value:
        """The value made for this key in this graph before, or else by ``make``."""
        key = ("in", self._scope, *key)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def time_of(self, value: ir.Value) -> ir.Value:
        """The value whose first axis this one's number of frames comes from."""
        return self._made.get(("time of", value), value)

    def _unique(self, name: str) -> str:
        names = {node.name for node in self.nodes}
        count = 0
        while (candidate := name if not count else f"{name}_{count}") in names:
            count += 1
        return candidate
