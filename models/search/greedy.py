"""Greedy search: always the likeliest next token."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...exporters import while_loop
from ...runtime.search import Found
from .step import Step, chosen_scores


def greedy(
    step: Step,
    state: Any,  # noqa: ANN401
    memory: Any = (),  # noqa: ANN401
    *,
    begin: Tensor,
    end: int,
    max_length: int | Tensor,
    padding: int | None = None,
) -> Found[Tensor]:
    """Take the likeliest token at every step, until every row has ended.

    Args:
        step: scores the next token; see :data:`Step`.
        state: what ``step`` begins with, any nesting of tensors ``(batch, ...)``.
        memory: what every step is given as it is, any nesting of tensors ``(batch, ...)``.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a row.
        max_length: the largest number of tokens; an int64 scalar tensor where it is an input of the model.
        padding: the token after a row's end; ``end`` itself by default.

    Returns:
        Tokens ``(batch, steps)``, lengths and log-probabilities ``(batch,)``.
    """
    filler = end if padding is None else padding

    def one(carried: tuple[Tensor, Any, Tensor, Any]) -> tuple[Any, Tensor]:
        last, inner, ended, (length, score) = carried
        logits, inner = step(last, inner, memory)
        best = logits.argmax(-1)
        score = torch.where(ended, score, score + chosen_scores(logits, best))
        length = length + (~ended).long()
        token = torch.where(ended, torch.full_like(best, filler), best)
        return (token, inner, ended | (best == end), (length, score)), token

    nothing = (torch.zeros_like(begin), torch.zeros_like(begin, dtype=torch.float32))
    carried = (begin, state, torch.zeros_like(begin, dtype=torch.bool), nothing)
    (_, _, _, (lengths, scores)), tokens = while_loop(
        lambda carried: ~carried[2].all(), one, carried, max_steps=max_length
    )
    return Found(tokens=tokens, lengths=lengths, scores=scores)
