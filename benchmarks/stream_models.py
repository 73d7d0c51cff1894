"""Models that look at several frames at once, around a recurrent layer: what stream_cases.py exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .layer_models import FEATURES, HIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Channels of a convolution.
CHANNELS = 6


class Front(nn.Module):
    """Modules over ``(batch, channels, time)`` before an LSTM and a linear layer: the commonest streaming model."""

    def __init__(self, *front: nn.Module, channels: int = CHANNELS, pad: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.front = nn.Sequential(*front)
        self.pad = pad
        self.lstm = nn.LSTM(channels, HIDDEN, batch_first=True)
        self.head = nn.Linear(HIDDEN, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Scores, float32 ``(batch, time, 2)``."""
        z = x.transpose(1, 2)
        z = functional.pad(z, self.pad) if any(self.pad) else z
        hidden, _ = self.lstm(self.front(z).transpose(1, 2))
        scores: Tensor = self.head(hidden)
        return scores


class Residual(nn.Module):
    """``x + f(x)`` with a convolution that looks ahead; with a stride both ways skip the same frames."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.same = nn.Identity() if stride == 1 else nn.Conv1d(FEATURES, FEATURES, 1, stride=stride)
        self.conv = nn.Conv1d(FEATURES, FEATURES, 5, stride=stride, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, channels, time)`` to the same, or every other frame of it."""
        looked: Tensor = self.same(x) + torch.relu(self.conv(x))
        return looked


class Branches(nn.Module):
    """Three branches that look ahead by different numbers of frames, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv1d(FEATURES, 2, 3, padding=1)
        self.far = nn.Conv1d(FEATURES, CHANNELS - 2, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, channels, time)`` to ``CHANNELS + FEATURES`` channels."""
        return torch.cat([self.near(x), self.far(x), x], 1)


class Chomp(nn.Module):
    """A causal convolution as it is often written: padded on both sides, then cut (https://arxiv.org/abs/1803.01271)."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.conv = nn.Conv1d(FEATURES, CHANNELS, 3, padding=self.cut, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, channels, time)`` with other channels."""
        cut: Tensor = self.conv(x)[:, :, : -self.cut]
        return cut


class Ahead(nn.Module):
    """A row convolution over what an LSTM gives: each answer looks two frames ahead (Amodei et al. 2016)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.ahead = nn.Conv1d(HIDDEN, HIDDEN, 3, groups=HIDDEN, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Answers float32 ``(batch, time, hidden)``, and the LSTM's last state."""
        hidden, (h_n, _) = self.lstm(x)
        answers: Tensor = self.ahead(functional.pad(hidden.transpose(1, 2), (0, 2))).transpose(1, 2)
        return answers, h_n[-1]


class Stacked(nn.Module):
    """Three frames side by side become one."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Answers, float32 ``(batch, time // 3, hidden)``."""
        rows, frames, features = x.shape
        answers: Tensor = self.gru(x.reshape(rows, frames // 3, 3 * features))[0]
        return answers


class Picked(nn.Module):
    """Every other frame, from the second on."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Answers, float32 ``(batch, time // 2, hidden)``."""
        answers: Tensor = self.gru(x[:, 1::2])[0]
        return answers


class Joined(nn.Module):
    """A causal convolution with zeros joined before the first frame."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, CHANNELS, 3)

    def forward(self, x: Tensor) -> Tensor:
        """float32 ``(batch, channels, time)`` with other channels."""
        zeros = torch.zeros_like(x[:, :, :1])
        looked: Tensor = self.conv(torch.cat([zeros, zeros, x], 2))
        return looked


class Spliced(nn.Module):
    """Each frame beside its two neighbours; the first and the last have none."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3 * FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Answers, float32 ``(batch, time - 2, hidden)``."""
        answers: Tensor = self.gru(torch.cat([x[:, :-2], x[:, 1:-1], x[:, 2:]], -1))[0]
        return answers


class Differences(nn.Module):
    """Each frame's difference to the one before it."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Answers, float32 ``(batch, time - 1, hidden)``."""
        answers: Tensor = self.gru(x[:, 1:] - x[:, :-1])[0]
        return answers


class Image(nn.Module):
    """Convolutions over time and frequency, both with strides and padding, before a GRU."""

    def __init__(self, bands: int, pool: Sequence[int] = (1, 1)) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, stride=(1 if pool[0] > 1 else 2, 2), padding=1)
        self.pool = nn.MaxPool2d(tuple(pool)) if max(pool) > 1 else nn.Identity()
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.gru = nn.GRU(3 * (bands // 2 // pool[1]), HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Answers to float32 ``(batch, time, bands)``, one for two frames."""
        z = self.second(self.pool(torch.relu(self.first(x.unsqueeze(1)))))
        answers: Tensor = self.gru(z.transpose(1, 2).flatten(2))[0]
        return answers


class Speaker(nn.Module):
    """Frames beside one vector for the whole sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, FEATURES, 3, stride=2, padding=1)
        self.gru = nn.GRU(2 * FEATURES, HIDDEN, batch_first=True)

    def forward(self, x: Tensor, who: Tensor) -> Tensor:
        """Answers to float32 ``(batch, time, features)`` and ``(batch, features)``."""
        z = self.conv(x.transpose(1, 2)).transpose(1, 2)
        answers: Tensor = self.gru(torch.cat([z, who.unsqueeze(1).expand(-1, z.size(1), -1)], -1))[0]
        return answers


class PackedFront(nn.Module):
    """A strided convolution before a packed LSTM: lengths shrink with it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, CHANNELS, 3, stride=2, padding=1)
        self.lstm = nn.LSTM(CHANNELS, HIDDEN, batch_first=True)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Answers, float32 ``(batch, (time + 1) // 2, hidden)``, zeros behind each row's end."""
        z = self.conv(x.transpose(1, 2)).transpose(1, 2)
        packed = pack_padded_sequence(z, (lengths - 1) // 2 + 1, batch_first=True, enforce_sorted=False)
        answers: Tensor = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=z.size(1))[0]
        return answers
