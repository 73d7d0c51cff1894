"""GRU and RNN in eight bits, which ONNX Runtime has no operator for: two products and a ``Scan``.

The input's projection is one product over all time steps; what recurs is a ``Scan`` whose step has one product for
all gates, ``DynamicQuantizeMatMul``, which quantizes the state anew in each step. The projection has a scale for each
frame, or one for all where the input is another layer's answer. The recurrence does not depend on how a sequence is cut
into chunks, and the first layer's projection does not either. States and gates are float32 throughout.

Formulas (ONNX operators GRU-14 and RNN-14), with ``a = x W' + b`` for all steps at once:

    z, r = sigmoid(a_z + h R_z'), sigmoid(a_r + h R_r')
    n = tanh(a_n + r (h R_n' + b_Rn))        with linear_before_reset, which is torch's form
    n = tanh(a_n + (r h) R_n' + b_Rn)        without
    h' = n + z (h - n)
    h' = f(a + h R')                         RNN, f = tanh or relu

Past a row's length the state stays and the output is zero, in the reverse direction as well: a scan from the last frame
leaves the initial state alone until it reaches the row's own last frame. See ``benchmarks/notes/quantization.md`` for
the forms that were tried and what each took.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from .int8_frames import (
    BOUNDED,
    LENGTHS,
    directions,
    give,
    is_even,
    masked,
    optional_input,
    take_place,
    valid_frames,
    without_axis,
    zeros_beyond,
)
from .int8_products import frame_product, product, step_product
from .int8_weights import float_weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..layer import Builder

#: ONNX's gates ``z r h`` in the order used here: those under one sigmoid first, the reset gate before the update gate.
_GRU_ORDER = (1, 0, 2)
_GATES = {"GRU": 3, "RNN": 1}
_NONLINEARITIES = {"tanh": "Tanh", "relu": "Relu"}
#: For a projection to more columns, a further pass over all frames costs more than it saves a single one.
_FEW_COLUMNS = 2048
_TAKEN = {"hidden_size", "direction", "activations", "linear_before_reset", "layout"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Weights:
    """One direction of a layer, transposed for products from the left.

    Attributes:
        w: float32 ``(inputs, gates * hidden_size)``.
        r: float32 ``(hidden_size, gates * hidden_size)``.
        outer: float32 ``(gates * hidden_size,)``, what is added to the projection for all steps at once; or None.
        inner: the same added in each step; or None.
        source: the layer's own weights, and the direction: equal ones have equal matrices.
    """

    w: NDArray[np.float32]
    r: NDArray[np.float32]
    outer: NDArray[np.float32] | None
    inner: NDArray[np.float32] | None
    source: tuple[object, ...]

    @property
    def hidden_size(self) -> int:
        """Size of the state."""
        return int(self.r.shape[0])

    def inside(self) -> _Weights:
        """The same with its biases in the recurrent product, where they cost nothing, as far as they can be there.

        A product with a scale for each frame would need a pass of its own over all steps to add them. What is added to
        a candidate outside of the reset gate stays in ``outer``, which then is ``(hidden_size,)``.
        """
        if self.outer is None:
            return self
        gates = self.r.shape[1] - self.hidden_size  # none of an RNN
        if not gates:
            return replace(self, inner=self.outer, outer=None)
        inner = np.zeros_like(self.outer) if self.inner is None else self.inner.copy()
        inner[:gates] += self.outer[:gates]
        return replace(self, inner=inner, outer=self.outer[gates:])


def scan_refusal(node: ir.Node) -> str:
    """Why this GRU or RNN cannot be quantized; empty where it can."""
    if any(float_weight(node.inputs[index], 3) is None for index in (1, 2)):
        return "its weights are not float32 constants"
    bias = optional_input(node, 3)
    if bias is not None and float_weight(bias, 2) is None:
        return "its biases are not float32 constants"
    unknown = sorted(set(node.attributes) - _TAKEN)
    if unknown:
        return f"it has the attribute '{unknown[0]}'"
    if node.attributes.get_int("layout", 0):
        return "it has batch-first layout"
    functions = [one.lower() for one in node.attributes.get_strings("activations", ())]
    allowed = {"sigmoid", "tanh"} if node.op_type == "GRU" else set(_NONLINEARITIES)
    given = functions[::2] == ["sigmoid"] * len(functions[::2]) and functions[1::2] == ["tanh"] * len(functions[1::2])
    if not set(functions) <= allowed or (node.op_type == "GRU" and not given):
        return f"its activations are {', '.join(functions)}"
    return ""


def quantize_scan(node: ir.Node, builder: Builder) -> None:
    """Record the projections and the ``Scan`` of each direction in ``builder``, and let them take the layer's place."""
    sequence, lengths = node.inputs[0], optional_input(node, 4)
    assert sequence is not None
    valid = None
    if lengths is not None:
        valid = valid_frames(sequence, lengths, builder)
        if is_even(sequence) and not zeros_beyond(sequence, lengths):
            sequence = masked(sequence, lengths, builder)
    results = [
        _direction(node, builder, index, reverse=reverse, frames=(sequence, valid))
        for index, reverse in enumerate(directions(node))
    ]
    y, y_h = (*node.outputs, None)[:2]
    outputs, finals = zip(*results, strict=True)
    if y is not None and (y.uses() or y.is_graph_output()):
        if len(results) == 1:
            give(y, outputs[0], 1, builder)
        else:
            lifted = [builder.call("Unsqueeze", one, builder.ints(1)) for one in outputs]
            take_place(y, builder.call("Concat", *lifted, axis=1))
    if y_h is not None and (y_h.uses() or y_h.is_graph_output()):
        if len(results) == 1:
            give(y_h, finals[0], 0, builder)
        else:
            lifted = [builder.call("Unsqueeze", one, builder.ints(0)) for one in finals]
            take_place(y_h, builder.call("Concat", *lifted, axis=0))


