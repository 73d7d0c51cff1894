"""Random numbers from a seed that is an input: :mod:`rnnx.runtime.threefry` on tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ...runtime.threefry import MASK, random_word


def uniform(seed: Tensor, counter: Tensor) -> Tensor:
    """A number in [0, 1) for each seed at each count.

    Args:
        seed: int64, any shape, any value.
        counter: int64 from 0 to 2**32 - 1, of a shape that fits.

    Returns:
        float32 of their common shape, multiples of 2**-24.
    """
    word: Tensor = random_word(seed, counter, high)
    # The highest 24 bits, which float32 holds exactly.
    return (word - (word & 0xFF)).to(torch.float32) * 2.0**-32


def high(number: Tensor) -> Tensor:
    """What of an int64 is above its lowest 32 bits.

    By way of float64, which holds it exactly: ONNX's shifts know no int64, and torch.onnx writes an integer quotient
    that is cut towards zero as one of float32.
    """
    return ((number - (number & MASK)).to(torch.float64) * 2.0**-32).to(torch.int64)
