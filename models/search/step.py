"""What every search is given, and what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import InputError

#: ``logits, state = step(tokens, state, memory)``: tokens int64 ``(rows,)``, the last one of each row; logits float
#: ``(rows, vocabulary)`` of the next; state and memory any nesting of tensors ``(rows, ...)``.
Step = Callable[[Tensor, Any, Any], tuple[Tensor, Any]]


def chosen_scores(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probability, float32 ``(rows,)``, of one token a row under logits ``(rows, vocabulary)``."""
    return logits.float().log_softmax(-1).gather(1, tokens.unsqueeze(1)).squeeze(1)


def whole(number: int | Tensor) -> int:
    """A number that may be a model's input, as a size.

    Raises:
        InputError: it is below 1.
    """
    if isinstance(number, Tensor):
        # While a model is captured this is a symbol, of which torch must be told what a size may be.
        size: int = number.item()  # type: ignore[assignment]
        torch._check(size >= 1)  # type: ignore[no-untyped-call]  # noqa: SLF001  (its documented name)
        return size
    if number < 1:
        raise InputError(f"a search was given {number}; widths, lengths and choices are whole numbers from 1.")
    return number
