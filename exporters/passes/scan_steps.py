"""One step of an fp32 LSTM, GRU or RNN as the body of a ``Scan``: one product a gate, over frame and state at once.

With ``v = [x_t, h]`` beside each other and the weights of both below each other, ``V = [W'; R']``, each gate is one
``Gemm``, to which ONNX Runtime fuses the activation that follows. Formulas (ONNX operators LSTM-14, GRU-14 and RNN-14):

    i, o, f = sigmoid(v V_i + b_i), sigmoid(v V_o + b_o), sigmoid(v V_f + b_f)          LSTM
    g = tanh(v V_c + b_c);  c' = f c + i g;  h' = o tanh(c')
    z, r = sigmoid(v V_z + b_z), sigmoid(v V_r + b_r)                                   GRU
    n = tanh(x_t W_h' + b_Wh + r (h R_h' + b_Rh))         with linear_before_reset, which is torch's form
    n = tanh([x_t, r h] V_h + b_h)                        without
    h' = n + z (h - n)
    h' = f(v V + b)                                       RNN, f = tanh or relu

The gates are products of their own, not one that is split: a split copies them, and nothing fuses with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .int8_frames import optional_input
from .int8_weights import float_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from ..layer import Builder

#: ONNX's gates in their order in ``W``, ``R`` and ``B``.
GATES = {"LSTM": "iofc", "GRU": "zrh", "RNN": "h"}
#: How many states each has: ``h``, or ``h`` and ``c``.
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}
NONLINEARITIES = {"tanh": "Tanh", "relu": "Relu"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """One direction of a layer, by gate.

    Attributes:
        w: float32 ``(inputs, hidden_size)``, transposed for products from the left.
        r: float32 ``(hidden_size, hidden_size)``, likewise.
        of_input: float32 ``(hidden_size,)``, the bias beside ``w``; None where the layer has none.
        of_state: the bias beside ``r``.
        source: the layer's own weights and the direction: equal ones have equal matrices.
    """

    w: dict[str, NDArray[np.float32]]
    r: dict[str, NDArray[np.float32]]
    of_input: dict[str, NDArray[np.float32]] | None
    of_state: dict[str, NDArray[np.float32]] | None
    source: tuple[object, ...]

    @property
    def features(self) -> int:
        """Size of a frame."""
        return int(next(iter(self.w.values())).shape[0])

    @property
    def hidden_size(self) -> int:
        """Size of the state."""
        return int(next(iter(self.r.values())).shape[0])


def weights_of(node: ir.Node, index: int) -> Weights:
    """The weights of one direction of a layer, which must be float32 constants."""
    gates = GATES[node.op_type]
    w, r = (float_weight(value, 3) for value in node.inputs[1:3])
    assert w is not None
    assert r is not None
    source = (node.op_type, node.inputs[1], node.inputs[2], optional_input(node, 3), index)
    bias = float_weight(optional_input(node, 3), 2)
    halves = [None, None] if bias is None else [_by_gate(one, gates) for one in np.split(bias[index], 2)]
    return Weights(
        w={gate: block.T for gate, block in _by_gate(w[index], gates).items()},
        r={gate: block.T for gate, block in _by_gate(r[index], gates).items()},
        of_input=halves[0],
        of_state=halves[1],
        source=source,
    )


def body(node: ir.Node, builder: Builder, index: int, name: str, *, with_output: bool, masked: bool) -> ir.Graph:
    """One step: the states, a frame and whether it is the row's own, to the next states and the output.

    Args:
        node: the layer.
        builder: where constants go.
        index: number of the direction.
        name: of the body, and the start of all names in it.
        with_output: whether the output is asked for, not the last states alone.
        masked: whether the layer has lengths. Beyond them the states stay and the output is zero.
    """
    weights = weights_of(node, index)
    step = builder.within(name)
    states = [_value(f"{name}/{one}", weights.hidden_size) for one in "hc"[: STATES[node.op_type]]]
    frame = _value(f"{name}/x", weights.features)
    inputs = [*states, frame]
    following = _STEPS[node.op_type](node, step, weights, (frame, *states))
    if masked:
        valid = ir.Value(name=f"{name}/valid", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([None, 1]))
        inputs.append(valid)
        zero = step.constant("f32_scalar_0", np.array(0, np.float32))
        outputs = [step.call("Where", valid, following[0], zero, name="output")] if with_output else []
        following = [
            step.call("Where", valid, new, old, name="kept") for new, old in zip(following, states, strict=True)
        ]
    else:
        # ONNX Runtime gives wrong states where the state and the output are one value of the body.
        outputs = [step.call("Identity", following[0], name="output")] if with_output else []
    outputs = [*following, *outputs]
    for value in outputs:
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([None, weights.hidden_size])
    return ir.Graph(inputs, outputs, nodes=step.nodes, name=name)


def nonlinearity(node: ir.Node, index: int) -> str:
    """The activation of one direction of an RNN, in lower case."""
    given = [one.lower() for one in node.attributes.get_strings("activations", ())] or ["tanh"]
    return given[min(index, len(given) - 1)]


def _lstm(_: ir.Node, step: Builder, weights: Weights, given: Sequence[ir.Value]) -> list[ir.Value]:
    x, h, c = given
    both = step.call("Concat", x, h, axis=-1)
    i, o, f = (step.call("Sigmoid", _gate(step, weights, both, gate), name=gate) for gate in "iof")
    new = step.call("Tanh", _gate(step, weights, both, "c"), name="g")
    c_next = step.call("Add", step.call("Mul", f, c, name="remembered"), step.call("Mul", i, new, name="added"))
    return [step.call("Mul", o, step.call("Tanh", c_next), name="h"), c_next]


def _gru(node: ir.Node, step: Builder, weights: Weights, given: Sequence[ir.Value]) -> list[ir.Value]:
    x, h = given
    both = step.call("Concat", x, h, axis=-1)
    z, r = (step.call("Sigmoid", _gate(step, weights, both, gate), name=gate) for gate in "zr")
    if node.attributes.get_int("linear_before_reset", 0) != 0:
        # The reset gate multiplies the state's product and its bias, so the frame's product stands by itself.
        halves = {"W": (x, weights.w, weights.of_input), "R": (h, weights.r, weights.of_state)}
        of_frame, of_state = (
            _product(step, value, matrix["h"], None if bias is None else bias["h"], (f"{letter}_h", *weights.source))
            for letter, (value, matrix, bias) in halves.items()
        )
        candidate = step.call("Add", step.call("Mul", r, of_state, name="reset"), of_frame, name="candidate")
    else:
        reset = step.call("Concat", x, step.call("Mul", r, h, name="reset"), axis=-1, name="after")
        candidate = _gate(step, weights, reset, "h")
    n = step.call("Tanh", candidate, name="n")
    return [step.call("Add", n, step.call("Mul", z, step.call("Sub", h, n), name="part"), name="h")]


def _rnn(node: ir.Node, step: Builder, weights: Weights, given: Sequence[ir.Value]) -> list[ir.Value]:
    both = step.call("Concat", *given, axis=-1)
    # The direction is the last of what tells the weights.
    function = NONLINEARITIES[nonlinearity(node, int(str(weights.source[-1])))]
    return [step.call(function, _gate(step, weights, both, "h"), name="h")]


_STEPS: dict[str, Callable[[ir.Node, Builder, Weights, Sequence[ir.Value]], list[ir.Value]]] = {
    "LSTM": _lstm,
    "GRU": _gru,
    "RNN": _rnn,
}


def _gate(step: Builder, weights: Weights, both: ir.Value, gate: str) -> ir.Value:
    """A gate before its activation: the product of frame and state, both biases added."""
    bias = None
    if weights.of_input is not None and weights.of_state is not None:
        bias = weights.of_input[gate] + weights.of_state[gate]
    matrix = np.concatenate([weights.w[gate], weights.r[gate]])
    return _product(step, both, matrix, bias, (f"V_{gate}", *weights.source))


def _product(
    step: Builder,
    value: ir.Value,
    matrix: NDArray[np.float32],
    bias: NDArray[np.float32] | None,
    key: tuple[object, ...],
) -> ir.Value:
    """``value @ matrix + bias``; the key is what the weights are, and begins with their name."""
    stem, key = f"{step.prefix}.{key[0]}", ("scan form", *key)
    inputs = [value, step.constant(stem, matrix, key=key)]
    if bias is not None:
        inputs.append(step.constant(f"{stem}.bias", bias, key=("bias", *key)))
    return step.call("Gemm", *inputs, name=str(key[1]))


def _by_gate(array: NDArray[np.float32], gates: str) -> dict[str, NDArray[np.float32]]:
    return dict(zip(gates, np.split(array, len(gates)), strict=True))


def _value(name: str, size: int) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, size]))
