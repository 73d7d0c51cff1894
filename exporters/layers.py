"""One recurrent layer in ONNX: weights repacked to ONNX's gate order, and the node or the ``Scan`` that uses them.

Sources: ONNX operators LSTM-14, GRU-14, RNN-14 and Scan-11; torch's documentation of ``nn.LSTM``, ``nn.GRU`` and
``nn.RNN``. ONNX lays sequences out as ``(time, batch, features)``, outputs as ``(time, num_directions, batch, size)``,
and takes the concatenation of both biases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from ..errors import LoweringError
from .layer import Builder, Layer
from .passes.naming import MODULE, module_of
from .scan_lstm import projected_lstm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Where each of ONNX's gates stands among torch's: LSTM ``i o f c`` of ``i f g o``, GRU ``z r h`` of ``r z n``.
GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


def lower_layer(node: ir.Node, main: ir.Graph, made: dict[tuple[Any, ...], ir.Value], taken: set[str]) -> None:
    """Replace one ``rnnx`` node.

    Args:
        node: the node; it is removed from its graph.
        main: the outermost graph, which holds all weights.
        made: initializers made so far, so that layers that share weights share the repacked ones too.
        taken: names given to layers so far; a module that is called twice gets a second one.

    Raises:
        LoweringError: the weights are not float32, which is all that ONNX Runtime's recurrent kernels take.
    """
    layer = _read(node, taken)
    dtype = layer.weights[0][0].dtype
    if dtype != ir.DataType.FLOAT:
        raise LoweringError(
            f"layer '{layer.name}' has {dtype} weights; recurrent layers are exported in float32. "
            "Convert the model first: model.float()."
        )
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    builder = Builder(graph=main, scope=id(graph), made=made, prefix=layer.name)
    results = projected_lstm(layer, builder) if layer.projected else _fused(layer, builder)
    for made_node in builder.nodes:
        made_node.metadata_props[MODULE] = module_of(node)
    graph.insert_before(node, builder.nodes)
    for old, new in zip(layer.outputs, results, strict=True):
        if new is not None:
            new.shape, new.type = old.shape, old.type
            ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    if results[0] is not None:
        # The next layer of a stack has the same frames; so does whatever is computed from their number.
        made["time of", results[0]] = builder.time_of(layer.input)
    graph.remove(node, safe=True)


def _fused(layer: Layer, builder: Builder) -> list[ir.Value | None]:
    directions = layer.num_directions
    inputs: list[ir.Value | None] = [
        layer.input,
        _packed(layer, builder, "W", 0),
        _packed(layer, builder, "R", 1),
        _bias(layer, builder),
        sequence_lens(layer, builder),
        *layer.states[: 2 if layer.kind == "LSTM" else 1],
    ]
    while inputs[-1] is None:
        inputs.pop()
    attributes: dict[str, Any] = {"hidden_size": layer.hidden_size}
    if directions == 2:
        attributes["direction"] = "bidirectional"
    if layer.kind == "GRU":
        # torch's reset gate multiplies the recurrent product, after its bias was added (cuDNN's form).
        attributes["linear_before_reset"] = 1
    if layer.kind == "RNN":
        attributes["activations"] = [{"tanh": "Tanh", "relu": "Relu"}[layer.nonlinearity]] * directions
    y, *finals = builder.call_multi(layer.kind, *inputs, count=len(layer.outputs), **attributes)
    finals_used: list[ir.Value | None] = [
        new if old.uses() or old.is_graph_output() else None for old, new in zip(layer.outputs[1:], finals, strict=True)
    ]
    if not (layer.outputs[0].uses() or layer.outputs[0].is_graph_output()):
        return [None, *finals_used]
    if directions == 1:
        return [builder.call("Squeeze", y, builder.ints(1)), *finals_used]
    by_batch = builder.call("Transpose", y, perm=[0, 2, 1, 3])
    return [builder.call("Reshape", by_batch, builder.ints(0, 0, -1)), *finals_used]


def sequence_lens(layer: Layer, builder: Builder) -> ir.Value | None:
    """The lengths as int32, which is what ONNX's recurrent operators take; one cast for all layers."""
    lengths = layer.lengths
    if lengths is None:
        return None
    key = ("lengths", lengths)
    return builder.made_once(key, lambda: builder.call("Cast", lengths, to=int(ir.DataType.INT32), name="lengths"))


