"""Sampling: a random next token, from a seed that is an input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...exporters import while_loop
from ...runtime.search import Found
from .step import Step, chosen_scores, whole
from .threefry import uniform


def sample(
    step: Step,
    state: Any,  # noqa: ANN401
    memory: Any = (),  # noqa: ANN401
    *,
    begin: Tensor,
    end: int,
    max_length: int | Tensor,
    seed: Tensor,
    temperature: float | Tensor = 1.0,
    top_k: int | Tensor | None = None,
    padding: int | None = None,
) -> Found[Tensor]:
    """Draw the next token from the ``top_k`` likeliest ones, by the probabilities of ``logits / temperature``.

    The same seed gives the same tokens, in a batch or alone: a row's random numbers come from its own seed and the
    number of the step (:func:`~.threefry.uniform`).

    Args:
        step: scores the next token; see :data:`Step`.
        state: what ``step`` begins with, any nesting of tensors ``(batch, ...)``.
        memory: what every step is given as it is, any nesting of tensors ``(batch, ...)``.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a row.
        max_length: the largest number of tokens; an int64 scalar tensor where it is an input of the model.
        seed: int64 ``(batch,)``, one for each row.
        temperature: float or a float scalar tensor. From 0 downwards: always the likeliest token.
        top_k: how many tokens to draw from, or an int64 scalar tensor; all of them by default, and where there are
            fewer.
        padding: the token after a row's end; ``end`` itself by default.

    Returns:
        Tokens ``(batch, steps)``, lengths and log-probabilities ``(batch,)`` under the model itself, at temperature 1.
    """
    filler = end if padding is None else padding
    heat = torch.as_tensor(temperature, dtype=torch.float32).reshape(())
    # A tensor of the asked size: in the loop the number is then the size of something, which a graph can carry.
    choices = None if top_k is None else torch.arange(whole(top_k))
    numbers = uniform(seed.unsqueeze(1), torch.arange(whole(max_length)))

    def one(carried: tuple[Tensor, Any, Tensor, Tensor, Any]) -> tuple[Any, Tensor]:
        last, inner, ended, count, (length, score) = carried
        logits, inner = step(last, inner, memory)
        most = logits.shape[-1]
        if choices is not None:
            most = torch.sym_min(choices.shape[0], most)  # type: ignore[no-untyped-call]
        values, tokens = logits.float().topk(most)
        drawn = _draw(values, heat, numbers.gather(1, count.unsqueeze(1)))
        token = tokens.gather(1, drawn.unsqueeze(1)).squeeze(1)
        score = torch.where(ended, score, score + chosen_scores(logits, token))
        length = length + (~ended).long()
        shown = torch.where(ended, torch.full_like(token, filler), token)
        return (shown, inner, ended | (token == end), count + 1, (length, score)), shown

    zeros = torch.zeros_like(begin)
    nothing = (zeros, torch.zeros_like(begin, dtype=torch.float32))
    carried = (begin, state, torch.zeros_like(begin, dtype=torch.bool), zeros, nothing)
    (_, _, _, _, (lengths, scores)), found = while_loop(
        lambda carried: ~carried[2].all(), one, carried, max_steps=max_length
    )
    return Found(tokens=found, lengths=lengths, scores=scores)


def _draw(values: Tensor, heat: Tensor, number: Tensor) -> Tensor:
    """Positions, int64 ``(rows,)``, among ``(rows, k)`` values: the first whose cumulated share is above the number."""
    shares = (values / torch.where(heat > 0, heat, torch.ones_like(heat))).softmax(-1).cumsum(-1)
    # The last share may be a rounding below 1, so it is not looked at.
    drawn = (shares[:, :-1] <= number).long().sum(-1)
    return torch.where(heat > 0, drawn, torch.zeros_like(drawn))
