"""The smallest gated cell: one gate that both resets and updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class MinimalGatedUnit(nn.Module):
    """Minimal gated unit (MGU): Zhou et al. (2016), arXiv:1603.09420.

        f_t = sigmoid(W_f x_t + R_f h_{t-1} + b_f)
        n_t = tanh(W_n x_t + R_n (f_t * h_{t-1}) + b_n)
        h_t = (1 - f_t) * h_{t-1} + f_t * n_t

    The gate stands before ``R_n``, as in the paper, and not after it, as torch's ``GRU`` has its reset gate; so a step
    needs two products.

    Attributes:
        weight_ih: float32 ``(2 hidden, features)``, gates ``f n``.
        weight_hh: float32 ``(2 hidden, hidden)``.
        bias: float32 ``(2 hidden,)``, or None.
    """

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, reverse: bool = False) -> None:
        super().__init__()
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(2 * hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(2 * hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(2 * hidden_size, fan=hidden_size) if bias else None

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
        weight_f, weight_n = self.weight_hh.chunk(2)

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            f_x, n_x = projected.chunk(2, dim=-1)
            f = torch.sigmoid(f_x + linear(h, weight_f))
            n = torch.tanh(n_x + linear(f * h, weight_n))
            h = (1 - f) * h + f * n
            return h, h

        h_0 = zeros(x, self.hidden_size) if state is None else state
        h_n, output = scan(step, h_0, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, h_n
