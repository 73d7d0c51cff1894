"""`AnomalyNet`: an LSTM that foretells a signal, and how far the signal is from what was foretold.

After Malhotra et al. (2015, "Long Short Term Memory Networks for Anomaly Detection in Time Series", ESANN): each value
is foretold several times, 1 to `horizon` steps ahead, by a network that has seen nothing but sound signals; the errors
of a sound signal are taken for normally distributed, and the score is their squared Mahalanobis distance.
"""

from __future__ import annotations

import torch
from torch import nn


class AnomalyNet(nn.Module):
    """A signal, step by step -> a score of each step, from what was seen up to it alone.

    A score needs what was foretold some steps before, and a mean over the last few: both are convolutions that look
    back with fixed weights, so a stream carries what they need in its state, as it does for the LSTM.

    Attributes:
        mean: float32 `()`, subtracted from the signal; a buffer, so that the raw signal goes in.
        std: float32 `()`, by which it is then divided.
        expected_error: float32 `(horizon,)`, mean of the errors of a sound signal.
        whitening: float32 `(horizon, horizon)`, turns the rest into errors of variance 1 that are independent.
        alarm: float32 `()`, the distance that a sound signal does not reach; it gets the score 1.
        delays: float32 `(horizon, 1, horizon + 1)`, the kernel that holds what was foretold j steps ahead back for j.
        window: float32 `(1, 1, smooth)`, the kernel of the mean.
        lag: float32 `(1, 1, warmup + 1)`, the kernel that tells whether enough was seen.
    """

    mean: torch.Tensor
    std: torch.Tensor
    expected_error: torch.Tensor
    whitening: torch.Tensor
    alarm: torch.Tensor
    delays: torch.Tensor
    window: torch.Tensor
    lag: torch.Tensor

    def __init__(self, *, hidden_size: int, num_layers: int, horizon: int, smooth: int, warmup: int) -> None:
        """Make the network with fresh weights.

        Args:
            hidden_size: of each LSTM layer.
            num_layers: LSTM layers.
            horizon: how many steps are foretold at each step.
            smooth: over how many steps, the present one and those before it, the score is a mean.
            warmup: so many steps at the beginning get the score 0, because too little was seen to judge.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        self.register_buffer("expected_error", torch.zeros(horizon))
        self.register_buffer("whitening", torch.eye(horizon))
        self.register_buffer("alarm", torch.ones(()))
        # Column k of a kernel that ends now looks k - (length - 1) steps ahead; column 0 is the furthest back.
        delays = torch.zeros(horizon, 1, horizon + 1)
        for ahead in range(1, horizon + 1):
            delays[ahead - 1, 0, horizon - ahead] = 1.0
        self.register_buffer("delays", delays, persistent=False)
        self.register_buffer("window", torch.full((1, 1, smooth), 1 / smooth), persistent=False)
        self.register_buffer(
            "lag", torch.zeros(1, 1, warmup + 1).index_fill(2, torch.tensor([0]), 1.0), persistent=False
        )
        self.lstm = nn.LSTM(1, hidden_size, num_layers, batch_first=True)
        self.head = nn.Linear(hidden_size, horizon)

    def foretell(self, signal: torch.Tensor) -> torch.Tensor:
        """What each step foretells.

        Args:
            signal: float32 `(batch, time, 1)`.

        Returns:
            float32 `(batch, time, horizon)`, the 1st to the last step after each, in units of `std` about `mean`.
        """
        hidden, _ = self.lstm((signal - self.mean) / self.std)
        ahead: torch.Tensor = self.head(hidden)
        return ahead

    def errors(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """How far each step is from what was foretold for it.

        Args:
            signal: float32 `(batch, time, 1)`.

        Returns:
            errors: float32 `(batch, time, horizon)`, from what was foretold 1, 2, ... steps before, in units of `std`;
                in the first steps 0 stands for what was not foretold.
            expected: float32 `(batch, time)`, what the step before foretold, in the signal's unit.
        """
        foretold = _back(self.foretell(signal).transpose(1, 2), self.delays).transpose(1, 2)
        return (signal - self.mean) / self.std - foretold, foretold[..., 0] * self.std + self.mean

    def distances(self, errors: torch.Tensor) -> torch.Tensor:
        """How far the last steps' errors are from those of a sound signal.

        Args:
            errors: float32 `(batch, time, horizon)`.

        Returns:
            float32 `(batch, time)`, the mean squared Mahalanobis distance of the last steps, divided by `horizon`:
            about 1 where the signal is sound. 0 in the first `warmup` steps.
        """
        distance = ((errors - self.expected_error) @ self.whitening).square().mean(dim=2)
        smoothed = _back(distance.unsqueeze(1), self.window)
        # Made of the data: what is looked back at must come along in a stream.
        seen = _back((distance * 0 + 1).unsqueeze(1), self.lag)
        return (seen * smoothed).squeeze(1)

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Judge each step.

        Args:
            signal: float32 `(batch, time, 1)`, in the unit of what was learned from.

        Returns:
            score: float32 `(batch, time)`, `log2(1 + distance / alarm)`: above 1 the signal is not sound, and one more
                is about twice as far away. 0 in the first `warmup` steps.
            expected: float32 `(batch, time)`, what the step before foretold, in the signal's unit.
        """
        errors, expected = self.errors(signal)
        # A logarithm, because distances span six powers of ten.
        return torch.log2(1 + self.distances(errors) / self.alarm), expected


def _back(channels: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Filter each of `(batch, channels, time)` by its own kernel `(channels, 1, steps)`, looking back only."""
    padded = nn.functional.pad(channels, (kernel.size(2) - 1, 0))
    return nn.functional.conv1d(padded, kernel, groups=kernel.size(0))
