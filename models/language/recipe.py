"""How ``language.safetensors`` was made: truncated back-propagation through time over the book, state carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.func import functional_call
from torch.nn import functional

from ..datasets import moby_dick
from ..training import Recipe, fit, seeded
from ..training.batches import consecutive
from ..zoo.running import TorchRunner
from .characters import encode
from .data import TRAINING, VALIDATION, HeldOut, count
from .face import FACE
from .model import CharacterModel, build
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from ..zoo.system import Training
    from .model import State

#: Characters through which a gradient goes back.
STEPS_BACK = 64

#: Share of the weights from a layer's own output to its gates that is dropped for a batch, and their names.
DROPPED_WEIGHTS = 0.2
RECURRENT = ("lower.weight_hh_l0", "upper.weight_hh_l0")

RECIPE = Recipe(
    steps=5_000,
    batch_size=32,
    learning_rate=5e-3,
    schedule="one_cycle",
    clip_norm=1.0,
    average_decay=0.998,
    validate_every=500,
)


def train(training: Training) -> CharacterModel:
    """Train the model: about 10 times through the book's first 115 chapters.

    Raises:
        MissingDataError: the book is neither installed nor in the folder that was given.
        TrainingError: the loss is not finite any more.
    """
    chapters = moby_dick.load(training.data)
    learned, chosen_by = encode("".join(chapters[TRAINING])), encode("".join(chapters[VALIDATION]))
    judged = HeldOut(tokens=chosen_by, seen=count(learned))
    recipe = RECIPE.for_training(training)

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        # Turned by a random number of characters, so that in each epoch the rows begin and are cut elsewhere. The
        # one place where the book's end meets its beginning does no harm.
        turned = np.roll(learned, int(generator.integers(len(learned))))
        return consecutive(turned, recipe.batch_size, STEPS_BACK)

    with seeded(recipe.seed):
        module = build()
    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=lambda module: score(TorchRunner(module, FACE), judged).value,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    assert isinstance(fitted.module, CharacterModel)
    return fitted.module


def _loss(
    module: CharacterModel, batch: tuple[torch.Tensor, torch.Tensor], state: State | None
) -> tuple[torch.Tensor, State]:
    """Cross-entropy in nats per character, and the state for the batch after this one."""
    inputs, targets = batch
    # Weights that recur are dropped, the same ones at every step: S. Merity, N. S. Keskar and R. Socher (2018),
    # "Regularizing and Optimizing LSTM Language Models", arXiv:1708.02182, section 3.
    thinned = {name: functional.dropout(module.get_parameter(name), DROPPED_WEIGHTS) for name in RECURRENT}
    logits, h_n, c_n = functional_call(module, thinned, (inputs, *(state or ())))
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten()), (h_n, c_n)
