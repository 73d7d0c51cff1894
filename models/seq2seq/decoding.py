"""Encoder-decoders that decode: models whose graph has the whole search in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..search import beam, greedy, sample

if TYPE_CHECKING:
    from ...runtime.search import Found
    from .model import EncoderDecoder


class _Decoding(nn.Module):
    def __init__(self, model: EncoderDecoder) -> None:
        """Decode with this model."""
        super().__init__()
        self.model = model

    def _begin(self, source: Tensor, lengths: Tensor) -> tuple[Any, Any, Tensor]:
        state, memory = self.model.decoder.begin(self.model.encoder(source, lengths))
        return state, memory, torch.full_like(lengths, self.model.begin)


class Greedy(_Decoding):
    """The likeliest token at every step."""

    def forward(self, source: Tensor, lengths: Tensor, *, max_length: Tensor) -> Found[Tensor]:
        """Decode.

        Args:
            source: int64 ``(batch, source)``.
            lengths: int64 ``(batch,)``, from 1.
            max_length: int64 scalar, the largest number of target tokens.

        Returns:
            See :func:`rnnx.models.search.greedy`.
        """
        state, memory, begin = self._begin(source, lengths)
        return greedy(self.model.decoder.step, state, memory, begin=begin, end=self.model.end, max_length=max_length)


class Beam(_Decoding):
    """Beam search."""

    def forward(
        self, source: Tensor, lengths: Tensor, *, max_length: Tensor, beam_width: Tensor, length_penalty: Tensor
    ) -> Found[Tensor]:
        """Decode.

        Args:
            source: int64 ``(batch, source)``.
            lengths: int64 ``(batch,)``, from 1.
            max_length: int64 scalar, the largest number of target tokens.
            beam_width: int64 scalar, from 1.
            length_penalty: float32 scalar.

        Returns:
            See :func:`rnnx.models.search.beam`.
        """
        state, memory, begin = self._begin(source, lengths)
        return beam(
            self.model.decoder.step,
            state,
            memory,
            begin=begin,
            end=self.model.end,
            max_length=max_length,
            width=beam_width,
            length_penalty=length_penalty,
        )


class Sampling(_Decoding):
    """A random answer, from a seed."""

    def forward(
        self,
        source: Tensor,
        lengths: Tensor,
        *,
        max_length: Tensor,
        seed: Tensor,
        temperature: Tensor,
        top_k: Tensor,
    ) -> Found[Tensor]:
        """Decode.

        Args:
            source: int64 ``(batch, source)``.
            lengths: int64 ``(batch,)``, from 1.
            max_length: int64 scalar, the largest number of target tokens.
            seed: int64 ``(batch,)``.
            temperature: float32 scalar.
            top_k: int64 scalar, from 1.

        Returns:
            See :func:`rnnx.models.search.sample`.
        """
        state, memory, begin = self._begin(source, lengths)
        return sample(
            self.model.decoder.step,
            state,
            memory,
            begin=begin,
            end=self.model.end,
            max_length=max_length,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
        )
