"""The networks of the classics: one recurrent layer and a linear one, at every step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..cells import Elman

if TYPE_CHECKING:
    from collections.abc import Callable

#: How long, in steps, a unit of the layer ``remembering`` keeps what it holds when training begins, at most.
_LONGEST = 200

#: Deviation of the weights of the input that simple recurrent units begin with.
_INPUT = 0.1


def _remembering(features: int, hidden_size: int) -> nn.Module:
    """An LSTM whose units begin by keeping what they hold for 1 to 200 steps.

    Tallec and Ollivier (2018), "Can recurrent neural networks warp time?", ICLR: a forget gate of bias ``log(t)`` keeps
    about ``t`` steps, and the input gate's bias is its opposite.
    """
    layer = nn.LSTM(features, hidden_size, batch_first=True)
    with torch.no_grad():
        keep = _keeps(hidden_size)
        bias = layer.get_parameter("bias_ih_l0").zero_()
        layer.get_parameter("bias_hh_l0").zero_()
        bias[:hidden_size] = -keep  # torch's order of gates: input, forget, cell, output
        bias[hidden_size : 2 * hidden_size] = keep
    return layer


def _remembering_gru(features: int, hidden_size: int) -> nn.Module:
    """The same for a GRU, whose one update gate both keeps and lets in."""
    layer = nn.GRU(features, hidden_size, batch_first=True)
    with torch.no_grad():
        keep = _keeps(hidden_size)
        bias = layer.get_parameter("bias_ih_l0").zero_()
        layer.get_parameter("bias_hh_l0").zero_()
        bias[hidden_size : 2 * hidden_size] = keep  # torch's order of gates: reset, update, new; an open one keeps
    return layer


def _keeps(hidden_size: int) -> Tensor:
    """A bias for each gate that keeps: of the logarithm of 1 to 200 steps, drawn evenly."""
    return torch.log(1 + torch.rand(hidden_size) * (_LONGEST - 1))


def _keeping(features: int, hidden_size: int) -> nn.Module:
    """An LSTM whose forget gates begin with a bias of 1.

    Jozefowicz, Zaremba and Sutskever (2015), "An empirical exploration of recurrent network architectures", ICML.
    """
    layer = nn.LSTM(features, hidden_size, batch_first=True)
    with torch.no_grad():
        layer.get_parameter("bias_ih_l0")[hidden_size : 2 * hidden_size] = 1
        layer.get_parameter("bias_hh_l0")[hidden_size : 2 * hidden_size] = 0
    return layer


def _simple(nonlinearity: str, *, identity: bool = False) -> Callable[[int, int], nn.Module]:
    """Simple recurrent units, begun at random or, the IRNN of Le, Jaitly and Hinton (2015), at the identity.

    Both begin alike otherwise: biases at zero, weights of the input normal of deviation 0.1. The paper takes 0.001 for
    these, and learns for a thousand times as long. A matrix at random is normal too, of deviation ``1 / sqrt(hidden)``.
    """

    def make(features: int, hidden_size: int) -> nn.Module:
        layer = nn.RNN(features, hidden_size, nonlinearity=nonlinearity, batch_first=True)
        recurrent = layer.get_parameter("weight_hh_l0")
        with torch.no_grad():
            if identity:
                recurrent.copy_(torch.eye(hidden_size))
            else:
                recurrent.normal_(std=hidden_size**-0.5)
            layer.get_parameter("weight_ih_l0").normal_(std=_INPUT)
            layer.get_parameter("bias_ih_l0").zero_()
            layer.get_parameter("bias_hh_l0").zero_()
        return layer

    return make


#: Layers by name: from the features and the hidden size.
LAYERS: dict[str, Callable[[int, int], nn.Module]] = {
    "elman": lambda features, hidden: Elman(features, hidden, nonlinearity="sigmoid"),
    "elman tanh": Elman,
    "tanh": _simple("tanh"),
    "relu": _simple("relu"),
    "irnn": _simple("relu", identity=True),
    "gru": lambda features, hidden: nn.GRU(features, hidden, batch_first=True),
    "keeping": _keeping,
    "lstm": lambda features, hidden: nn.LSTM(features, hidden, batch_first=True),
    "remembering": _remembering,
    "remembering gru": _remembering_gru,
}


class Stepwise(nn.Module):
    """Numbers -> numbers, step by step.

    Args:
        layer: out of :data:`LAYERS`.
        features: of a step.
        hidden_size: size of the state.
        outputs: of a step.
        between: the least and the largest number that there is; what is beyond is taken for it. None for any.
    """

    def __init__(
        self,
        layer: str,
        *,
        features: int,
        hidden_size: int,
        outputs: int,
        between: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.between = between
        self.recurrent = LAYERS[layer](features, hidden_size)
        self.head = nn.Linear(hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Answer: float32 ``(batch, time, features)`` -> ``(batch, time, outputs)``."""
        answer: Tensor = self.head(self._hidden(x))
        return answer

    def last(self, x: Tensor) -> Tensor:
        """The answer after the last step alone, ``(batch, outputs)``, which is all that is learned from."""
        answer: Tensor = self.head(self._hidden(x)[:, -1])
        return answer

    def _hidden(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.recurrent(x if self.between is None else x.clamp(*self.between))[0]
        return hidden


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
    names = {"recurrent.bias_ih_l0": "recurrent.bias"}
    return {
        names.get(name, name.removesuffix("_l0")): value.detach().cpu().numpy()
        for name, value in module.state_dict().items()
    }
