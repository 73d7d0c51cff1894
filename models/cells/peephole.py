"""The LSTM whose gates see the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from .cell import MemoryCell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .cell import Step


class PeepholeLSTM(MemoryCell):
    """LSTM with peepholes: Gers and Schmidhuber (2000), Gers, Schraudolph and Schmidhuber (2002).

    "Recurrent nets that time and count", IJCNN 2000; "Learning precise timing with LSTM recurrent networks", Journal
    of Machine Learning Research 3.

        i_t = sigmoid(W_i x_t + R_i h_{t-1} + p_i * c_{t-1} + b_i)
        f_t = sigmoid(W_f x_t + R_f h_{t-1} + p_f * c_{t-1} + b_f)
        g_t = tanh(W_g x_t + R_g h_{t-1} + b_g)
        c_t = f_t * c_{t-1} + i_t * g_t
        o_t = sigmoid(W_o x_t + R_o h_{t-1} + p_o * c_t + b_o)
        h_t = o_t * tanh(c_t)

    The output gate sees the cell that has just been written, the other two the one before. Without peepholes
    (``weight_ch`` zero) it is torch's ``LSTM``.

    Attributes:
        weight_ih: float32 ``(4 hidden, features)``, gates ``i f g o``.
        weight_hh: float32 ``(4 hidden, hidden)``.
        weight_ch: float32 ``(3, hidden)``, the peepholes of ``i f o``, one weight a cell.
        bias: float32 ``(4 hidden,)``, or None.
    """

    weight_ch: nn.Parameter

    def __init__(self, input_size: int, hidden_size: int, *, bias: bool = True, reverse: bool = False) -> None:
        super().__init__(hidden_size, reverse=reverse)
        self.draw(input_size, gates=4, bias=bias, others={"weight_ch": (3, hidden_size)})

    def make_step(self) -> Step:
        """One step of the formula above."""
        see_i, see_f, see_o = self.weight_ch.unbind(0)

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (projected + linear(h, self.weight_hh)).chunk(4, dim=-1)
            c_t = torch.sigmoid(f + see_f * c) * c + torch.sigmoid(i + see_i * c) * torch.tanh(g)
            h = torch.sigmoid(o + see_o * c_t) * torch.tanh(c_t)
            return (h, c_t), h

        return step
