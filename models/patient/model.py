"""`PatientNet`: visits -> GRU-D -> the hazard of each of the years to come."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..datasets.pbcseq import COLUMNS
from .cell import GruD

#: Years ahead for which a hazard is given, and over how many of them risk is told.
YEARS, HORIZON_YEARS = 5, 3
DAYS_PER_YEAR = 365.25
#: From where on a risk is pointed out.
ALERT = 0.3
#: What is measured over several orders of size, and is taken as its logarithm.
SKEWED = ("bili", "chol", "alk.phos", "ast", "platelet", "protime")


class PatientNet(nn.Module):
    """Tells after each visit how likely death or transplantation is within the years that follow.

    Hazards are those of a discrete-time survival model: the probability that a year brings it to one who has come so
    far (Gensheimer and Narasimhan 2019, "A scalable discrete-time survival model for neural networks").

    Attributes:
        mean: float32 `(features,)`, of what was observed, logarithms where :data:`SKEWED`.
        std: float32 `(features,)`, likewise.
        skewed: float32 `(features,)`, 1 where the logarithm is taken.
    """

    mean: torch.Tensor
    std: torch.Tensor
    skewed: torch.Tensor

    def __init__(self, *, hidden_size: int, dropout: float) -> None:
        """Make the layers: `hidden_size` units, of which a share `dropout` is dropped before the output."""
        super().__init__()
        features = len(COLUMNS)
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("skewed", torch.tensor([float(name in SKEWED) for name in COLUMNS]))
        self.gru = GruD(features, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_size, YEARS)

    def forward(
        self, values: torch.Tensor, observed: torch.Tensor, gaps: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Judge after each visit.

        Args:
            values: float32 `(batch, time, features)`, in the units of :data:`rnnx.models.datasets.pbcseq.COLUMNS`;
                0 where nothing was observed.
            observed: float32 `(batch, time, features)`, 1 where there is a value and 0 where there is none.
            gaps: float32 `(batch, time, features)`, days since the feature's last value.
            lengths: int64 `(batch,)`, visits of each row; None where all are whole.

        Returns:
            risk: float32 `(batch, time)`, the probability of death or transplantation within three years of the visit.
            curve: float32 `(batch, time, years)`, the same within one year, two years, and so on to five.
        """
        curve = -torch.expm1(torch.cumsum(functional.logsigmoid(-self.hazards(values, observed, gaps, lengths)), dim=2))
        return curve[:, :, HORIZON_YEARS - 1], curve

    def hazards(
        self, values: torch.Tensor, observed: torch.Tensor, gaps: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same visits -> float32 `(batch, time, years)`, the logit of each year's hazard."""
        # Of what is not there (0) no logarithm is taken; the floor is far below any measurement.
        logarithms = torch.log(torch.clamp(values, min=1e-2))
        scaled = torch.where(self.skewed > 0, logarithms, values)
        normalised = observed * (scaled - self.mean) / self.std
        hidden = self.gru(normalised, observed, gaps / DAYS_PER_YEAR, lengths)
        logits: torch.Tensor = self.output(self.dropout(hidden))
        return logits


def build() -> PatientNet:
    """Make the model with fresh weights and no normalisation, at the size of the committed checkpoint."""
    return PatientNet(hidden_size=24, dropout=0.4)
