"""An encoder and a decoder as one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from ...exporters import scan

if TYPE_CHECKING:
    from .encoder import Encoded, Encoder


class Decoder(Protocol):
    """What an :class:`EncoderDecoder` needs of a decoder; it is an ``nn.Module`` too."""

    def begin(self, encoded: Encoded) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The state before the first token, and the memory that every step looks at; tensors ``(batch, ...)`` each."""

    def step(self, tokens: Tensor, state: dict[str, Tensor], memory: dict[str, Tensor]) -> tuple[Tensor, Any]:
        """From the last token of each row, int64 ``(batch,)``, to logits ``(batch, vocabulary)`` and the next state."""


class EncoderDecoder(nn.Module):
    """A source sequence to a target sequence.

    Its ``forward`` is for training and scoring: it is given the target.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, *, begin: int, end: int) -> None:
        """Join the two.

        Args:
            encoder: of the source.
            decoder: of the target.
            begin: the token before the first of a target.
            end: the token that ends a target.
        """
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.begin = begin
        self.end = end

    def forward(self, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
        """Logits of every target token, given those before it.

        Args:
            source: int64 ``(batch, source)``.
            lengths: int64 ``(batch,)`` of the sources, from 1.
            target: int64 ``(batch, target)``.

        Returns:
            float32 ``(batch, target, vocabulary)``.
        """
        state, memory = self.decoder.begin(self.encoder(source, lengths))
        before = torch.cat([torch.full_like(target[:, :1], self.begin), target[:, :-1]], 1)

        def step(state: dict[str, Tensor], token: Tensor) -> tuple[dict[str, Tensor], Tensor]:
            logits, state = self.decoder.step(token, state, memory)
            return state, logits

        _, logits = scan(step, state, before)
        answer: Tensor = logits
        return answer
