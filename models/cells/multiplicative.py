"""The LSTM whose recurrent weights depend on the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from .cell import MemoryCell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .cell import Step


class MultiplicativeLSTM(MemoryCell):
    """Multiplicative LSTM (mLSTM): Krause, Lu, Murray and Renals (2016).

    "Multiplicative LSTM for sequence modelling", arXiv:1609.07959.

        m_t = (W_mx x_t) * (W_mh h_{t-1})
        (i, f, g, o) = W_ih x_t + W_hh m_t + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)

    An LSTM that sees ``m_t`` in the place of ``h_{t-1}``; all else is as in torch's ``LSTM``.

    Attributes:
        weight_ih: float32 ``(4 hidden, features)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, hidden)``.
        weight_mx: float32 ``(hidden, features)``.
        weight_mh: float32 ``(hidden, hidden)``.
        bias: float32 ``(4 hidden,)``, or None.
    """

    weight_mx: nn.Parameter
    weight_mh: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, reverse: bool = False) -> None:
        super().__init__(hidden_size, reverse=reverse)
        others = {"weight_mx": (hidden_size, input_size), "weight_mh": (hidden_size, hidden_size)}
        self.draw(input_size, gates=4, bias=bias, others=others)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``W_ih x_t + b`` and ``W_mx x_t``, for all steps at once."""
        return linear(x, self.weight_ih, self.bias), linear(x, self.weight_mx)

    def make_step(self) -> Step:
        """One step of the formula above."""

        def step(
            state: tuple[Tensor, Tensor], projected: tuple[Tensor, Tensor]
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            (h, c), (gates, factor) = state, projected
            m = factor * linear(h, self.weight_mh)
            i, f, g, o = (gates + linear(m, self.weight_hh)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h

        return step
