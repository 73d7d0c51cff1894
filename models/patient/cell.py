"""GRU-D: a gated recurrent unit that forgets as time passes between visits, and fades what was last measured.

Z. Che, S. Purushotham, K. Cho, D. Sontag and Y. Liu (2018), "Recurrent Neural Networks for Multivariate Time Series
with Missing Values", Scientific Reports 8:6085.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ...exporters.scanning import scan

State = tuple[torch.Tensor, torch.Tensor]


class GruD(nn.Module):
    """A layer for values of which some are missing, at times that are not even.

    With `m` what was observed, `x` the value, `x'` the last one observed before and the gap `d` since it (features are
    normalised, so that their mean is 0):

        fade   = exp(-relu(w * d + b))            of each feature, and likewise of each hidden unit from all gaps
        x_hat  = m * x + (1 - m) * fade * x'      a value that is missing goes from the last one to the mean
        h      = fade_h * h
        h      = GRU(concat(x_hat, m), h)
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        """Make a layer of `hidden_size` units over `input_size` features."""
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.fade_weight = nn.Parameter(torch.zeros(input_size))
        self.fade_bias = nn.Parameter(torch.zeros(input_size))
        self.forget = nn.Linear(input_size, hidden_size)
        self.cell = nn.GRUCell(2 * input_size, hidden_size)

    def forward(
        self, values: torch.Tensor, observed: torch.Tensor, gaps: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Read the visits.

        Args:
            values: float32 `(batch, time, features)`, normalised; anything where nothing was observed.
            observed: float32 `(batch, time, features)`, 1 where there is a value and 0 where there is none.
            gaps: float32 `(batch, time, features)`, time since the feature's last value, in a unit of about 1.
            lengths: int64 `(batch,)`, visits of each row; None where all are whole.

        Returns:
            float32 `(batch, time, hidden_size)`, after each visit; zeros past a row's end.
        """
        # What needs no state is computed for all visits at once.
        fades = torch.exp(-functional.relu(self.fade_weight * gaps + self.fade_bias))
        forgets = torch.exp(-functional.relu(self.forget(gaps)))

        def step(state: State, visit: tuple[torch.Tensor, ...]) -> tuple[State, torch.Tensor]:
            hidden, last = state
            value, there, fade, forget = visit
            filled = there * value + (1 - there) * fade * last
            hidden = self.cell(torch.cat((filled, there), dim=1), forget * hidden)
            return (hidden, there * value + (1 - there) * last), hidden

        batch = values.size(0)
        # Before a feature was ever observed its last value is the mean.
        initial = (values.new_zeros(batch, self.hidden_size), values.new_zeros(batch, self.input_size))
        _, hidden = scan(step, initial, (values, observed, fades, forgets), lengths=lengths)
        found: torch.Tensor = hidden
        return found
