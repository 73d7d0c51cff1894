"""How the checkpoints are made from the dictionary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..datasets import cmudict
from ..seq2seq.answering import answer_greedily
from ..seq2seq.teaching import batches, loss
from ..training import Recipe, fit, seeded
from .data import pairs, select
from .model import build, build_cho
from .scoring import errors
from .symbols import say, spell

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..seq2seq import Beam, EncoderDecoder
    from ..zoo.system import Training

RECIPE = Recipe(
    steps=3000,
    batch_size=256,
    learning_rate=4e-3,
    average_decay=0.998,
    validate_every=500,
)

#: Fewer steps: it is here to be compared with.
RECIPE_CHO = replace(RECIPE, steps=5000)

#: Share of a phoneme that is spread over all of them: the dictionary itself has a word now one way and now another.
LABEL_SMOOTHING = 0.1

#: The longest pronunciation has 28 phonemes.
_MAX_LENGTH = 32


def train(training: Training) -> Beam:
    """Train the model with attention."""
    return _train(build, RECIPE.for_training(training), training)


def train_cho(training: Training) -> Beam:
    """Train the model without attention."""
    return _train(build_cho, RECIPE_CHO.for_training(training), training)


def _train(make: Callable[[], Beam], recipe: Recipe, training: Training) -> Beam:
    words = cmudict.load(training.data)
    validation = select(words, "validation")
    sources = [spell(word) for word in validation]

    def judge(model: EncoderDecoder) -> float:
        said = [say(answer) for answer in answer_greedily(model, sources, max_length=_MAX_LENGTH)]
        return errors(said, validation.values(), stress=False).phoneme_rate

    with seeded(recipe.seed):
        decoding = make()
    fit(
        decoding.model,
        batches(pairs(select(words, "train")), recipe.batch_size),
        loss(LABEL_SMOOTHING),
        recipe,
        validate=judge,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    return decoding.eval()
