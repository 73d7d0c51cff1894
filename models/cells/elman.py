"""Simple recurrent networks: Elman's, and the same of rectified units that begins as the identity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...errors import InputError
from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}


class Elman(nn.Module):
    """The simple recurrent network of Elman, "Finding structure in time" (1990).

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
        super().__init__()
        if nonlinearity not in _NONLINEARITIES:
            known = ", ".join(f"'{one}'" for one in _NONLINEARITIES)
            raise InputError(f"an Elman network has no nonlinearity '{nonlinearity}'; it has {known}.")
        self.hidden_size, self.nonlinearity, self.reverse = hidden_size, nonlinearity, reverse
        self.weight_ih = uniform(hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(hidden_size, fan=hidden_size) if bias else None

    def forward(self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``h_0``, float32 ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and the last, ``(batch, hidden)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        phi = _NONLINEARITIES[self.nonlinearity]

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            h = phi(projected + linear(h, self.weight_hh))
            return h, h

        h_0 = zeros(x, self.hidden_size) if state is None else state
        h_n, output = scan(step, h_0, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, h_n


class IRNN(nn.Module):
    """Rectified units that begin as the identity: Le, Jaitly and Hinton (2015), arXiv:1504.00941.

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
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = nn.Parameter(torch.randn(hidden_size, input_size) * std)
        self.weight_hh = nn.Parameter(torch.eye(hidden_size) * scale)
        self.bias = nn.Parameter(torch.zeros(hidden_size)) if bias else None

    def forward(self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over whole sequences: see :meth:`Elman.forward`."""
        check(x, self.weight_ih)

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.relu(projected + linear(h, self.weight_hh))
            return h, h

        h_0 = zeros(x, self.hidden_size) if state is None else state
        h_n, output = scan(step, h_0, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, h_n
