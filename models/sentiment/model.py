"""`SentimentNet`: words -> a bidirectional GRU -> the words that matter -> negative or positive."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from .words import UNKNOWN, load_words


class SentimentNet(nn.Module):
    """Scores a text as negative and positive, and tells how much each word counted.

    A word is its embedding and two numbers of the lexicon: its valence, and whether it has one. Words of the lexicon
    that training never showed have the embedding of the unknown and their valence. Attention (Bahdanau et al. 2015,
    arXiv:1409.0473, as self-attention over one text: Yang et al. 2016, "Hierarchical Attention Networks for Document
    Classification") weighs the words.

    Attributes:
        valence: float32 `(words, 2)`, of the lexicon. A buffer: it is given, not learned.
    """

    valence: torch.Tensor

    def __init__(
        self, *, num_words: int, num_own: int, embedding_size: int, hidden_size: int, dropout: tuple[float, float]
    ) -> None:
        """Make the layers.

        Args:
            num_words: size of the table of words.
            num_own: how many of its first have an embedding of their own.
            embedding_size: features of a word.
            hidden_size: of each direction.
            dropout: probabilities with which features of words, and of the text, are dropped while training.
        """
        super().__init__()
        self.num_own = num_own
        self.register_buffer("valence", torch.zeros(num_words, 2))
        self.embedding = nn.Embedding(num_own, embedding_size)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.word_dropout = nn.Dropout(dropout[0])
        self.gru = nn.GRU(embedding_size + 2, hidden_size, batch_first=True, bidirectional=True)
        self.attention = nn.Sequential(
            nn.Linear(2 * hidden_size, hidden_size), nn.Tanh(), nn.Linear(hidden_size, 1, bias=False)
        )
        self.text_dropout = nn.Dropout(dropout[1])
        self.classifier = nn.Linear(2 * hidden_size + embedding_size + 2, 2)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Score each text.

        Args:
            tokens: int64 `(batch, time)`, ids of words; those at and after a text's length are ignored.
            lengths: int64 `(batch,)`, each from 1 to `time`.

        Returns:
            logits: float32 `(batch, 2)`, of negative and positive.
            attention: float32 `(batch, time)`, what share of the text's meaning each word had; 0 after its end.
        """
        rows = torch.where(tokens < self.num_own, tokens, UNKNOWN)
        words = torch.cat((self.word_dropout(self.embedding(rows)), self.valence[tokens]), dim=2)
        packed = pack_padded_sequence(words, lengths.cpu(), batch_first=True, enforce_sorted=False)
        packed, _ = self.gru(packed)
        hidden, _ = pad_packed_sequence(packed, batch_first=True, total_length=tokens.size(1))
        mask = torch.arange(tokens.size(1), device=tokens.device) < lengths.unsqueeze(1)
        # Not -inf: a large finite number is nothing special in any precision, and a text has one word at least.
        scores = self.attention(hidden).squeeze(2).masked_fill(~mask, -1e4)
        attention = torch.softmax(scores, dim=1) * mask
        text = (attention.unsqueeze(2) * torch.cat((hidden, words), dim=2)).sum(dim=1)
        return self.classifier(self.text_dropout(text)), attention


def build() -> SentimentNet:
    """Make the model with fresh weights and no lexicon, at the size of the committed checkpoint."""
    symbols, num_own = load_words()
    return SentimentNet(num_words=len(symbols), num_own=num_own, embedding_size=32, hidden_size=64, dropout=(0.3, 0.4))
