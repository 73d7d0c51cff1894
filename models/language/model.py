"""`CharacterModel`: two stacked LSTM layers over characters, whose state is the caller's to keep."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from .characters import SYMBOLS

State = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dropout:
    """Probabilities with which a feature is dropped while training.

    Attributes:
        embedding: of a character's features.
        lower: of what the lower layer gives to the upper one.
        output: of what both layers give to the output.
    """

    embedding: float = 0.05
    lower: float = 0.2
    output: float = 0.2


class LockedDropout(nn.Module):
    """Dropout whose choice stays the same over a row's time, while training.

    Y. Gal and Z. Ghahramani (2016), "A Theoretically Grounded Application of Dropout in Recurrent Neural Networks",
    arXiv:1512.05287. With a choice of its own for every step the noise would average out over time.
    """

    def __init__(self, share: float) -> None:
        """Drop each feature with the probability ``share``, 0 to below 1."""
        super().__init__()
        self.share = share

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Float32 ``(batch, time, features)`` -> the same shape."""
        if not self.training or not self.share:
            return features
        kept = torch.rand(features.size(0), 1, features.size(2), device=features.device) >= self.share
        return features * (kept / (1 - self.share))


class CharacterModel(nn.Module):
    """Characters -> scores of the character that comes next, after each of them.

    The output layer sees both LSTM layers, not the upper one alone: what the lower layer knows of the word that is
    being spelled need not be carried through the upper one (Graves 2013, "Generating Sequences With Recurrent Neural
    Networks", section 2: skip connections).

    The state is two arrays with the batch first, so that rows of several streams can be put together.
    """

    def __init__(self, *, num_symbols: int, embedding_size: int, hidden_size: int, dropout: Dropout) -> None:
        """Make the layers.

        Args:
            num_symbols: size of the table of characters.
            embedding_size: features of a character.
            hidden_size: of each of the two layers.
            dropout: what is dropped while training.
        """
        super().__init__()
        self.hidden_size = hidden_size
        self.embedding = nn.Embedding(num_symbols, embedding_size)
        self.lower = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.upper = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.after_embedding = LockedDropout(dropout.embedding)
        self.after_lower = LockedDropout(dropout.lower)
        self.before_output = LockedDropout(dropout.output)
        self.output = nn.Linear(2 * hidden_size, num_symbols)

    def forward(
        self, tokens: torch.Tensor, h_0: torch.Tensor | None = None, c_0: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Score what comes after each character.

        Args:
            tokens: int64 `(batch, time)`, each below the number of symbols.
            h_0: float32 `(batch, 2, hidden_size)`, outputs of the lower and the upper layer at the step before; zeros
                where it is not given.
            c_0: float32 `(batch, 2, hidden_size)`, their cells; likewise.

        Returns:
            logits: float32 `(batch, time, symbols)`, unnormalised log-probabilities.
            h_n: float32 `(batch, 2, hidden_size)`, after the last step.
            c_n: float32 `(batch, 2, hidden_size)`.
        """
        zeros = self.output.weight.new_zeros(tokens.size(0), 2, self.hidden_size)
        h_0, c_0 = zeros if h_0 is None else h_0, zeros if c_0 is None else c_0
        lower, (lower_h, lower_c) = self.lower(self.after_embedding(self.embedding(tokens)), _of(h_0, c_0, layer=0))
        upper, (upper_h, upper_c) = self.upper(self.after_lower(lower), _of(h_0, c_0, layer=1))
        logits: torch.Tensor = self.output(self.before_output(torch.cat((lower, upper), dim=2)))
        return logits, torch.cat((lower_h, upper_h)).transpose(0, 1), torch.cat((lower_c, upper_c)).transpose(0, 1)


def _of(h: torch.Tensor, c: torch.Tensor, *, layer: int) -> State:
    """One layer's part of both states, as `nn.LSTM` takes it: `(1, batch, hidden_size)`, one block each."""
    return h[:, layer].unsqueeze(0).contiguous(), c[:, layer].unsqueeze(0).contiguous()


def build() -> CharacterModel:
    """Make the model with fresh weights, at the size of the committed checkpoint."""
    return CharacterModel(num_symbols=len(SYMBOLS), embedding_size=64, hidden_size=256, dropout=Dropout())
