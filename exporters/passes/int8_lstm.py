"""The LSTM in eight bits: ONNX Runtime's ``DynamicQuantizeLSTM`` in place of ``LSTM``.

Source: ONNX Runtime's contrib operators, ``com.microsoft.DynamicQuantizeLSTM-1``. It takes the weights transposed,
``(num_directions, inputs, 4 * hidden_size)``, in ONNX's order of gates ``i o f c``, with one scale a column.

It quantizes the whole of its input ``(time, batch, features)`` with one scale, and ``h`` anew in each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .int8_frames import masked, optional_input, take_place, zeros_beyond
from .int8_weights import contrib, float_weight, in_columns

if TYPE_CHECKING:
    import onnx_ir as ir

    from ..layer import Builder

#: The inputs of LSTM-14 after the weights: B, sequence_lens, initial_h, initial_c, P.
_OPTIONAL = 5
_TAKEN = {"hidden_size", "direction", "activations", "activation_alpha", "activation_beta", "clip", "input_forget"}


def lstm_refusal(node: ir.Node) -> str:
    """Why this node cannot be quantized; empty where it can."""
    if float_weight(node.inputs[1], 3) is None or float_weight(node.inputs[2], 3) is None:
        return "its weights are not float32 constants"
    unknown = sorted(set(node.attributes) - _TAKEN - {"layout"})
    if node.attributes.get_int("layout", 0) or unknown:
        return "it has batch-first layout" if not unknown else f"it has the attribute '{unknown[0]}'"
    return ""


def quantize_lstm(node: ir.Node, builder: Builder) -> None:
    """Record the quantized node in ``builder`` and let it take the old one's place."""
    w, r = (float_weight(value, 3) for value in node.inputs[1:3])
    assert w is not None
    assert r is not None
    sequence, lengths = node.inputs[0], optional_input(node, 4)
    assert sequence is not None
    if lengths is not None and not zeros_beyond(sequence, lengths):
        sequence = masked(sequence, lengths, builder)
    packed: list[ir.Value] = []
    scales: list[ir.Value | None] = []
    for what, matrix, source in (("W", w, node.inputs[1]), ("R", r, node.inputs[2])):
        quantized, scale = in_columns(matrix.transpose(0, 2, 1))
        name = f"{builder.prefix}.{what}"
        packed.append(builder.constant(f"{name}.int8", quantized, key=("int8 lstm", source)))
        scales += [
            builder.constant(f"{name}.scale", scale, key=("int8 lstm scale", source)),
            builder.constant(f"{name}.zero", np.zeros(scale.shape, np.int8), key=("int8 lstm zero", scale.shape)),
        ]
    optional = [*node.inputs[3:], *[None] * _OPTIONAL][:_OPTIONAL]
    outputs = contrib(
        builder,
        "DynamicQuantizeLSTM",
        sequence,
        *packed,
        *optional,
        *scales,
        name=f"{builder.prefix}/int8",
        count=len(node.outputs),
        **{name: attribute.value for name, attribute in node.attributes.items() if name in _TAKEN},
    )
    for old, new in zip(node.outputs, outputs, strict=True):
        if not old.name:
            new.name = ""  # an output that is left out
        take_place(old, new)
