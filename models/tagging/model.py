"""`AddressTagger`: letters -> convolution -> words -> bidirectional LSTM -> self-attention -> a label for each word."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .face import LABELS, LETTERS, PAD


class AddressTagger(nn.Module):
    """Labels the words of an address by their letters and their neighbours.

    A word is the largest answer of each of a few convolutions over its letters (Ma and Hovy 2016, "End-to-end Sequence
    Labeling via Bi-directional LSTM-CNNs-CRF", arXiv:1603.01354), so a word that was never seen is read all the same.
    The LSTM gives it its place; one block of a transformer's encoder (Vaswani et al. 2017, "Attention Is All You Need",
    arXiv:1706.03762) lets it look at any other word, however far.
    """

    def __init__(self, *, embedding_size: int, filters: int, hidden_size: int, heads: int, dropout: float) -> None:
        """Make the layers.

        Args:
            embedding_size: features of a letter.
            filters: of each of the convolutions, over 2, 3 and 5 letters.
            hidden_size: of each direction of the LSTM.
            heads: of the attention.
            dropout: probability with which a feature is dropped while training.
        """
        super().__init__()
        self.embedding = nn.Embedding(len(LETTERS), embedding_size, padding_idx=PAD)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding_size, filters, size, padding=size // 2) for size in (2, 3, 5)
        )
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(3 * filters, hidden_size, batch_first=True, bidirectional=True)
        width = 2 * hidden_size
        self.heads = heads
        self.projection = nn.Linear(width, 3 * width)
        self.mixing = nn.Linear(width, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.feed_forward = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.classifier = nn.Linear(width, len(LABELS))

    def forward(self, letters: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Score the labels of each word.

        Args:
            letters: int64 `(batch, time, characters)`, ids of letters, each word filled up with 0.
            lengths: int64 `(batch,)`, words of each address, from 1 to `time`.

        Returns:
            float32 `(batch, time, labels)`; zeros' scores behind an address' end.
        """
        batch, time, characters = letters.shape
        words = self.dropout(self._words(letters.reshape(batch * time, characters)).reshape(batch, time, -1))
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.lstm(packed)
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=time)
        hidden = self.dropout(hidden)
        there = torch.arange(time, device=letters.device) < lengths.unsqueeze(1)
        hidden = self.norms[0](hidden + self.dropout(self._attend(hidden, there)))
        hidden = self.norms[1](hidden + self.dropout(self.feed_forward(hidden)))
        scores: torch.Tensor = self.classifier(hidden) * there.unsqueeze(2)
        return scores

    def _words(self, letters: torch.Tensor) -> torch.Tensor:
        """Features of words, `(words, 3 * filters)`, from `(words, characters)`."""
        embedded = self.embedding(letters).transpose(1, 2)
        there = (letters != PAD).unsqueeze(1)
        # A convolution over two letters gives one place more than there are letters. What stands on padding is taken
        # away, so that a word is the same among longer ones; the answers are 0 at least, so 0 never wins wrongly.
        found = [torch.relu(one(embedded))[:, :, : letters.size(1)] * there for one in self.convolutions]
        return torch.cat(found, dim=1).amax(dim=2)

    def _attend(self, hidden: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        """Scaled dot products over the words of each address, `(batch, time, width)`."""
        batch, time, width = hidden.shape
        parts = self.projection(hidden).reshape(batch, time, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(2, 3) * (width // self.heads) ** -0.5
        weights = torch.softmax(scores.masked_fill(~there[:, None, None, :], -1e4), dim=3)
        mixed: torch.Tensor = self.mixing((weights @ value).transpose(1, 2).reshape(batch, time, width))
        return mixed


def build() -> AddressTagger:
    """Make the model with fresh weights, at the size of the committed checkpoint."""
    return AddressTagger(embedding_size=32, filters=48, hidden_size=64, heads=4, dropout=0.3)