def _packed(layer: Layer, builder: Builder, what: str, index: int) -> ir.Value:
    """``W`` or ``R``: ``(num_directions, gates * hidden_size, features)`` in ONNX's order of gates."""
    parts = [direction[index] for direction in layer.weights]
    order = GATES[layer.kind]
    arrays = [array_of(part) for part in parts]
    if all(array is not None for array in arrays):
        packed = np.stack([reorder(array, order) for array in arrays if array is not None])
        return builder.constant(f"{layer.name}.{what}", packed, key=(layer.kind, what, *parts))
    # Weights that the model computes (a parametrization, a hypernetwork) are repacked in the graph.
    return _stack(builder, [_reorder_in_graph(builder, part, order, layer.hidden_size) for part in parts])


def _bias(layer: Layer, builder: Builder) -> ir.Value | None:
    """``B``: ``(num_directions, 2 * gates * hidden_size)``, the input's biases before the recurrent ones."""
    if not layer.bias:
        return None
    order = GATES[layer.kind]
    pairs = [direction[2:4] for direction in layer.weights]
    parts = [one for pair in pairs for one in pair]
    arrays = [array_of(part) for part in parts]
    if all(array is not None for array in arrays):
        ordered = [reorder(array, order) for array in arrays if array is not None]
        packed = np.stack([np.concatenate(ordered[i : i + 2]) for i in range(0, len(ordered), 2)])
        return builder.constant(f"{layer.name}.B", packed, key=(layer.kind, "B", *parts))
    joined = [
        builder.call("Concat", *(_reorder_in_graph(builder, one, order, layer.hidden_size) for one in pair), axis=0)
        for pair in pairs
    ]
    return _stack(builder, joined)


def array_of(value: ir.Value) -> NDArray[Any] | None:
    """A weight's numbers, or None where the graph computes it."""
    return None if value.const_value is None else value.const_value.numpy()


def reorder(array: NDArray[Any], order: Sequence[int]) -> NDArray[Any]:
    """Blocks of the first axis in another order: block ``i`` of the answer is block ``order[i]``."""
    blocks = np.split(array, len(order))
    return np.concatenate([blocks[index] for index in order])


def _reorder_in_graph(builder: Builder, value: ir.Value, order: Sequence[int], hidden_size: int) -> ir.Value:
    if len(order) == 1:
        return value
    # Sizes rather than `num_outputs`, which operator set 17 does not know.
    sizes = builder.ints(*[hidden_size] * len(order))
    blocks = builder.call_multi("Split", value, sizes, count=len(order), name="Split", axis=0)
    return builder.call("Concat", *(blocks[index] for index in order), axis=0)


def _stack(builder: Builder, values: Sequence[ir.Value]) -> ir.Value:
    lifted = [builder.call("Unsqueeze", one, builder.ints(0)) for one in values]
    return lifted[0] if len(lifted) == 1 else builder.call("Concat", *lifted, axis=0)


def _read(node: ir.Node, taken: set[str]) -> Layer:
    attributes = node.attributes
    directions = attributes["num_directions"].as_int()
    # Trailing inputs that are absent may be missing altogether.
    sequence, lengths, h_0, c_0, *optional = node.inputs
    assert sequence is not None
    weights = [one for one in optional if one is not None]
    per_direction = len(weights) // directions
    wanted = attributes["layer"].as_string()
    name, count = wanted, 1
    while name in taken:
        count += 1
        name = f"{wanted}.call{count}"
    taken.add(name)
    return Layer(
        kind=node.op_type,
        name=name,
        input=sequence,
        lengths=lengths,
        states=(h_0, c_0),
        weights=tuple(tuple(weights[i * per_direction : (i + 1) * per_direction]) for i in range(directions)),
        hidden_size=attributes["hidden_size"].as_int(),
        bias=bool(attributes["bias"].as_int()),
        nonlinearity=attributes["nonlinearity"].as_string(),
        outputs=tuple(node.outputs),
    )
