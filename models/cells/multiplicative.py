"""The LSTM whose recurrent weights depend on the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class MultiplicativeLSTM(nn.Module):
    """Multiplicative LSTM (mLSTM): Krause et al. (2016), arXiv:1609.07959.

        m_t = (W_mx x_t) * (W_mh h_{t-1})
        (i, f, g, o) = W_ih x_t + W_hh m_t + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = sigmoid(o) * tanh(c_t)

    An LSTM that sees ``m_t`` in the place of ``h_{t-1}``.

    Attributes:
        weight_ih: float32 ``(4 hidden, features)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, hidden)``.
        weight_mx: float32 ``(hidden, features)``.
        weight_mh: float32 ``(hidden, hidden)``.
        bias: float32 ``(4 hidden,)``, or None.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, reverse: bool = False) -> None:
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(4 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(4 * hidden_size, hidden_size, fan=hidden_size)
        self.weight_mx = uniform(hidden_size, input_size, fan=hidden_size)
        self.weight_mh = uniform(hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(4 * hidden_size, fan=hidden_size) if bias else None

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``(h_0, c_0)``, each float32 ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and ``(h_n, c_n)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)

        def step(
            state: tuple[Tensor, Tensor], projected: tuple[Tensor, Tensor]
        ) -> tuple[tuple[Tensor, Tensor], Tensor]:
            (h, c), (gates, factor) = state, projected
            m = factor * linear(h, self.weight_mh)
            i, f, g, o = (gates + linear(m, self.weight_hh)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h

        begin = (zeros(x, self.hidden_size), zeros(x, self.hidden_size)) if state is None else tuple(state)
        projected = (linear(x, self.weight_ih, self.bias), linear(x, self.weight_mx))
        final, output = scan(step, begin, projected, reverse=self.reverse, lengths=lengths)
        return output, final
