"""The LSTM that forgets exactly as much as it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class CoupledLSTM(nn.Module):
    """LSTM with coupled input and forget gate (CIFG): Greff et al. (2017), "LSTM: A Search Space Odyssey", TNNLS 28.

        f_t = sigmoid(W_f x_t + R_f h_{t-1} + b_f),    i_t = 1 - f_t
        g_t = tanh(W_g x_t + R_g h_{t-1} + b_g)
        o_t = sigmoid(W_o x_t + R_o h_{t-1} + b_o)
        c_t = f_t * c_{t-1} + (1 - f_t) * g_t
        h_t = o_t * tanh(c_t)

    The paper's variants have peepholes; this one, like torch's ``LSTM``, has none.

    Attributes:
        weight_ih: float32 ``(3 hidden, features)``, gates ``f g o``.
        weight_hh: float32 ``(3 hidden, hidden)``.
        bias: float32 ``(3 hidden,)``, or None.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, reverse: bool = False) -> None:
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(3 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(3 * hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(3 * hidden_size, fan=hidden_size) if bias else None

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

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            f, g, o = (projected + linear(h, self.weight_hh)).chunk(3, dim=-1)
            f = torch.sigmoid(f)
            c = f * c + (1 - f) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h

        begin = (zeros(x, self.hidden_size), zeros(x, self.hidden_size)) if state is None else tuple(state)
        final, output = scan(step, begin, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, final
