"""Attention that only moves forward: a mixture of bells over the source's positions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class ForwardAttention(nn.Module):
    """Where to look, as a mixture of normal densities whose centres move on by what the query says, never back.

    Graves, "Generating sequences with recurrent neural networks", 2013, equations 46 to 51, in the form V2 of
    Battenberg et al., "Location-relative attention mechanisms for robust long-form speech synthesis", ICASSP 2020:
    softplus for steps and widths, and densities of area 1. As it knows positions and not contents, it neither skips nor
    repeats words in texts longer than those it was trained on.
    """

    def __init__(self, query_size: int, components: int = 4) -> None:
        """Make the layer."""
        super().__init__()
        self.components = components
        self.hidden = nn.Linear(query_size, query_size)
        self.parameters_of = nn.Linear(query_size, 3 * components)
        # At first steps of about a letter, and bells of about one letter's width.
        with torch.no_grad():
            self.parameters_of.bias[components:] = 0.5

    def forward(self, query: Tensor, centres: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Move on and look.

        Args:
            query: float32 ``(batch, query_size)``.
            centres: float32 ``(batch, components)``, positions so far; zeros at first.
            values: float32 ``(batch, source, value_size)``.
            lengths: int64 ``(batch,)``.

        Returns:
            What is seen, ``(batch, value_size)``, and the new centres.
        """
        shares, steps, widths = self.parameters_of(torch.tanh(self.hidden(query))).chunk(3, -1)
        shares = shares.softmax(-1)
        centres = centres + nn.functional.softplus(steps)
        widths = nn.functional.softplus(widths) + 0.2
        positions = torch.arange(values.shape[1], device=values.device)
        distance = (positions - centres.unsqueeze(-1)) / widths.unsqueeze(-1)
        density = torch.exp(-0.5 * distance * distance) / (widths.unsqueeze(-1) * math.sqrt(2.0 * math.pi))
        weights = (shares.unsqueeze(-1) * density).sum(1)
        weights = weights.masked_fill(positions >= lengths.unsqueeze(1), 0.0)
        return torch.bmm(weights.unsqueeze(1), values).squeeze(1), centres
