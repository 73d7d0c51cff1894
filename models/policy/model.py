"""`Policy`: a GRU that decides which way to push."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cartpole import EDGE, LEANING

HIDDEN = 32
_SEEN = 2
_PUSHES = 2


class Policy(nn.Module):
    """What is seen, step by step -> a score for each push.

    Attributes:
        scale: float32 ``(2,)``, the largest position and angle that there can be, by which what is seen is divided.
    """

    scale: Tensor

    def __init__(self, hidden_size: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([EDGE, LEANING]))
        self.spread = nn.Linear(_SEEN, hidden_size)
        self.recurrent = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, _PUSHES)

    def forward(self, observations: Tensor, h_0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Decide.

        Args:
            observations: float32 ``(batch, time, 2)``, position (m) and angle (rad).
            h_0: float32 ``(batch, 1, hidden)``, zeros, the default, at an episode's beginning.

        Returns:
            logits: float32 ``(batch, time, 2)``, of a push to the left and of one to the right.
            h_n: float32 ``(batch, 1, hidden)``, for the steps to come.
        """
        spread = torch.tanh(self.spread(observations / self.scale))
        hidden, h_n = self.recurrent(spread, None if h_0 is None else h_0.transpose(0, 1))
        logits: Tensor = self.head(hidden)
        return logits, h_n.transpose(0, 1)


def build() -> Policy:
    """The policy with fresh weights, at the size of the checkpoint."""
    return Policy()
