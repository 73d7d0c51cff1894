"""How `videos.safetensors` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ..training import Recipe, fit, seeded
from ..zoo.running import TorchRunner
from .clips import draw, invent
from .face import FACE
from .model import Teller
from .scoring import by_length, examples, right, together
from .words import END, encode_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import Tensor

    from ..zoo.system import Training

    Batch = dict[str, Tensor]

RECIPE = Recipe(steps=2000, batch_size=32, learning_rate=3e-3, warmup=0.15, validate_every=200)

#: Clips of an epoch, drawn at once so that those of like length can go together; every clip is drawn anew.
_EPOCH = 640
#: New clips that choose the weights, and the seed of their random numbers.
_CHOOSING, _SEED = 160, 2_000_003
#: Class of what stands after a sentence's end, which is not learnt.
_NOTHING = -100


def build() -> Teller:
    """The model with fresh weights, at the size of the checkpoint."""
    return Teller()


def train(training: Training) -> Teller:
    """Draw clips and learn to tell what happens; needs no data but the committed pictures."""
    recipe = RECIPE.for_training(training)
    choosing = examples(_CHOOSING, _SEED)
    with seeded(recipe.seed):
        module = build()

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        stories = [invent(generator) for _ in range(_EPOCH)]
        clips = [draw(story, generator) for story in stories]
        parts = list(by_length(clips, recipe.batch_size))
        for part in generator.permutation(len(parts)):
            frames, lengths = together([clips[row] for row in parts[part]])
            target = encode_all(stories[row].caption for row in parts[part])
            arrays = {"frames": frames, "lengths": lengths, "target": target}
            yield {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(model: Teller, batch: Batch, _state: None) -> tuple[Tensor, None]:
        target = batch["target"]
        logits = model.follow(batch["frames"], batch["lengths"], target)
        ended = (target == END).cumsum(1) - (target == END).long() > 0
        return cross_entropy(logits.flatten(0, 1), target.masked_fill(ended, _NOTHING).flatten()), None

    def validate(model: Teller) -> float:
        device = next(model.parameters()).device
        share = right(TorchRunner(model.cpu(), FACE), choosing).mean()
        model.to(device)
        return float(share)

    fitted = fit(module, batches, loss, recipe, validate=validate, folder=training.folder, report=training.report)
    assert isinstance(fitted.module, Teller)
    return fitted.module
