"""The LSTM whose output is a projection of its cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

from .cell import MemoryCell

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .cell import Step


class ProjectedLSTM(MemoryCell):
    """LSTM with a recurrent projection (LSTMP): Sak, Senior and Beaufays (2014).

    "Long short-term memory based recurrent neural network architectures for large vocabulary speech recognition",
    arXiv:1402.1128.

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

    weight_hr: nn.Parameter

    def __init__(
        self, input_size: int, hidden_size: int, projection_size: int, *, bias: bool = True, reverse: bool = False
    ) -> None:
        super().__init__(hidden_size, reverse=reverse)
        self.projection_size = projection_size
        others = {"weight_hr": (projection_size, hidden_size)}
        self.draw(input_size, gates=4, bias=bias, output_size=projection_size, others=others)

    def make_step(self) -> Step:
        """One step of the formula above."""

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, c = state
            i, f, g, o = (projected + linear(h, self.weight_hh)).chunk(4, dim=-1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = linear(torch.sigmoid(o) * torch.tanh(c), self.weight_hr)
            return (h, c), h

        return step
