"""The network whose parts tick at different rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.functional import linear

from ...errors import InputError
from ...exporters.scanning import scan
from .beginning import check, uniform, zeros

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


class Clockwork(nn.Module):
    """Clockwork RNN: Koutnik, Greff, Gomez and Schmidhuber (2014), "A Clockwork RNN", ICML, arXiv:1402.3511.

        h_t = tanh(W_ih x_t + W_hh h_{t-1} + b)    in the modules whose period divides t,
        h_t = h_{t-1}                              in the others

    The hidden layer is cut into modules of equal size, one a period. A module hears itself and the slower ones, so
    ``weight_hh`` is used as a block upper triangular matrix, its modules from fastest to slowest.

    Steps are counted from 0, when every module ticks, and the count is a part of the state: a sequence that is cut in
    two goes on with the right modules, and so does each row of a ragged batch in reverse.

    Args:
        input_size: features of a step.
        hidden_size: size of the whole hidden layer, a multiple of the number of periods.
        periods: of the modules, at least 1, from fastest to slowest.
        bias: whether there is one.
        reverse: begin at the last step.

    Attributes:
        weight_ih: float32 ``(hidden, features)``.
        weight_hh: float32 ``(hidden, hidden)``; what the triangle leaves out has no effect.
        bias: float32 ``(hidden,)``, or None.

    Raises:
        InputError: the periods do not increase, or do not divide the hidden layer.
    """

    triangle: Tensor
    period: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        periods: Sequence[int] = (1, 2, 4, 8),
        bias: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        if not periods or min(periods) < 1 or sorted(set(periods)) != list(periods):
            raise InputError(f"the periods of a clockwork are {tuple(periods)}; they begin at 1 or later and increase.")
        if hidden_size % len(periods):
            raise InputError(
                f"a hidden layer of {hidden_size} cannot be cut into {len(periods)} equal modules; its size must be a "
                "multiple of the number of periods."
            )
        self.hidden_size, self.reverse = hidden_size, reverse
        self.weight_ih = uniform(hidden_size, input_size, fan=hidden_size)
        self.weight_hh = uniform(hidden_size, hidden_size, fan=hidden_size)
        self.bias = uniform(hidden_size, fan=hidden_size) if bias else None
        of_unit = torch.tensor(list(periods)).repeat_interleave(hidden_size // len(periods))
        self.register_buffer("period", of_unit, persistent=False)
        self.register_buffer("triangle", of_unit.unsqueeze(1) <= of_unit, persistent=False)

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            x: float32 ``(batch, time, features)``.
            state: ``h_0``, float32 ``(batch, hidden)``, and how many steps each row has made, int64 ``(batch,)``.
            lengths: int64 ``(batch,)``.

        Returns:
            Every ``h_t``, float32 ``(batch, time, hidden)``, and the state after the last step.

        Raises:
            ShapeError: ``x`` has another shape.
        """
        check(x, self.weight_ih)
        weight_hh = self.weight_hh * self.triangle

        def step(state: tuple[Tensor, Tensor], projected: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
            h, count = state
            ticks = torch.remainder(count.unsqueeze(1), self.period) == 0
            h = torch.where(ticks, torch.tanh(projected + linear(h, weight_hh)), h)
            return (h, count + 1), h

        begin = (zeros(x, self.hidden_size), zeros(x).long()) if state is None else tuple(state)
        final, output = scan(step, begin, linear(x, self.weight_ih, self.bias), reverse=self.reverse, lengths=lengths)
        return output, final
