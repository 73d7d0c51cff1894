"""The LSTM with projections as a ``Scan``: ONNX's LSTM has none, and torch.onnx writes a graph that does not load.

Formula (Sak, Senior, Beaufays 2014, without peepholes, as in torch): with ``x_t`` projected for all steps at once,

    i, f, g, o = split(x_t W_ih' + b_ih + b_hh + h W_hh')
    c' = sigmoid(f) c + sigmoid(i) tanh(g)
    h' = (sigmoid(o) tanh(c')) W_hr'

Past a row's length the state stays and the output is zero. That holds for the reverse direction as well: a scan from
the last frame leaves the initial state alone until it reaches the row's own last frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from onnx_ir import tape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .layer import Builder, Layer

_FORWARD, _REVERSE = 0, 1


def projected_lstm(layer: Layer, builder: Builder) -> list[ir.Value | None]:
    """The layer's ``output``, ``h_n`` and ``c_n``."""
    valid = _valid_frames(layer, builder)
    results = [_direction(layer, builder, index, valid) for index in range(layer.num_directions)]
    if len(results) == 1:
        return list(results[0])
    outputs, h_n, c_n = zip(*results, strict=True)
    return [
        builder.call("Concat", *outputs, axis=2),
        builder.call("Concat", *h_n, axis=0),
        builder.call("Concat", *c_n, axis=0),
    ]


def _direction(
    layer: Layer, builder: Builder, index: int, valid: ir.Value | None
) -> tuple[ir.Value, ir.Value, ir.Value]:
    w_ih, w_hh, *biases, w_hr = layer.weights[index]
    transposed = {"W": w_ih, "R": w_hh, "P": w_hr}
    matrices = {
        name: builder.call("Transpose", value, perm=[1, 0], name=f"{name}{index}") for name, value in transposed.items()
    }
    gates = builder.call("MatMul", layer.input, matrices["W"], name=f"input_projection{index}")
    for bias in biases:
        gates = builder.call("Add", gates, bias)
    h_0, c_0 = (
        _initial(layer, builder, state, index, size) for state, size in zip(layer.states, (w_hr, w_hh), strict=True)
    )
    direction = [_REVERSE if index else _FORWARD]
    # Sizes rather than `num_outputs`, which operator set 17 does not know.
    sizes = builder.ints(*[layer.hidden_size] * 4)
    assert w_hr.shape is not None
    of = (layer.hidden_size, int(w_hr.shape.numpy()[0]))
    body = _body(f"{layer.name}.body{index}", matrices, sizes, of, masked=valid is not None)
    scanned = [gates] if valid is None else [gates, valid]
    h_n, c_n, output = builder.call_multi(
        "Scan",
        h_0,
        c_0,
        *scanned,
        count=3,
        name="" if layer.num_directions == 1 else ("reverse" if index else "forward"),
        body=body,
        num_scan_inputs=len(scanned),
        scan_input_directions=direction * len(scanned),
        scan_output_directions=direction,
    )
    lift = builder.ints(0)
    return output, builder.call("Unsqueeze", h_n, lift), builder.call("Unsqueeze", c_n, lift)


def _body(
    name: str, matrices: Mapping[str, ir.Value], sizes: ir.Value, of: tuple[int, int], *, masked: bool
) -> ir.Graph:
    """One step over a cell and an output ``of`` these sizes.

    The weights and the sizes of the gates are the outer graph's, which a subgraph may use by name.
    """
    recurrent, projection = matrices["R"], matrices["P"]
    nodes = tape.Tape()
    # States have fixed sizes, which is what lets them be carried between chunks.
    h, c, gates = (_float_value(one, size) for one, size in (("h", of[1]), ("c", of[0]), ("gates", None)))
    inputs = [h, c, gates]
    summed = nodes.op("Add", [gates, nodes.op("MatMul", [h, recurrent])])
    i, f, g, o = nodes.op_multi_out("Split", [summed, sizes], {"axis": -1}, num_outputs=4)
    kept = nodes.op("Mul", [nodes.op("Sigmoid", [f]), c])
    added = nodes.op("Mul", [nodes.op("Sigmoid", [i]), nodes.op("Tanh", [g])])
    c_next = nodes.op("Add", [kept, added])
    cell = nodes.op("Mul", [nodes.op("Sigmoid", [o]), nodes.op("Tanh", [c_next])])
    h_next = nodes.op("MatMul", [cell, projection])
    output = nodes.op("Identity", [h_next])
    if masked:
        valid = ir.Value(name="valid", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([None, 1]))
        inputs.append(valid)
        zero = nodes.op("Constant", [], {"value": ir.tensor(np.float32(0))})
        output = nodes.op("Where", [valid, h_next, zero])
        h_next = nodes.op("Where", [valid, h_next, h])
        c_next = nodes.op("Where", [valid, c_next, c])
    outputs = [h_next, c_next, output]
    # Names are the whole model's: a value of the body must not bear the name of one outside.
    for number, value in enumerate(value for node in nodes.nodes for value in node.outputs):
        value.name = f"{name}/{number}"
    for value in inputs:
        value.name = f"{name}/{value.name}"
    for value in outputs:
        value.type = ir.TensorType(ir.DataType.FLOAT)
        value.shape = ir.Shape([None, None])
    return ir.Graph(inputs, outputs, nodes=nodes.nodes, name=name)


def _valid_frames(layer: Layer, builder: Builder) -> ir.Value | None:
    """Which frames are a row's own: bool ``(time, batch, 1)``, or None without lengths."""
    lengths = layer.lengths
    if lengths is None:
        return None
    timed = builder.time_of(layer.input)

    def make() -> ir.Value:
        zero, one = (builder.constant(f"i64_scalar_{n}", np.array(n, np.int64)) for n in (0, 1))
        count = builder.call("Squeeze", builder.call("Shape", timed, start=0, end=1))
        steps = builder.call("Range", zero, count, one)
        column = builder.call("Unsqueeze", steps, builder.ints(1, 2))
        return builder.call("Less", column, builder.call("Unsqueeze", lengths, builder.ints(0, 2)))

    return builder.made_once(("valid", timed, lengths), make)


def _initial(layer: Layer, builder: Builder, state: ir.Value | None, index: int, of: ir.Value) -> ir.Value:
    """The initial state of one direction: ``(batch, size)``."""
    if state is not None:
        if layer.num_directions == 1:
            return builder.call("Squeeze", state, builder.ints(0))
        which = builder.constant(f"i64_scalar_{index}", np.array(index, np.int64))
        return builder.call("Gather", state, which, axis=0)
    # w_hr is (proj_size, hidden_size) and w_hh is (4 * hidden_size, proj_size).
    assert of.shape is not None
    size = of.shape[0] if of is layer.weights[index][-1] else layer.hidden_size
    assert isinstance(size, int)
    timed = builder.time_of(layer.input)
    batch = builder.made_once(("batch of", timed), lambda: builder.call("Shape", timed, start=1, end=2))
    shape = builder.call("Concat", batch, builder.ints(size), axis=0)
    return builder.call("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, np.float32)))


def _float_value(name: str, size: int | None) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([None, size]))
