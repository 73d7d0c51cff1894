"""The LSTM whose output is a projection of its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class ProjectedLSTM(nn.Module):
    """LSTM with a recurrent projection (LSTMP): Sak, Senior and Beaufays (2014), arXiv:1402.1128.

        (i, f, g, o) = W_ih x_t + W_hh h_{t-1} + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g)
        h_t = W_hr (sigmoid(o) * tanh(c_t))

    The paper's cells also have peepholes; this one equals torch's ``LSTM(proj_size=...)``.

    Attributes:
        weight_ih: float32 ``(4 hidden, features)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, projection)``.
        weight_hr: float32 ``(projection, hidden)``.
        bias: float32 ``(4 hidden,)``, or None.
    """

    def __init__(
        self, input_size: int, hidden_size: int, projection_size: int, *, bias: bool = True, reverse: bool = False
    ) -> None:
        super().__init__()
        self.hidden_size, self.projection_size, self.reverse = hidden_size, projection_size, reverse
        self.weight_ih = uniform(4 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(4 * hidden_size, projection_size, fan=hidden_size)
        self.weight_hr = uniform(projection_size, hidden_size, fan=hidden_size)
        self.bias = uniform(4 * hidden_size, fan=hidden_size) if bias else None

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``(h_0, c_0)``, float32 ``(batch, projection)`` and ``(batch, hidden)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, projection)``, and ``(h_n, c_n)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (projected + linear(h, self.weight_hh)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = linear(torch.sigmoid(o) * torch.tanh(c), self.weight_hr)
            return (h, c), h

        begin = (zeros(x, self.projection_size), zeros(x, self.hidden_size)) if state is None else tuple(state)
        final, output = scan(step, begin, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, final
