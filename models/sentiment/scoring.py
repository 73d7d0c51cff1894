"""Accuracy on held-out texts, of all and of each genre."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.tokenizers import encoder
from ..datasets.vader import GENRES
from ..ragged import alike, pad
from ..zoo.system import Score
from .data import NEUTRAL_BELOW, STRONG_FROM
from .words import load_words, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner
    from .data import HeldOut

_BATCH = 128


def score(runner: Runner, examples: HeldOut) -> Score:
    """How many texts that are not neutral are rightly called negative or positive.

    The details count as right also where a text is nearly neutral (``any sign``), where people were clear
    (``strong``), by genre, and what two simple rules reach on the same texts as the score.
    """
    right = (positive(runner, examples.texts) > 0) == (examples.ratings > 0)
    strength = np.abs(examples.ratings)
    clear = strength >= NEUTRAL_BELOW
    genres = np.array(examples.genres)
    truth = examples.ratings > 0
    details = {
        "any sign": float(right.mean()),
        "strong": float(right[strength >= STRONG_FROM].mean()),
        **{genre: float(right[clear & (genres == genre)].mean()) for genre in GENRES if (genres == genre).any()},
        "always the more frequent": float(max(truth[clear].mean(), 1 - truth[clear].mean())),
        # Where the lexicon says nothing, a coin is thrown.
        "lexicon alone": float(_by_sign(examples.by_lexicon, truth)[clear].mean()),
    }
    return Score(value=float(right[clear].mean()), count=int(clear.sum()), details=details)


def positive(runner: Runner, texts: Sequence[str]) -> NDArray[np.float32]:
    """How much more a runner thinks each text positive than negative: float32 ``(texts,)``, a difference of logits."""
    cut = encoder(tokenizer(load_words()[0]))
    ids = [cut.encode(text) for text in texts]
    answer = np.zeros(len(ids), dtype=np.float32)
    for rows in alike(map(len, ids), _BATCH):
        tokens, lengths = pad([np.array(ids[row], dtype=np.int64) for row in rows])
        logits = runner.run({"tokens": tokens, "lengths": lengths})["logits"]
        answer[rows] = logits[:, 1] - logits[:, 0]
    return answer


def _by_sign(sums: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(sums == 0, 0.5, (sums > 0) == truth)