def _direction(
    node: ir.Node, builder: Builder, index: int, *, reverse: int, frames: tuple[ir.Value, ir.Value | None]
) -> tuple[ir.Value, ir.Value]:
    """The outputs ``(time, batch, hidden_size)`` and the final state ``(batch, hidden_size)`` of one direction."""
    sequence, valid = frames
    weights = _weights(node, index)
    size = weights.hidden_size
    scope = f"{builder.prefix}.{index}" if len(directions(node)) > 1 else builder.prefix
    name, key = f"{scope}/projection", ("W", *weights.source)
    even = is_even(sequence)
    if even:
        projected = product(builder, sequence, weights.w, bias=weights.outer, name=name, key=key)
    else:
        weights = weights.inside()
        few = weights.w.shape[1] <= _FEW_COLUMNS
        projected = frame_product(builder, sequence, weights.w, bias=None, name=name, key=key, apart=few)
    scanned = [projected]
    if node.op_type == "GRU":
        # Cut once for all steps rather than in each of them.
        scanned = list(
            builder.call_multi("Split", projected, builder.ints(2 * size, size), count=2, name=f"Split{index}", axis=-1)
        )
        if not even and weights.outer is not None:
            added = builder.constant(f"{name}.bias", weights.outer, key=("int8 bias", weights.outer.tobytes()))
            scanned[1] = builder.call("Add", scanned[1], added, name=f"bias{index}")
    body = _body(node, builder, weights, f"{scope}/body", masked_steps=valid is not None, index=index)
    if valid is not None:
        scanned.append(valid)
    called = "Scan" if len(directions(node)) == 1 else ("reverse" if reverse else "forward")
    h_n, y = builder.call_multi(
        "Scan",
        _initial(node, builder, index, size),
        *scanned,
        count=2,
        name=called,
        body=body,
        num_scan_inputs=len(scanned),
        scan_input_directions=[reverse] * len(scanned),
        scan_output_directions=[reverse],
    )
    made, lengths = h_n.producer(), optional_input(node, 4)
    assert made is not None
    if lengths is not None:
        made.metadata_props[LENGTHS] = lengths.name or ""
    if node.op_type == "GRU" or "relu" not in [one.lower() for one in node.attributes.get_strings("activations", ())]:
        made.metadata_props[BOUNDED] = "1"
    for value in (h_n, y):
        value.type = ir.TensorType(ir.DataType.FLOAT)
    return y, h_n


def _weights(node: ir.Node, index: int) -> _Weights:
    order = _GRU_ORDER if node.op_type == "GRU" else (0,)

    def ordered(array: NDArray[np.float32]) -> NDArray[np.float32]:
        blocks = np.split(array, len(order))
        return np.concatenate([blocks[one] for one in order])

    w, r = (float_weight(value, 3) for value in node.inputs[1:3])
    assert w is not None
    assert r is not None
    source = (node.op_type, node.inputs[1], node.inputs[2], optional_input(node, 3), index)
    found = float_weight(optional_input(node, 3), 2)
    outer = inner = None
    if found is not None:
        of_input, of_state = (ordered(half) for half in np.split(found[index], 2))
        outer = of_input + of_state
        if node.op_type == "GRU" and node.attributes.get_int("linear_before_reset", 0) != 0:
            # The reset gate multiplies this bias too, so it cannot be added beforehand.
            size = r.shape[-1]
            outer[2 * size :] = of_input[2 * size :]
            inner = np.concatenate([np.zeros(2 * size, np.float32), of_state[2 * size :]])
    return _Weights(w=ordered(w[index]).T, r=ordered(r[index]).T, outer=outer, inner=inner, source=source)


