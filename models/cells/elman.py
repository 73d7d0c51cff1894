"""Simple recurrent networks: Elman's, and the same of rectified units that begins as the identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...errors import InputError
from .cell import HiddenCell

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from .cell import Step

_NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}


class Elman(HiddenCell):
    """The simple recurrent network of Elman (1990), "Finding structure in time", Cognitive Science 14(2).

        h_t = phi(W_ih x_t + W_hh h_{t-1} + b)

    Elman's hidden units are logistic (``nonlinearity="sigmoid"``); with ``tanh`` it is torch's ``RNN``.

    Attributes:
        weight_ih: float32 ``(hidden, features)``.
        weight_hh: float32 ``(hidden, hidden)``.
        bias: float32 ``(hidden,)``, or None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        nonlinearity: str = "tanh",
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__(hidden_size, reverse=reverse)
        if nonlinearity not in _NONLINEARITIES:
            known = ", ".join(f"'{one}'" for one in _NONLINEARITIES)
            raise InputError(f"an Elman network has no nonlinearity '{nonlinearity}'; it has {known}.")
        self.nonlinearity = nonlinearity
        self.draw(input_size, gates=1, bias=bias)

    def make_step(self) -> Step:
        """One step of the formula above."""
        phi = _NONLINEARITIES[self.nonlinearity]

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            h = phi(projected + linear(h, self.weight_hh))
            return h, h

        return step


class IRNN(HiddenCell):
    """Rectified units that begin as the identity: Le, Jaitly and Hinton (2015).

    "A simple way to initialize recurrent networks of rectified linear units", arXiv:1504.00941.

        h_t = relu(W_ih x_t + W_hh h_{t-1} + b),    W_hh = scale * I and b = 0 at the start

    Without an input the untrained network keeps its state, and gradients neither vanish nor explode.

    Args:
        input_size: features of a step.
        hidden_size: size of the state.
        scale: of the identity; the paper takes 0.01 where long memory hurts (speech).
        std: of the normal distribution that ``weight_ih`` is drawn from; the paper takes 0.001.
        bias: whether there is one.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(hidden, features)``.
        weight_hh: float32 ``(hidden, hidden)``.
        bias: float32 ``(hidden,)``, or None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        scale: float = 1.0,
        std: float = 0.001,
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__(hidden_size, reverse=reverse)
        self.weight_ih = nn.Parameter(torch.randn(hidden_size, input_size) * std)
        self.weight_hh = nn.Parameter(torch.eye(hidden_size) * scale)
        self.bias = nn.Parameter(torch.zeros(hidden_size)) if bias else None

    def make_step(self) -> Step:
        """One step of the formula above."""

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.relu(projected + linear(h, self.weight_hh))
            return h, h

        return step
