"""Where a cell begins: its weights, its state, and a look at its input."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ...errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor


def uniform(*shape: int, fan: int) -> nn.Parameter:
    """A weight drawn from ``[-1/sqrt(fan), 1/sqrt(fan)]``, as torch draws those of its own recurrent layers."""
    bound = fan**-0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def zeros(x: Tensor, *shape: int) -> Tensor:
    """A state of zeros, ``(batch, *shape)``, of the dtype and on the device of ``x``."""
    return x.new_zeros((x.shape[0], *shape))


def check(x: Tensor, weight_ih: Tensor) -> None:
    """See that an input is ``(batch, time, features, ...)`` for these weights, ``(gates, features, ...)``.

    Without it an input that has no batch could run, and give an answer to another question.

    Raises:
        ShapeError: it has another rank, or other features.
    """
    features = weight_ih.shape[1]
    rest = ", height, width" if weight_ih.dim() > 2 else ""
    if x.dim() != weight_ih.dim() + 1 or x.shape[2] != features:
        raise ShapeError(f"a cell was given an input {tuple(x.shape)}; this one takes (batch, time, {features}{rest}).")
