"""The recurrent layers as torch operators of our own, so that capture sees one opaque node with symbolic shapes.

``torch.export`` takes ``nn.LSTM`` apart into an unrolled loop or freezes its time axis. While a model is being
captured, ``nn.LSTM``, ``nn.GRU``, ``nn.RNN`` and their cells therefore answer with the operators below, one call a
layer with both directions in it. Each has a fake kernel, whose shapes stay symbolic, and a real one, which calls
torch's own implementation and so runs the exported program.

Shapes are torch's, time first: input ``(time, batch, features)``, states ``(num_directions, batch, size)``. The
weights of a direction stand in torch's order ``w_ih, w_hh[, b_ih, b_hh][, w_hr]``, forward before reverse, with
torch's gates: LSTM ``i f g o``, GRU ``r z n``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .observed import Observed


@torch.library.custom_op("rnnx::lstm", mutates_args=())
def lstm(
    input: Tensor,  # noqa: A002  (torch's name)
    lengths: Tensor | None,
    h_0: Tensor | None,
    c_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001  (a custom operator's schema has no keyword-only arguments)
    name: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """One LSTM layer (Hochreiter and Schmidhuber 1997; projection: Sak et al. 2014).

    Args:
        input: float32 ``(time, batch, features)``.
        lengths: int64 ``(batch,)`` in any order, or None where every row is full.
        h_0: float32 ``(num_directions, batch, proj_size or hidden_size)``, or None for zeros.
        c_0: float32 ``(num_directions, batch, hidden_size)``, or None for zeros.
        weights: see the module's docstring.
        hidden_size: size of the cell.
        num_directions: 1 or 2.
        bias: whether the weights hold biases.
        name: the layer's name in the source, ``encoder.lstm.l0``.

    Returns:
        output ``(time, batch, num_directions * size)`` with zeros past each row's length, ``h_n`` and ``c_n``.
    """
    size = _output_size(weights, num_directions, hidden_size)
    h_0 = _zeros(input, num_directions, size) if h_0 is None else h_0
    c_0 = _zeros(input, num_directions, hidden_size) if c_0 is None else c_0
    output, h_n, c_n = _run(torch._VF.lstm, input, lengths, (h_0, c_0), weights, bias, num_directions)
    return output, h_n, c_n


@lstm.register_fake
def _(
    input: Tensor,  # noqa: A002
    lengths: Tensor | None,
    h_0: Tensor | None,
    c_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
) -> tuple[Tensor, Tensor, Tensor]:
    size = _output_size(weights, num_directions, hidden_size)
    output, h_n = _fake(input, size, num_directions)
    return output, h_n, input.new_empty(num_directions, input.shape[1], hidden_size)


@torch.library.custom_op("rnnx::gru", mutates_args=())
def gru(
    input: Tensor,  # noqa: A002
    lengths: Tensor | None,
    h_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
) -> tuple[Tensor, Tensor]:
    """One GRU layer (Cho et al. 2014) in cuDNN's form, whose reset gate acts after the recurrent product.

    Arguments and results as :func:`lstm`, without a cell state.
    """
    h_0 = _zeros(input, num_directions, hidden_size) if h_0 is None else h_0
    output, h_n = _run(torch._VF.gru, input, lengths, h_0, weights, bias, num_directions)
    return output, h_n


@torch.library.custom_op("rnnx::rnn", mutates_args=())
def rnn(
    input: Tensor,  # noqa: A002
    lengths: Tensor | None,
    h_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
    nonlinearity: str,
) -> tuple[Tensor, Tensor]:
    """One Elman RNN layer (Elman 1990) with ``tanh`` or ``relu``. Arguments and results as :func:`gru`."""
    h_0 = _zeros(input, num_directions, hidden_size) if h_0 is None else h_0
    function = torch._VF.rnn_tanh if nonlinearity == "tanh" else torch._VF.rnn_relu
    output, h_n = _run(function, input, lengths, h_0, weights, bias, num_directions)
    return output, h_n


@gru.register_fake
def _(
    input: Tensor,  # noqa: A002
    lengths: Tensor | None,
    h_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
) -> tuple[Tensor, Tensor]:
    return _fake(input, hidden_size, num_directions)


@rnn.register_fake
def _(
    input: Tensor,  # noqa: A002
    lengths: Tensor | None,
    h_0: Tensor | None,
    weights: list[Tensor],
    hidden_size: int,
    num_directions: int,
    bias: bool,  # noqa: FBT001
    name: str,
    nonlinearity: str,
) -> tuple[Tensor, Tensor]:
    return _fake(input, hidden_size, num_directions)


def layer_forward(module: nn.RNNBase, observed: Observed, input: Any, hx: Any = None) -> Any:  # noqa: A002, ANN401
    """``forward`` of ``nn.LSTM``, ``nn.GRU`` and ``nn.RNN`` while a model is captured.

    It takes and returns what the original does: padded or packed, batched or not, ``batch_first`` or not.
    """
    lengths: Tensor | None = None
    packed = isinstance(input, PackedSequence)
    if packed:
        # While capturing, a packed sequence holds its padded tensor (time first) and its lengths: see packed.py.
        x, lengths = input.data, input.batch_sizes
        batched = True
    else:
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(0 if module.batch_first else 1)
        x = x.transpose(0, 1) if module.batch_first else x
    states = _states(module, hx, batched=batched)
    finals: list[tuple[Tensor, ...]] = []
    for layer in range(module.num_layers):
        directions = module._all_weights[layer * _directions(module) : (layer + 1) * _directions(module)]
        weights = [getattr(module, name) for names in directions for name in names]
        x, *final = _call(module, x, lengths, _of_layer(module, states, layer), weights, observed.name(module, layer))
        finals.append(tuple(final))
    final_states = [torch.cat(one) if len(one) > 1 else one[0] for one in zip(*finals, strict=True)]
    if packed:
        observed.zero_padded(x)
        return input._replace(data=x), _like_torch(module, final_states)
    x = x.transpose(0, 1) if module.batch_first else x
    if not batched:
        x = x.squeeze(0 if module.batch_first else 1)
        final_states = [state.squeeze(1) for state in final_states]
    return x, _like_torch(module, final_states)


def cell_forward(module: nn.RNNCellBase, observed: Observed, input: Tensor, hx: Any = None) -> Any:  # noqa: A002, ANN401
    """``forward`` of ``nn.LSTMCell``, ``nn.GRUCell`` and ``nn.RNNCell``: a layer over one time step."""
    batched = input.dim() == 2
    x = input.unsqueeze(0) if batched else input.unsqueeze(0).unsqueeze(0)
    given = [] if hx is None else list(hx) if isinstance(hx, tuple) else [hx]
    states = [(one if batched else one.unsqueeze(0)).unsqueeze(0) for one in given]
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if module.bias else [])]
    weights = [getattr(module, name) for name in names]
    _, *final = _call(module, x, None, states, weights, observed.name(module))
    final = [one.squeeze(0) if batched else one.squeeze(0).squeeze(0) for one in final]
    return tuple(final) if isinstance(module, nn.LSTMCell) else final[0]


#: Who answers ``forward`` of which torch class during capture.
FORWARDS: dict[type[nn.Module], Callable[..., Any]] = {
    nn.LSTM: layer_forward,
    nn.GRU: layer_forward,
    nn.RNN: layer_forward,
    nn.LSTMCell: cell_forward,
    nn.GRUCell: cell_forward,
    nn.RNNCell: cell_forward,
}


def _call(
    module: nn.RNNBase | nn.RNNCellBase,
    x: Tensor,
    lengths: Tensor | None,
    states: list[Tensor],
    weights: list[Tensor],
    name: str,
) -> tuple[Tensor, ...]:
    """The operator for one layer of this module."""
    h_0, c_0 = (*states, None, None)[:2]
    common = (weights, module.hidden_size, 2 if getattr(module, "bidirectional", False) else 1, module.bias, name)
    outputs: tuple[Tensor, ...]
    if isinstance(module, nn.LSTM | nn.LSTMCell):
        outputs = torch.ops.rnnx.lstm.default(x, lengths, h_0, c_0, *common)
    elif isinstance(module, nn.GRU | nn.GRUCell):
        outputs = torch.ops.rnnx.gru.default(x, lengths, h_0, *common)
    else:
        outputs = torch.ops.rnnx.rnn.default(x, lengths, h_0, *common, module.nonlinearity)
    return outputs


def _states(module: nn.RNNBase, hx: Any, *, batched: bool) -> list[Tensor]:  # noqa: ANN401
    given = [] if hx is None else list(hx) if isinstance(module, nn.LSTM) else [hx]
    return given if batched else [one.unsqueeze(1) for one in given]


def _of_layer(module: nn.RNNBase, states: list[Tensor], layer: int) -> list[Tensor]:
    if module.num_layers == 1:
        return states
    count = _directions(module)
    return [state[layer * count : (layer + 1) * count] for state in states]


def _like_torch(module: nn.RNNBase, states: list[Tensor]) -> Any:  # noqa: ANN401
    return tuple(states) if isinstance(module, nn.LSTM) else states[0]


def _directions(module: nn.RNNBase) -> int:
    return 2 if module.bidirectional else 1


def _output_size(weights: list[Tensor], num_directions: int, hidden_size: int) -> int:
    # A direction has an odd number of weights only where the last one is a projection.
    per_direction = len(weights) // num_directions
    return int(weights[-1].shape[0]) if per_direction % 2 else hidden_size


def _fake(x: Tensor, size: int, num_directions: int) -> tuple[Tensor, Tensor]:
    time, batch = x.shape[:2]
    return x.new_empty(time, batch, num_directions * size), x.new_empty(num_directions, batch, size)


def _zeros(x: Tensor, num_directions: int, size: int) -> Tensor:
    return x.new_zeros(num_directions, x.shape[1], size)


def _run(
    function: Callable[..., tuple[Tensor, ...]],
    x: Tensor,
    lengths: Tensor | None,
    states: Tensor | tuple[Tensor, ...],
    weights: list[Tensor],
    bias: bool,  # noqa: FBT001
    num_directions: int,
) -> Iterator[Tensor]:
    """Torch's own layer; with lengths, over sequences packed in order of length and put back afterwards."""
    bidirectional = num_directions == 2
    if lengths is None:
        result = function(x, states, weights, bias, 1, 0.0, False, bidirectional, False)
        return (one.clone() for one in result)
    ordered, order = torch.sort(lengths.cpu(), descending=True, stable=True)
    back = torch.argsort(order)
    data, batch_sizes = torch._VF._pack_padded_sequence(x.index_select(1, order), ordered, False)
    if isinstance(states, tuple):
        states = tuple(one.index_select(1, order) for one in states)
    else:
        states = states.index_select(1, order)
    output, *final = function(data, batch_sizes, states, weights, bias, 1, 0.0, False, bidirectional)
    padded, _ = torch._VF._pad_packed_sequence(output, batch_sizes, False, 0.0, x.shape[0])
    return (one.index_select(1, back) for one in (padded, *final))
