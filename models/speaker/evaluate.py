"""How often a model names the right speaker, whatever runs it: PyTorch, a session, a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from .data import Split


class Predict(Protocol):
    """Anything that scores a batch of utterances."""

    def __call__(self, utterances: Sequence[npt.NDArray[np.float32]], /) -> npt.NDArray[np.floating]:
        """Float32 `(time, 12)` arrays -> logits `(len(utterances), speakers)`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """How many of `total` utterances were given to the right speaker."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.correct / self.total


def accuracy(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> float:
    """Return the share (0 to 1) of rows of `logits` `(batch, speakers)` highest at `labels` `(batch,)`."""
    return _score(logits, labels).accuracy


def score(predict: Predict, split: Split, *, batch_size: int = 64) -> Score:
    """Let `predict` answer a split, `batch_size` utterances at a time.

    Raises:
        ValueError: if `predict` returns another number of rows than it was given utterances.
    """
    starts = range(0, len(split.utterances), batch_size)
    logits = [predict(split.utterances[start : start + batch_size]) for start in starts]
    return _score(np.concatenate(logits), split.labels)


def _score(logits: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> Score:
    # Compared as they are, one row of answers would be broadcast over every label.
    if len(logits) != len(labels):
        raise ValueError(f"there are {len(logits)} rows of logits for {len(labels)} labels; one row each is needed.")
    return Score(correct=int((logits.argmax(axis=1) == labels).sum()), total=len(labels))
