"""`ActivityNet`: a watch's six inertial signals -> what its wearer is doing, step by step."""

from __future__ import annotations

import torch
from torch import nn

SIGNALS = ("ax", "ay", "az", "wx", "wy", "wz")
#: The exercises: pendulum, abduction, forward elevation, internal and external rotation, trapezius extension, row.
LABELS = ("PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW")

#: Steps for one answer.
STRIDE = 4


class ActivityNet(nn.Module):
    """A causal convolution that smooths and differentiates, an LSTM that remembers, and a vote that fades.

    Every answer rests on what came before it alone, so the same model answers a window, a recording and a stream.

    Attributes:
        mean: float32 `(6,)`, subtracted from every step; a buffer, so that raw signals go in.
        std: float32 `(6,)`, by which every step is then divided.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, *, channels: int, kernel: int, stride: int, hidden_size: int, num_layers: int, dropout: float
    ) -> None:
        """Make the network with fresh weights.

        Args:
            channels: that the convolution makes.
            kernel: steps that it looks at.
            stride: steps from one of its frames to the next: one answer comes for so many steps.
            hidden_size: of each LSTM layer.
            num_layers: LSTM layers.
            dropout: probability with which a value is dropped while training, between layers and before the last one.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(len(SIGNALS)))
        self.register_buffer("std", torch.ones(len(SIGNALS)))
        self.before = kernel - stride
        self.convolution = nn.Conv1d(len(SIGNALS), channels, kernel, stride)
        self.lstm = nn.LSTM(
            channels, hidden_size, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden_size, len(LABELS))

    def forward(self, signals: torch.Tensor) -> torch.Tensor:
        """Score every fourth step for every exercise.

        Args:
            signals: float32 `(batch, time, 6)`, 50 steps a second: acceleration along x, y and z in units of gravity,
                then angular velocity about x, y and z in radians per second.

        Returns:
            logits: float32 `(batch, time // 4, 7)`, in the order of :data:`LABELS`, after each fourth step from what
            was seen up to it.
        """
        normalised = ((signals - self.mean) / self.std).transpose(1, 2)
        # Padded at the beginning only: what comes later must not be looked at.
        local = torch.relu(self.convolution(nn.functional.pad(normalised, (self.before, 0))))
        hidden, _ = self.lstm(self.dropout(local).transpose(1, 2))
        logits: torch.Tensor = self.classifier(self.dropout(hidden))
        return logits


def build(
    *, channels: int = 48, kernel: int = 12, hidden_size: int = 64, num_layers: int = 1, dropout: float = 0.3
) -> ActivityNet:
    """Make the model with fresh weights and no normalisation; the defaults fit the committed checkpoint.

    Args:
        channels: that the convolution makes.
        kernel: steps that it looks at.
        hidden_size: of each LSTM layer.
        num_layers: LSTM layers.
        dropout: see :class:`ActivityNet`.
    """
    return ActivityNet(
        channels=channels, kernel=kernel, stride=STRIDE, hidden_size=hidden_size, num_layers=num_layers, dropout=dropout
    )
