"""How the checkpoint is made from the catalogues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..datasets import translations
from ..seq2seq.answering import answer_greedily
from ..seq2seq.teaching import Pairs, batches, loss
from ..training import Recipe, fit, seeded
from .model import build
from .pieces import END, encoder
from .scoring import chrf
from .texts import choose, grouped, parted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ..seq2seq import Beam, EncoderDecoder
    from ..zoo.system import Training
    from .texts import Pair, Part

RECIPE = Recipe(
    steps=3600,
    batch_size=128,
    learning_rate=4e-3,
    average_decay=0.998,
    validate_every=600,
)

#: Share of a token that is spread over all of them.
LABEL_SMOOTHING = 0.1

#: The most pieces of an answer while validating.
_MAX_LENGTH = 80


def load(folder: Path | None = None) -> dict[Part, list[Pair]]:
    """The pairs of both sources, parted.

    Raises:
        MissingDataError: a source is not there.
        AlteredDataError: it is another version's.
    """
    office, names = translations.office(folder), translations.names(folder)
    return parted([*choose("office", office), *choose("name", names)])


def tokens(pairs: Iterable[Pair]) -> Pairs:
    """What to teach."""
    pairs = list(pairs)
    cut = encoder().encode
    return Pairs(
        sources=tuple(np.array(cut(pair.english), dtype=np.int64) for pair in pairs),
        targets=tuple(np.array([*cut(pair.french), END], dtype=np.int64) for pair in pairs),
    )


def train(training: Training) -> Beam:
    """Train the model."""
    parts = load(training.data)
    asked = grouped(parts["validation"])
    sources = [np.array(encoder().encode(text.english), dtype=np.int64) for text in asked]

    def judge(model: EncoderDecoder) -> float:
        answers = answer_greedily(model, sources, max_length=_MAX_LENGTH)
        return chrf([encoder().decode(one) for one in answers], [text.french for text in asked])

    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        decoding = build()
    fit(
        decoding.model,
        batches(tokens(parts["train"]), recipe.batch_size),
        loss(LABEL_SMOOTHING),
        recipe,
        validate=judge,
        folder=training.folder,
        report=training.report,
    )
    return decoding.eval()
