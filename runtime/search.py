"""Searches of a host that runs one step as a graph of its own: greedy, beam search and sampling, in NumPy.

They find what :mod:`rnnx.models.search` finds in PyTorch and inside a graph, token for token; what is said of the
algorithms there holds here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..errors import InputError
from .threefry import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Tensors by name, ``(rows, ...)`` each.
Arrays = Mapping[str, "NDArray[Any]"]

#: ``logits, state = step(tokens, state, memory)``: tokens int64 ``(rows,)``, the last one of each row; logits float
#: ``(rows, vocabulary)`` of the next.
Step = Callable[["NDArray[np.int64]", Arrays, Arrays], "tuple[NDArray[Any], Arrays]"]


_Array = TypeVar("_Array")


class Found(NamedTuple, Generic[_Array]):
    """Sequences that a search found: arrays here, tensors in :mod:`rnnx.models.search`.

    Attributes:
        tokens: int64 ``(batch, steps)``, of a beam search ``(batch, width, steps)``. The ending token is the last one
            of a row; after it there is padding.
        lengths: int64 ``(batch,)`` or ``(batch, width)``: tokens of each row, the ending one included.
        scores: float32 ``(batch,)`` or ``(batch, width)``: log-probability of each row; of a beam search divided by
            its length penalty.
    """

    tokens: _Array
    lengths: _Array
    scores: _Array


def greedy(
    step: Step,
    state: Arrays,
    memory: Arrays,
    *,
    begin: NDArray[np.int64],
    end: int,
    max_length: int,
    padding: int | None = None,
) -> Found[NDArray[Any]]:
    """Take the likeliest token at every step, until every row has ended.

    Args:
        step: scores the next token.
        state: what ``step`` begins with.
        memory: what every step is given as it is.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a row.
        max_length: the largest number of tokens.
        padding: the token after a row's end; ``end`` itself by default.

    Raises:
        InputError: ``max_length`` is below 1.
    """
    return _one_by_one(
        step,
        state,
        memory,
        begin=begin,
        end=end,
        max_length=max_length,
        padding=padding,
        choose=lambda logits, _: logits.argmax(-1),
    )


def sample(
    step: Step,
    state: Arrays,
    memory: Arrays,
    *,
    begin: NDArray[np.int64],
    end: int,
    max_length: int,
    seed: NDArray[np.int64],
    temperature: float = 1.0,
    top_k: int | None = None,
    padding: int | None = None,
) -> Found[NDArray[Any]]:
    """Draw the next token from the ``top_k`` likeliest ones, by the probabilities of ``logits / temperature``.

    Args:
        step: scores the next token.
        state: what ``step`` begins with.
        memory: what every step is given as it is.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a row.
        max_length: the largest number of tokens.
        seed: int64 ``(batch,)``; the same seed gives the same tokens, in a batch or alone.
        temperature: from 0 downwards: always the likeliest token.
        top_k: how many tokens to draw from; all of them by default, and where there are fewer.
        padding: the token after a row's end; ``end`` itself by default.

    Raises:
        InputError: ``max_length`` or ``top_k`` is below 1.
    """
    _at_least_one(top_k=1 if top_k is None else top_k)
    heat = np.float32(temperature if temperature > 0 else 1.0)

    def choose(logits: NDArray[Any], count: int) -> NDArray[np.int64]:
        best = np.argsort(-logits, axis=-1, kind="stable")[:, :top_k]
        if temperature <= 0:
            return best[:, 0]
        shares = np.exp(_log_softmax(np.take_along_axis(logits, best, -1) / heat)).cumsum(-1)
        drawn = (shares[:, :-1] <= uniform(seed, np.full_like(seed, count))[:, None]).sum(-1)
        return np.take_along_axis(best, drawn[:, None], -1)[:, 0]

    return _one_by_one(step, state, memory, begin=begin, end=end, max_length=max_length, padding=padding, choose=choose)


def beam(
    step: Step,
    state: Arrays,
    memory: Arrays,
    *,
    begin: NDArray[np.int64],
    end: int,
    max_length: int,
    width: int,
    length_penalty: float = 0.0,
    padding: int | None = None,
) -> Found[NDArray[Any]]:
    """Keep the ``width`` best hypotheses of each row at every step, until all that are kept have ended.

    Args:
        step: scores the next token; its rows are hypotheses, ``batch * width``.
        state: what ``step`` begins with.
        memory: what every step is given as it is.
        begin: int64 ``(batch,)``, the token before the first.
        end: the token that ends a hypothesis.
        max_length: the largest number of tokens.
        width: how many hypotheses to keep.
        length_penalty: 0 ranks by probability alone, more favours longer hypotheses.
        padding: the token after a hypothesis's end; ``end`` itself by default.

    Returns:
        Tokens ``(batch, width, steps)``, lengths and scores ``(batch, width)``, the best hypothesis first. Where there
        are fewer hypotheses than ``width``, the rest has length 0, score -inf and padding for tokens.

    Raises:
        InputError: ``max_length`` or ``width`` is below 1.
    """
    _at_least_one(max_length=max_length, width=width)
    filler = end if padding is None else padding
    rows = begin.shape[0]
    memory = {name: array.repeat(width, 0) for name, array in memory.items()}
    state = {name: array.repeat(width, 0) for name, array in state.items()}
    last = begin.repeat(width)
    total: NDArray[Any] = np.full((rows, width), -np.inf)
    total[:, 0] = 0.0  # at first all hypotheses of a row are the same one
    ended = np.zeros((rows, width), bool)
    lengths = np.zeros((rows, width), np.int64)
    tokens = np.zeros((rows, width, 0), np.int64)
    while tokens.shape[2] < max_length and bool((~ended & (total > -np.inf)).any()):
        logits, state = step(last, state, memory)
        scores = _log_softmax(logits)
        # No more than `width` continuations of one hypothesis can be among the best of all.
        likely = np.argsort(-scores, axis=-1, kind="stable")[:, :width]
        most = likely.shape[1]
        gains = np.take_along_axis(scores, likely, -1).reshape(rows, width, most)
        following = likely.reshape(rows, width, most)
        # What has ended goes on in one way, with padding, at no cost.
        gains[ended] = np.where(np.arange(most) == 0, np.float32(0), np.float32(-np.inf))
        following[ended] = filler
        # Sums of many logarithms are held in float64: in float32 long hypotheses would tie.
        totals = total[:, :, None] + gains.astype(np.float64)
        lengths = lengths + ~ended
        ranked = (totals / _penalty(lengths, length_penalty)[:, :, None]).reshape(rows, -1)
        best = np.argsort(-ranked, axis=-1, kind="stable")[:, :width]
        parent, token = best // most, np.take_along_axis(following.reshape(rows, -1), best, -1)
        total = np.take_along_axis(totals.reshape(rows, -1), best, -1)
        ended = np.take_along_axis(ended, parent, -1) | (token == end)
        lengths = np.take_along_axis(lengths, parent, -1)
        tokens = np.concatenate([np.take_along_axis(tokens, parent[:, :, None], 1), token[:, :, None]], -1)
        source = (np.arange(rows)[:, None] * width + parent).reshape(-1)
        state = {name: array[source] for name, array in state.items()}
        last = token.reshape(-1)
    nobody = total == -np.inf
    lengths = np.where(nobody, 0, lengths)
    return Found(
        tokens=np.where(nobody[:, :, None], filler, tokens),
        lengths=lengths,
        scores=(total / _penalty(lengths, length_penalty)).astype(np.float32),
    )


def _one_by_one(
    step: Step,
    state: Arrays,
    memory: Arrays,
    *,
    begin: NDArray[np.int64],
    end: int,
    max_length: int,
    padding: int | None,
    choose: Callable[[NDArray[Any], int], NDArray[np.int64]],
) -> Found[NDArray[Any]]:
    """One hypothesis a row; ``choose`` takes the next token from its logits and the number of the step."""
    _at_least_one(max_length=max_length)
    filler = end if padding is None else padding
    last, ended = begin, np.zeros(begin.shape, bool)
    lengths, scores = np.zeros(begin.shape, np.int64), np.zeros(begin.shape, np.float32)
    tokens: list[NDArray[np.int64]] = []
    while len(tokens) < max_length and not ended.all():
        logits, state = step(last, state, memory)
        chosen = choose(logits, len(tokens))
        gained = np.take_along_axis(_log_softmax(logits), chosen[:, None], -1)[:, 0]
        scores = np.where(ended, scores, scores + gained)
        lengths = lengths + ~ended
        last = np.where(ended, filler, chosen)
        ended = ended | (chosen == end)
        tokens.append(last)
    return Found(tokens=np.stack(tokens, 1), lengths=lengths, scores=scores)


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = logits.astype(np.float32) - logits.max(-1, keepdims=True)
    answer: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return answer


def _penalty(lengths: NDArray[np.int64], exponent: float) -> NDArray[np.float64]:
    penalty: NDArray[np.float64] = np.power((5.0 + lengths) / 6.0, np.float64(exponent))
    return penalty


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise InputError(f"{name} is {number}; it must be a whole number from 1.")
