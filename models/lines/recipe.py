"""How `lines.safetensors` was made."""

from __future__ import annotations

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
    from collections.abc import Iterator

    from torch import Tensor

    from ..zoo.system import Training

    Batch = dict[str, Tensor]

RECIPE = Recipe(steps=2800, batch_size=32, learning_rate=2e-3, warmup=0.15, clip_norm=2.0, validate_every=400)

#: Lines of an epoch, drawn at once so that those of like width can go together.
_EPOCH = 1600
#: Lines, of fonts and chapters of their own, that choose the weights.
_CHOOSING = 240


def build() -> LineReader:
    """The model with fresh weights, at the size of the checkpoint."""
    return LineReader(classes=len(SYMBOLS))


def train(training: Training) -> LineReader:
    """Draw lines and learn to read them.

    Raises:
        MissingDataError, AlteredDataError: the fonts or the book are not there.
        MissingExtraError: Pillow is not installed.
    """
    recipe = RECIPE.for_training(training)
    learnt = source("learnt", training.data)
    choosing = drawn(source("chosen_by", training.data), _CHOOSING, np.random.default_rng(1))
    with seeded(recipe.seed):
        module = build()

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        lines = drawn(learnt, _EPOCH, generator)
        parts = list(batches_of(lines, recipe.batch_size))
        for part in generator.permutation(len(parts)):
            chosen = [lines[row] for row in parts[part]]
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
        device = next(model.parameters()).device
        said = read(TorchRunner(model.cpu(), FACE), choosing)
        model.to(device)
        return errors(said, choosing).characters

    fitted = fit(
        module,
        batches,
        loss,
        recipe,
        validate=validate,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    assert isinstance(fitted.module, LineReader)
    return fitted.module
