"""Beam search: the few best beginnings of each row, side by side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ...exporters import scan, while_loop
from ...runtime.search import Found
from .step import Step, whole


def beam(
    step: Step,
    state: Any,  # noqa: ANN401
    memory: Any = (),  # noqa: ANN401
    *,
    begin: Tensor,
    end: int,
    max_length: int | Tensor,
    width: int | Tensor,
    length_penalty: float | Tensor = 0.0,
    padding: int | None = None,
) -> Found[Tensor]:
    """Keep the ``width`` best hypotheses of each row at every step, until all that are kept have ended.

    Hypotheses are ranked by their log-probability divided by ``((5 + length) / 6) ** length_penalty`` (Wu et al.,
    "Google's neural machine translation system", 2016, equation 14, without its coverage term). One that has ended
    stays among the others with the score that it has.

    Args:
        step: scores the next token; see :data:`Step`. Its rows are hypotheses, ``batch * width``.
        state: what ``step`` begins with, any nesting of tensors ``(batch, ...)``.
        memory: what every step is given as it is, any nesting of tensors ``(batch, ...)``.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a hypothesis.
        max_length: the largest number of tokens; an int64 scalar tensor where it is an input of the model.
        width: how many hypotheses to keep, or an int64 scalar tensor.
        length_penalty: float or a float scalar tensor; 0 ranks by probability alone, more favours longer ones.
        padding: the token after a hypothesis's end; ``end`` itself by default.

    Returns:
        Tokens ``(batch, width, steps)``, lengths and scores ``(batch, width)``, the best hypothesis first. Where there
        are fewer hypotheses than ``width``, the rest has length 0, score -inf and padding for tokens.
    """
    filler = end if padding is None else padding
    rows, kept = begin.shape[0], whole(width)
    exponent = torch.as_tensor(length_penalty, dtype=torch.float64).reshape(())

    def spread(one: Tensor) -> Tensor:
        return one.unsqueeze(1).expand(rows, kept, *one.shape[1:])

    memory = pytree.tree_map(lambda one: spread(one).flatten(0, 1), memory)

    def one(carried: tuple[Tensor, Any, Tensor, Tensor, Tensor]) -> tuple[Any, tuple[Tensor, Tensor]]:
        last, inner, total, ended, lengths = carried
        logits, inner = step(last.flatten(), pytree.tree_map(lambda one: one.flatten(0, 1), inner), memory)
        rows, kept, vocabulary = total.shape[0], total.shape[1], logits.shape[-1]
        # No more than `kept` continuations of one hypothesis can be among the best of all.
        most = torch.sym_min(kept, vocabulary)  # type: ignore[no-untyped-call]
        likely = logits.float().log_softmax(-1).topk(most)
        gains, tokens = (part.reshape(rows, kept, most) for part in likely)
        # What has ended goes on in one way, with padding, at no cost.
        over = ended.unsqueeze(-1)
        gains = torch.where(over, torch.where(torch.arange(most) == 0, 0.0, -torch.inf), gains)
        tokens = torch.where(over, torch.full_like(tokens, filler), tokens)
        # Sums of many logarithms are held in float64: in float32 long hypotheses would tie.
        totals = total.unsqueeze(-1) + gains.double()
        lengths = lengths + (~ended).long()
        ranked = totals / _penalty(lengths, exponent).unsqueeze(-1)
        best = ranked.flatten(1).topk(kept).indices
        parent, token = best // most, tokens.flatten(1).gather(1, best)
        carried = (
            token,
            pytree.tree_map(lambda one: _of_parents(one, parent), inner),
            totals.flatten(1).gather(1, best),
            ended.gather(1, parent) | (token == end),
            lengths.gather(1, parent),
        )
        return carried, (token, parent)

    # At first all hypotheses of a row are the same one.
    only = torch.where(torch.arange(kept) == 0, 0.0, -torch.inf).double()
    carried = (
        spread(begin).contiguous(),
        pytree.tree_map(lambda one: spread(one).contiguous(), state),
        only.unsqueeze(0).expand(rows, kept).contiguous(),
        torch.zeros(rows, kept, dtype=torch.bool),
        torch.zeros(rows, kept, dtype=torch.int64),
    )
    (_, _, total, _, lengths), (tokens, parents) = while_loop(_any_goes_on, one, carried, max_steps=max_length)
    nobody = total == -torch.inf
    tokens = _trace_back(tokens, parents)
    return Found(
        tokens=torch.where(nobody.unsqueeze(-1), torch.full_like(tokens, filler), tokens),
        lengths=torch.where(nobody, torch.zeros_like(lengths), lengths),
        scores=(total / _penalty(lengths, exponent)).float(),
    )


def _any_goes_on(carried: tuple[Tensor, Any, Tensor, Tensor, Tensor]) -> Tensor:
    _, _, total, ended, _ = carried
    return (~ended & (total > -torch.inf)).any()


def _penalty(lengths: Tensor, exponent: Tensor) -> Tensor:
    return torch.pow((5.0 + lengths.double()) / 6.0, exponent)


def _of_parents(inner: Tensor, parent: Tensor) -> Tensor:
    """States ``(batch * width, ...)`` as ``(batch, width, ...)``, each hypothesis with its parent's."""
    rows, kept = parent.shape
    first = torch.arange(rows).unsqueeze(1) * kept
    return inner.index_select(0, (first + parent).flatten()).reshape(rows, kept, *inner.shape[1:])


def _trace_back(tokens: Tensor, parents: Tensor) -> Tensor:
    """From ``(batch, steps, width)`` of what was appended to which to whole sequences, ``(batch, width, steps)``."""
    rows, kept = tokens.shape[0], tokens.shape[2]

    def one(hypothesis: Tensor, at: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        token, parent = at
        return parent.gather(1, hypothesis), token.gather(1, hypothesis)

    last = torch.arange(kept).unsqueeze(0).expand(rows, kept).contiguous()
    traced: Tensor
    _, traced = scan(one, last, (tokens, parents), reverse=True)
    return traced.transpose(1, 2)
