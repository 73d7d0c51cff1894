"""How the checkpoint is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from ..datasets.watch import load_recordings
from ..training import Recipe, fit, seeded
from ..training.batches import shuffled
from .augment import MIRRORED, Augmentation, window
from .data import TRAIN_SUBJECTS, WINDOW, Examples, gather
from .model import STRIDE, build

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ..zoo.system import Training
    from .model import ActivityNet

    Batch = tuple[torch.Tensor, torch.Tensor]

RECIPE = Recipe(steps=800, batch_size=48, learning_rate=3e-3, weight_decay=0.02, average_decay=0.99)

AUGMENTATION = Augmentation()
#: Share of the target that is spread over all exercises.
SMOOTHING = 0.1
#: Steps of a window before which no answer is asked for.
_FIRST = 60
#: Windows of each recording in an epoch.
_EACH = 8


def train(training: Training) -> ActivityNet:
    """Train on the recordings of seven subjects.

    How long, and with what settings, was chosen by leaving some of the seven out; see
    :mod:`rnnx.models.activity.cross_validate`.
    """
    examples = gather(load_recordings(training.data), TRAIN_SUBJECTS)
    return fitted(examples, RECIPE.for_training(training), folder=training.folder, report=training.report)


def fitted(
    examples: Examples,
    recipe: Recipe,
    *,
    folder: Path | None = None,
    report: Callable[[int, int, str], None] | None = None,
) -> ActivityNet:
    """Train on some recordings."""
    with seeded(recipe.seed):
        model = build()
    steps = np.concatenate([sign * one for one in examples.signals for sign in (np.float32(1), MIRRORED)])
    std = steps.std(axis=0)
    model.mean.copy_(torch.from_numpy(steps.mean(axis=0)))
    model.std.copy_(torch.from_numpy(std))
    objective = nn.CrossEntropyLoss(label_smoothing=SMOOTHING)

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        for rows in shuffled(_EACH * len(examples.signals), recipe.batch_size, generator):
            numbers = rows % len(examples.signals)
            made = [window(examples.signals[one], WINDOW, std, AUGMENTATION, generator) for one in numbers]
            yield torch.from_numpy(np.stack(made)), torch.from_numpy(examples.exercises[numbers])

    def loss(module: ActivityNet, batch: Batch, _state: None) -> tuple[torch.Tensor, None]:
        signals, exercises = batch
        logits = module(signals)[:, _FIRST // STRIDE :]
        return objective(logits.transpose(1, 2), exercises[:, None].expand(-1, logits.size(1))), None

    fit(model, batches, loss, recipe, folder=folder, report=report)
    return model.eval()