def _body(node: ir.Node, builder: Builder, weights: _Weights, name: str, *, masked_steps: bool, index: int) -> ir.Graph:
    """One step: ``h``, the gates' projections and whether the frame is valid, to ``h`` and the output."""
    step = builder.within(name)
    size = weights.hidden_size
    widths = [2 * size, size] if node.op_type == "GRU" else [size]
    h = _value(f"{name}/h", size)
    projected = [_value(f"{name}/gates{number}", width) for number, width in enumerate(widths)]
    inputs = [h, *projected]
    if node.op_type == "RNN":
        function = [one.lower() for one in node.attributes.get_strings("activations", ())] or ["tanh"]
        moved = step_product(
            step, h, weights.r, bias=weights.inner, name=f"{name}/recurrence", key=("R", *weights.source)
        )
        h_next = step.call(
            _NONLINEARITIES[function[min(index, len(function) - 1)]], step.call("Add", projected[0], moved)
        )
    elif node.attributes.get_int("linear_before_reset", 0) != 0:
        h_next = _gru_step(step, h, projected, weights, name)
    else:
        h_next = _gru_step_reset_first(step, h, projected, weights, name)
    if masked_steps:
        valid = ir.Value(name=f"{name}/valid", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([None, 1]))
        inputs.append(valid)
        output = step.call("Where", valid, h_next, step.constant("int8_f32_zero", np.array(0, np.float32)))
        h_next = step.call("Where", valid, h_next, h, name="kept")
    else:
        # ONNX Runtime gives wrong states where the state and the output are one value of the body.
        output = step.call("Identity", h_next)
    for value in (h_next, output):
        value.type, value.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape([None, size])
    return ir.Graph(inputs, [h_next, output], nodes=step.nodes, name=name)


def _gru_step(step: Builder, h: ir.Value, projected: list[ir.Value], weights: _Weights, name: str) -> ir.Value:
    size = weights.hidden_size
    moved = step_product(step, h, weights.r, bias=weights.inner, name=f"{name}/recurrence", key=("R", *weights.source))
    under_sigmoid, new = step.call_multi("Split", moved, step.ints(2 * size, size), count=2, name="cut", axis=-1)
    reset, update = _gates(step, under_sigmoid, projected[0], size)
    candidate = step.call("Tanh", step.call("Add", projected[1], step.call("Mul", reset, new)))
    return _mixed(step, h, candidate, update)


def _gru_step_reset_first(
    step: Builder, h: ir.Value, projected: list[ir.Value], weights: _Weights, name: str
) -> ir.Value:
    size = weights.hidden_size
    cut = 2 * size

    def moved(value: ir.Value, which: str, matrix: NDArray[np.float32], bias: NDArray[np.float32] | None) -> ir.Value:
        key = ("R", which, *weights.source)
        return step_product(step, value, matrix, bias=bias, name=f"{name}/{which}", key=key)

    inner = None if weights.inner is None else weights.inner[:cut]
    reset, update = _gates(step, moved(h, "gates", weights.r[:, :cut], inner), projected[0], size)
    new = moved(step.call("Mul", reset, h), "candidate", weights.r[:, cut:], None)
    return _mixed(step, h, step.call("Tanh", step.call("Add", projected[1], new)), update)


def _gates(step: Builder, moved: ir.Value, projected: ir.Value, size: int) -> tuple[ir.Value, ir.Value]:
    """The reset and the update gate."""
    gates = step.call("Sigmoid", step.call("Add", projected, moved, name="gates"))
    reset, update = step.call_multi("Split", gates, step.ints(size, size), count=2, name="Split", axis=-1)
    return reset, update


def _mixed(step: Builder, h: ir.Value, candidate: ir.Value, update: ir.Value) -> ir.Value:
    """``n + z (h - n)``, which is ``(1 - z) n + z h`` in three nodes."""
    return step.call("Add", candidate, step.call("Mul", update, step.call("Sub", h, candidate), name="part"), name="h")


def _initial(node: ir.Node, builder: Builder, index: int, size: int) -> ir.Value:
    """The initial state of one direction: ``(batch, hidden_size)``."""
    given = optional_input(node, 5)
    if given is not None:
        if len(directions(node)) == 1:
            return without_axis(given, 0, builder)
        which = builder.constant(f"i64_scalar_{index}", np.array(index, np.int64))
        return builder.call("Gather", given, which, axis=0)
    sequence = node.inputs[0]
    assert sequence is not None

    def make() -> ir.Value:
        batch = builder.call("Shape", sequence, start=1, end=2)
        shape = builder.call("Concat", batch, builder.ints(size), axis=0, name="state_shape")
        return builder.call("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, np.float32)))

    return builder.made_once(("int8 zeros", sequence, size), make)


def _value(name: str, size: int) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, size]))
