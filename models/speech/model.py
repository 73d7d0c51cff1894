"""Recognisers: samples to the log-probabilities of words, frame by frame."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..features import LogMel
from .scoring import STRIDE
from .words import BLANK, SYMBOLS

#: The loudest sample that recordings are brought to, the middle of what is trained on; and below which they are silent.
LEVEL, QUIETEST = 0.25, 0.01


class CausalConvolution(nn.Module):
    """A convolution that looks back only and halves the rate: answer ``t`` is there with step ``2 t``."""

    def __init__(self, inputs: int, outputs: int, reach: int = 5) -> None:
        """Make the layer, with ``reach`` steps of context."""
        super().__init__()
        self.left = reach - 1
        self.conv = nn.Conv1d(inputs, outputs, reach, stride=2, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """From ``(batch, inputs, time)`` to ``(batch, outputs, ceil(time / 2))``."""
        return torch.relu(self.norm(self.conv(nn.functional.pad(x, (self.left, 0)))))


class Recogniser(nn.Module):
    """What both recognisers are made of: log-mel front end, two convolutions, recurrent layers, a score of each class.

    To be trained with connectionist temporal classification (Graves et al., ICML 2006). Front end and convolutions look
    back only, so nothing behind a row's end reaches its answers, and with ``bidirectional=False`` the whole is causal.

    Attributes:
        mean: float32 ``(mels, 1)``, of each band over the training data.
        std: float32 ``(mels, 1)``.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        bidirectional: bool,
        channels: int = 128,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.2,
    ) -> None:
        """Make the model.

        Args:
            bidirectional: whether the recurrent layers also read from the end.
            channels: of the second convolution; the first one has half of them.
            hidden_size: of each direction.
            num_layers: recurrent layers.
            dropout: between layers.
        """
        super().__init__()
        self.front = LogMel()
        self.register_buffer("mean", torch.zeros(self.front.num_mels, 1))
        self.register_buffer("std", torch.ones(self.front.num_mels, 1))
        self.first = CausalConvolution(self.front.num_mels, channels // 2)
        self.second = CausalConvolution(channels // 2, channels)
        self.gru = nn.GRU(
            channels,
            hidden_size,
            num_layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if num_layers > 1 else 0.0,  # torch warns about dropout with no layer after it
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size * (2 if bidirectional else 1), len(SYMBOLS))
        with torch.no_grad():
            self.head.bias[BLANK] = 3.0  # most answers are the blank, which need not be learned first

    def features(self, samples: Tensor) -> Tensor:
        """Samples float32 ``(batch, time)`` to normalised bands ``(batch, mels, ceil(time / 80))``."""
        return (self.front.bands(samples) - self.mean) / self.std

    def encode(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Normalised bands to log-probabilities.

        Args:
            features: from :meth:`features`.
            frames: int64 ``(batch,)``, answers of each row, which reading from the end needs.

        Returns:
            float32 ``(batch, ceil(time / 320), classes)``.
        """
        x = self.second(self.first(features)).transpose(1, 2)
        if frames is not None:
            # Packed, because the reverse direction must begin at a row's own end.
            packed = pack_padded_sequence(x, frames.cpu(), batch_first=True, enforce_sorted=False)
            packed, _ = self.gru(packed)
            hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=x.shape[1])
        else:
            hidden, _ = self.gru(x)
        log_probs: Tensor = self.head(self.dropout(hidden)).log_softmax(-1)
        return log_probs


class RecordingRecogniser(Recogniser):
    """Recognises whole recordings: its recurrent layers read in both directions."""

    def forward(self, samples: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Recognise.

        Args:
            samples: float32 ``(batch, time)`` at 8 kHz, from -1 to 1.
            lengths: int64 ``(batch,)``, samples of each row, from 1.

        Returns:
            Log-probabilities float32 ``(batch, ceil(time / 320), classes)``, and how many of them are each row's own,
            int64 ``(batch,)``.
        """
        own = torch.arange(samples.shape[1], device=samples.device) < lengths.unsqueeze(1)
        samples = samples.masked_fill(~own, 0.0)
        # Brought to one level, as a whole recording can be. What is nearly silent stays so.
        loudest = samples.abs().amax(1, keepdim=True).clamp(min=QUIETEST)
        frames = (lengths + (STRIDE - 1)) // STRIDE
        return self.encode(self.features(samples * (LEVEL / loudest)), frames), frames


class ListeningRecogniser(Recogniser):
    """Recognises while it listens: nothing in it looks ahead."""

    def forward(self, samples: Tensor) -> Tensor:
        """Recognise.

        Args:
            samples: float32 ``(batch, time)`` at 8 kHz, from -1 to 1. What follows a row's end changes no answer
                before it, so there are no lengths.

        Returns:
            Log-probabilities float32 ``(batch, ceil(time / 320), classes)``; answer ``t`` knows the samples up to
            ``320 t``.
        """
        return self.encode(self.features(samples))


def build_offline() -> RecordingRecogniser:
    """The recogniser of whole recordings, with fresh weights."""
    return RecordingRecogniser(bidirectional=True, channels=192, hidden_size=160)


def build_streaming() -> ListeningRecogniser:
    """The recogniser that answers while it listens, with fresh weights."""
    return ListeningRecogniser(bidirectional=False, channels=192, hidden_size=256)
