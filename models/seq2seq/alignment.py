"""What a decoder with additive attention looked at: the weights over the source for each token of a target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ...errors import InputError
from .bahdanau import BahdanauDecoder

if TYPE_CHECKING:
    from torch import Tensor

    from .model import EncoderDecoder


@torch.inference_mode()
def align(model: EncoderDecoder, source: Tensor, lengths: Tensor, target: Tensor) -> Tensor:
    """The attention of each token of a target, given those before it.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015, figure
    3.

    Args:
        model: in eval mode, with a :class:`BahdanauDecoder`.
        source: int64 ``(batch, source)``.
        lengths: int64 ``(batch,)`` of the sources, from 1.
        target: int64 ``(batch, target)``, such as a search found.

    Returns:
        float32 ``(batch, target, source)``; each row sums to 1, and is 0 past the source's length.

    Raises:
        InputError: the decoder is of another kind.
    """
    decoder = model.decoder
    if not isinstance(decoder, BahdanauDecoder):
        raise InputError(f"the decoder is a {type(decoder).__name__}, which has no additive attention to tell of.")
    state, memory = decoder.begin(model.encoder(source, lengths))
    before = torch.cat([torch.full_like(target[:, :1], model.begin), target[:, :-1]], 1)
    weights = []
    for tokens in before.unbind(1):
        # The state before the step asks.
        _, one = decoder.attention(state["h"], memory["keys"], memory["values"], memory["lengths"])
        weights.append(one)
        _, state = decoder.step(tokens, state, memory)
    return torch.stack(weights, 1)
