"""The network of Jordan: its own output, not its hidden layer, comes back as input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from torch import Tensor


class Jordan(nn.Module):
    """A network whose state is what it has put out: Jordan (1986).

    "Serial order: A parallel distributed processing approach", ICS report 8604, University of California, San Diego.

        h_t = tanh(W_ih x_t + W_hs s_t + b)
        y_t = W_ho h_t + b_o
        s_{t+1} = decay * s_t + y_t

    ``s`` are Jordan's state units, which keep a fading trace of the outputs: with a decay of 0, the last output alone.

    Args:
        input_size: features of a step.
        hidden_size: size of the hidden layer, which does not recur.
        output_size: size of the output and of the state.
        decay: how much of the trace is kept a step, from 0 to below 1.
        bias: whether there are any.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(hidden, features)``.
        weight_hs: float32 ``(hidden, output)``.
        weight_ho: float32 ``(output, hidden)``.
        bias: float32 ``(hidden,)``, or None.
        bias_o: float32 ``(output,)``, or None.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        decay: float = 0.0,
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.output_size, self.decay, self.reverse = output_size, decay, reverse
        self.weight_ih = uniform(hidden_size, input_size, fan=hidden_size)
        self.weight_hs = uniform(hidden_size, output_size, fan=hidden_size)
        self.weight_ho = uniform(output_size, hidden_size, fan=hidden_size)
        self.bias = uniform(hidden_size, fan=hidden_size) if bias else None
        self.bias_o = uniform(output_size, fan=hidden_size) if bias else None

    def forward(self, x: Tensor, state: Tensor | None = None, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``s_1``, float32 ``(batch, output)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``y_t``, float32 ``(batch, time, output)``, and the state after the last, ``(batch, output)``.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)

        def step(s: Tensor, projected: Tensor) -> tuple[Tensor, Tensor]:
            h = torch.tanh(projected + linear(s, self.weight_hs))
            y = linear(h, self.weight_ho, self.bias_o)
            return (self.decay * s + y if self.decay else y), y

        s_1 = zeros(x, self.output_size) if state is None else state
        s_n, output = scan(step, s_1, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, s_n
