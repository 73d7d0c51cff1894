"""`LineReader`: convolutions over a line's image, a bidirectional GRU over its width, and a class for every column."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

#: Rows of pixels of a line's image.
HEIGHT = 32
#: Channels, kernel and stride (down, across) of each convolution. The strides make 32 rows 2, and 4 columns one.
STAGES = ((32, 5, (2, 2)), (64, 3, (2, 2)), (96, 3, (2, 1)), (128, 3, (2, 1)))
#: A line without contrast is divided by this and not by nothing.
_LEAST_DEVIATION = 0.02


class LineReader(nn.Module):
    """The image of one line of text -> log-probabilities of characters for every fourth column of pixels.

    Shi, Bai and Yao, "An end-to-end trainable neural network for image-based sequence recognition", 2015, with strides
    in place of pooling and one recurrent layer.

    The answer for a line depends on its own columns alone: every convolution sees zeros past the line's width, as it
    does where a line stands by itself, and the backward direction begins at the line's own last column.
    """

    def __init__(self, *, classes: int, hidden_size: int = 128, dropout: float = 0.1) -> None:
        """Make the model with fresh weights.

        Args:
            classes: characters and the blank, which is class 0.
            hidden_size: of each direction of the GRU.
            dropout: probability with which a value is dropped while training, before and after the GRU.
        """
        super().__init__()
        before = 1
        self.convolutions = nn.ModuleList()
        self.norms = nn.ModuleList()
        for channels, kernel, stride in STAGES:
            self.convolutions.append(nn.Conv2d(before, channels, kernel, stride, padding=kernel // 2, bias=False))
            self.norms.append(nn.BatchNorm2d(channels))
            before = channels
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(2 * before, hidden_size, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden_size, classes)

    def forward(self, image: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """Read lines.

        Args:
            image: float32 ``(batch, 1, 32, width)``, 0 black and 1 white; dark on bright or bright on dark. Columns at
                and after a line's width are not looked at.
            widths: int64 ``(batch,)``, each from 1 to ``width``.

        Returns:
            log_probs: float32 ``(batch, frames, classes)``, natural logarithms.
            frames: int64 ``(batch,)``, how many frames each line has: its width divided by 4, rounded up.
        """
        x = _standardise(image, widths)
        columns = widths
        for convolution, norm, (_, _, (_, across)) in zip(self.convolutions, self.norms, STAGES, strict=True):
            x = torch.relu(norm(convolution(x)))
            columns = (columns + across - 1) // across
            x = x * _inside(x, columns)
        frames = x.transpose(1, 3).flatten(2)
        packed = pack_padded_sequence(self.dropout(frames), columns.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.gru(packed)
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=frames.size(1))
        log_probs: Tensor = self.head(self.dropout(hidden)).log_softmax(-1)
        return log_probs, columns


def _inside(x: Tensor, widths: Tensor) -> Tensor:
    """1 for the columns of ``(batch, channels, height, width)`` that a line has, 0 for those behind it."""
    return (torch.arange(x.shape[-1], device=x.device) < widths.unsqueeze(1)).to(x.dtype)[:, None, None]


def _standardise(image: Tensor, widths: Tensor) -> Tensor:
    """Each line's own pixels to mean 0 and deviation 1, whatever the light was; zeros behind it."""
    inside = _inside(image, widths)
    count = (widths * image.shape[2]).to(image.dtype)[:, None, None, None]
    mean = (image * inside).sum((1, 2, 3), keepdim=True) / count
    centred = (image - mean) * inside
    deviation = (centred.square().sum((1, 2, 3), keepdim=True) / count).sqrt()
    return centred / deviation.clamp(min=_LEAST_DEVIATION)
