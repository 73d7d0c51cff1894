"""The smallest gated cell: one gate that both resets and updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from .cell import HiddenCell

if TYPE_CHECKING:
    from torch import Tensor

    from .cell import Step


class MinimalGatedUnit(HiddenCell):
    """Minimal gated unit (MGU): Zhou, Wu, Zhang and Zhou (2016).

    "Minimal gated unit for recurrent neural networks", International Journal of Automation and Computing 13(3),
    arXiv:1603.09420.

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
        super().__init__(hidden_size, reverse=reverse)
        self.draw(input_size, gates=2, bias=bias)

    def make_step(self) -> Step:
        """One step of the formula above."""
        weight_f, weight_n = self.weight_hh.chunk(2)

        def step(h: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            f_x, n_x = projected.chunk(2, dim=-1)
            f = torch.sigmoid(f_x + linear(h, weight_f))
            n = torch.tanh(n_x + linear(f * h, weight_n))
            h = (1 - f) * h + f * n
            return h, h

        return step
