"""Attention that only moves forward: a mixture of bells over the source's positions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

#: The narrowest bell, in letters. Narrower ones fall between two letters, and what is seen jumps as they move.
NARROWEST = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Centres:
    """Where the bells stand, in letters: whole letters, and the part of one beyond them.

    One float32 number for both would lose more bits with every letter, which the sum over the steps would gather.

    Attributes:
        whole: float32 ``(batch, components)``, whole numbers.
        part: float32 ``(batch, components)``, from 0 to 1.
    """

    whole: Tensor
    part: Tensor

    def moved(self, steps: Tensor) -> Centres:
        """These centres after steps of float32 ``(batch, components)`` letters."""
        part = self.part + steps
        letters = part.floor()
        return Centres(whole=self.whole + letters, part=part - letters)


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

    def begin(self, values: Tensor) -> Centres:
        """The centres before the first step, for values ``(batch, source, value_size)``."""
        zeros = values.new_zeros(values.shape[0], self.components)
        return Centres(whole=zeros, part=zeros)

    def forward(self, query: Tensor, centres: Centres, values: Tensor, lengths: Tensor) -> tuple[Tensor, Centres]:
        """Move on and look.

        Args:
            query: float32 ``(batch, query_size)``.
            centres: so far.
            values: float32 ``(batch, source, value_size)``.
            lengths: int64 ``(batch,)``.

        Returns:
            What is seen, ``(batch, value_size)``, and the new centres.
        """
        shares, steps, widths = self.parameters_of(torch.tanh(self.hidden(query))).chunk(3, -1)
        shares = shares.softmax(-1)
        centres = centres.moved(nn.functional.softplus(steps))
        widths = (nn.functional.softplus(widths) + NARROWEST).unsqueeze(-1)
        positions = torch.arange(values.shape[1], device=values.device)
        # The whole letters first: their difference is exact.
        distance = ((positions - centres.whole.unsqueeze(-1)) - centres.part.unsqueeze(-1)) / widths
        density = torch.exp(-0.5 * distance * distance) / (widths * math.sqrt(2.0 * math.pi))
        weights = (shares.unsqueeze(-1) * density).sum(1)
        weights = weights.masked_fill(positions >= lengths.unsqueeze(1), 0.0)
        return torch.bmm(weights.unsqueeze(1), values).squeeze(1), centres
