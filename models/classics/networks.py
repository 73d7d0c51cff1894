"""The networks of the classics: one recurrent layer and a linear one, at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..cells import IRNN, Elman

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long, in steps, a unit of the layer ``remembering`` keeps what it holds when training begins, at most.
_LONGEST = 200


def _remembering(features: int, hidden_size: int) -> nn.Module:
    """An LSTM whose units begin by keeping what they hold for 1 to 200 steps.

    Tallec and Ollivier (2018), "Can recurrent neural networks warp time?", ICLR: a forget gate of bias ``log(t)`` keeps
    about ``t`` steps, and the input gate's bias is its opposite.
    """
    layer = nn.LSTM(features, hidden_size, batch_first=True)
    with torch.no_grad():
        keep = torch.log(1 + torch.rand(hidden_size) * (_LONGEST - 1))
        bias = layer.get_parameter("bias_ih_l0").zero_()
        layer.get_parameter("bias_hh_l0").zero_()
        bias[:hidden_size] = -keep  # torch's order of gates: input, forget, cell, output
        bias[hidden_size : 2 * hidden_size] = keep
    return layer


#: Layers by name: from the features and the hidden size.
LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "elman": lambda features, hidden: Elman(features, hidden, nonlinearity="sigmoid"),
    "tanh": Elman,
    "relu": lambda features, hidden: Elman(features, hidden, nonlinearity="relu"),
    # The paper begins at the identity itself, draws the input's weights from a far narrower distribution (0.001), and
    # learns for far longer: so it is stable at a larger learning rate.
    "irnn": lambda features, hidden: IRNN(features, hidden, scale=0.95, std=0.3),
    "gru": lambda features, hidden: nn.GRU(features, hidden, batch_first=True),
    "lstm": lambda features, hidden: nn.LSTM(features, hidden, batch_first=True),
    "remembering": _remembering,
}


class Stepwise(nn.Module):
    """Numbers -> numbers, step by step.

    Args:
        layer: out of :data:`LAYERS`.
        features: of a step.
        hidden_size: size of the state.
        outputs: of a step.
    """

    def __init__(self, layer: str, *, features: int, hidden_size: int, outputs: int) -> None:
        super().__init__()
        self.recurrent = LAYERS[layer](features, hidden_size)
        self.head = nn.Linear(hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Answer: float32 ``(batch, time, features)`` -> ``(batch, time, outputs)``."""
        hidden: Tensor = self.recurrent(x)[0]
        answer: Tensor = self.head(hidden)
        return answer


class Symbolwise(nn.Module):
    """Symbols -> scores of the symbol to come, step by step. A symbol goes in as its own unit vector.

    Args:
        layer: out of :data:`LAYERS`.
        symbols: how many there are.
        hidden_size: size of the state.
    """

    units: Tensor

    def __init__(self, layer: str, *, symbols: int, hidden_size: int) -> None:
        super().__init__()
        self.register_buffer("units", torch.eye(symbols), persistent=False)
        self.recurrent = LAYERS[layer](symbols, hidden_size)
        self.head = nn.Linear(hidden_size, symbols)

    def forward(self, tokens: Tensor) -> Tensor:
        """Answer: int64 ``(batch, time)`` -> logits, float32 ``(batch, time, symbols)``."""
        hidden: Tensor = self.recurrent(nn.functional.embedding(tokens, self.units))[0]
        answer: Tensor = self.head(hidden)
        return answer


def weights_of(module: nn.Module) -> dict[str, Any]:
    """A module's weights in NumPy, as :class:`rnnx.models.classics.plain.Plain` takes them."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}
