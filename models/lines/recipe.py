"""How `lines.safetensors` was made: on some fonts first, then on more of them at a lower rate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import ctc_loss

from ..training import Recipe, fit, seeded
from ..zoo.running import TorchRunner
from .alphabet import BLANK, SYMBOLS
from .data import batches_of, drawn, source, targets, together
from .face import FACE
from .model import LineReader
from .scoring import errors, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from ..zoo.system import Training
    from .data import Line, Source

    Batch = dict[str, Tensor]

RECIPE = Recipe(steps=2800, batch_size=32, learning_rate=2e-3, warmup=0.15, clip_norm=2.0, validate_every=400)
#: Its seed is the first part's plus one.
SECOND = Recipe(steps=1200, batch_size=32, learning_rate=1e-3, clip_norm=2.0, average_decay=0.99, validate_every=300)

#: Lines of an epoch, drawn at once so that those of like width can go together.
_EPOCH = 1600
#: Lines, of fonts and chapters of their own, that choose the weights of the first part and of the second.
_CHOOSING, _CHOOSING_LATER = 240, 600


def build() -> LineReader:
    """The model with fresh weights, at the size of the checkpoint."""
    return LineReader(classes=len(SYMBOLS))


def train(training: Training) -> LineReader:
    """Draw lines and learn to read them.

    Where the user says how many steps, these are the first part's, and the second has a like share of its own.

    Raises:
        MissingDataError, AlteredDataError: the fonts or the book are not there.
        MissingExtraError: Pillow is not installed.
    """
    first = RECIPE.for_training(training)
    more = source("learnt", training.data, later=True)  # a missing font is told of before hours of work
    with seeded(first.seed):
        module = build()
    choosing = drawn(source("chosen_by", training.data), _CHOOSING, np.random.default_rng(1))
    _learn(module, source("learnt", training.data), choosing, first, training=training, part="first")
    return go_on(module, more, training)


def go_on(module: LineReader, learnt: Source, training: Training) -> LineReader:
    """The second part of the training, in place."""
    steps = SECOND.steps if training.steps is None else max(1, training.steps * SECOND.steps // RECIPE.steps)
    recipe = replace(SECOND, seed=training.seed + 1, steps=steps)
    chosen_by = source("chosen_by", training.data, later=True)
    choosing = drawn(chosen_by, _CHOOSING_LATER, np.random.default_rng(2))
    return _learn(module, learnt, choosing, recipe, training=training, part="second")


def _learn(
    module: LineReader, learnt: Source, choosing: Sequence[Line], recipe: Recipe, *, training: Training, part: str
) -> LineReader:
    """Train a module, in place, to the weights that read some lines best."""

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        lines = drawn(learnt, _EPOCH, generator)
        parts = batches_of(lines, recipe.batch_size)
        for place in generator.permutation(len(parts)):
            chosen = [lines[row] for row in parts[place]]
            images, widths = together(chosen)
            classes, lengths = targets(chosen)
            arrays = {"image": images, "widths": widths, "classes": classes, "lengths": lengths}
            yield {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(model: LineReader, batch: Batch, _state: None) -> tuple[Tensor, None]:
        log_probs, frames = model(batch["image"], batch["widths"])
        return (
            ctc_loss(
                log_probs.transpose(0, 1),
                batch["classes"],
                frames,
                batch["lengths"],
                blank=BLANK,
                zero_infinity=True,  # a narrow font may leave fewer columns than a line needs
            ),
            None,
        )

    def validate(model: LineReader) -> float:
        return errors(read(TorchRunner(model, FACE), choosing), choosing).characters

    folder = None if training.folder is None else training.folder / part
    fit(
        module,
        batches,
        loss,
        recipe,
        validate=validate,
        higher_is_better=False,
        folder=folder,
        report=training.report,
    )
    return module
