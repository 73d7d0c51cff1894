"""Attention over an encoder's outputs, masked by the source's lengths."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...errors import InputError

#: Scores of multiplicative attention, in the words of Luong et al.
SCORES = ("dot", "general", "concat")


class AdditiveAttention(nn.Module):
    """Additive attention: ``score(s, h) = v · tanh(W s + U h)``.

    Bahdanau, Cho and Bengio, "Neural machine translation by jointly learning to align and translate", ICLR 2015.
    """

    def __init__(self, query_size: int, value_size: int, attention_size: int) -> None:
        """Make the layer: a query ``s`` of one size, values ``h`` of another."""
        super().__init__()
        self.query = nn.Linear(query_size, attention_size, bias=False)
        self.key = nn.Linear(value_size, attention_size)
        self.score = nn.Linear(attention_size, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """What of the scores depends on the values alone, ``(batch, source, attention_size)``: made once a source."""
        keys: Tensor = self.key(values)
        return keys

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            query: float32 ``(batch, query_size)``.
            keys: from :meth:`keys`.
            values: float32 ``(batch, source, value_size)``.
            lengths: int64 ``(batch,)``, from 1: how many values of each row may be looked at.

        Returns:
            The context ``(batch, value_size)``, and the weights ``(batch, source)``.
        """
        scores = self.score(torch.tanh(self.query(query).unsqueeze(1) + keys)).squeeze(-1)
        return _weighted(scores, values, lengths)


class MultiplicativeAttention(nn.Module):
    """Global attention with one of three scores.

    ``dot``: ``s · h``; ``general``: ``s · W h``; ``concat``: ``v · tanh(W [s; h])``. Luong, Pham and Manning,
    "Effective approaches to attention-based neural machine translation", EMNLP 2015.
    """

    def __init__(self, query_size: int, value_size: int, score: str = "general") -> None:
        """Make the layer.

        Raises:
            InputError: the score is not known, or ``dot`` is asked for a query and values of different sizes.
        """
        super().__init__()
        if score not in SCORES:
            raise InputError(f"the score of an attention is '{score}'; it must be one of {', '.join(SCORES)}.")
        if score == "dot" and query_size != value_size:
            raise InputError(
                f"the score 'dot' needs queries and values of one size; they have {query_size} and {value_size}. "
                "Use 'general'."
            )
        self.kind = score
        self.weight = nn.Linear(value_size, query_size, bias=False) if score == "general" else None
        self.both = nn.Linear(query_size + value_size, query_size, bias=False) if score == "concat" else None
        self.score = nn.Linear(query_size, 1, bias=False) if score == "concat" else None

    def keys(self, values: Tensor) -> Tensor:
        """What of the scores depends on the values alone, ``(batch, source, query_size)``: made once a source."""
        if self.weight is not None:
            keys: Tensor = self.weight(values)
            return keys
        if self.both is not None:
            # W [s; h] = W_s s + W_h h, and the second term is the same for every query.
            return values @ self.both.weight[:, -values.shape[-1] :].T
        return values

    def forward(self, query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Attend; arguments and results are those of :meth:`AdditiveAttention.forward`."""
        if self.both is None or self.score is None:
            scores = torch.bmm(keys, query.unsqueeze(-1)).squeeze(-1)
        else:
            own = query @ self.both.weight[:, : query.shape[-1]].T
            scores = self.score(torch.tanh(own.unsqueeze(1) + keys)).squeeze(-1)
        return _weighted(scores, values, lengths)


def _weighted(scores: Tensor, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    beyond = torch.arange(scores.shape[1], device=lengths.device) >= lengths.unsqueeze(1)
    weights = scores.masked_fill(beyond, -torch.inf).softmax(-1)
    return torch.bmm(weights.unsqueeze(1), values).squeeze(1), weights


def maxout(x: Tensor) -> Tensor:
    """The larger one of each two neighbours, ``(batch, 2 * size)`` to ``(batch, size)`` (Goodfellow et al., 2013)."""
    return x.reshape(*x.shape[:-1], x.shape[-1] // 2, 2).amax(-1)
