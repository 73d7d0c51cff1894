"""The LSTM that forgets exactly as much as it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from .cell import MemoryCell

if TYPE_CHECKING:
    from torch import Tensor

    from .cell import Step


class CoupledLSTM(MemoryCell):
    """LSTM with coupled input and forget gate (CIFG): Greff, Srivastava, Koutnik, Steunebrink and Schmidhuber (2017).

    "LSTM: A Search Space Odyssey", IEEE Transactions on Neural Networks and Learning Systems 28(10), arXiv:1503.04069.

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
        super().__init__(hidden_size, reverse=reverse)
        self.draw(input_size, gates=3, bias=bias)

    def make_step(self) -> Step:
        """One step of the formula above."""

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            f, g, o = (projected + linear(h, self.weight_hh)).chunk(3, dim=-1)
            f = torch.sigmoid(f)
            c = f * c + (1 - f) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            return (h, c), h

        return step
