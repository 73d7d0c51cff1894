"""How `captions.safetensors` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..training import Recipe, seeded
from .face import FACE
from .model import Captioner
from .scoring import SCENES, feed
from .teaching import teach
from .words import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import Tensor

    from ..zoo.system import Training
    from .teaching import Batch

RECIPE = Recipe(steps=2400, batch_size=64, learning_rate=3e-3, warmup=0.15, validate_every=200)

#: Batches of an epoch; every scene is drawn anew.
_EPOCH = 50
#: New scenes that choose the weights, and the seed of their random numbers.
_CHOOSING, _SEED = 256, 2_000_003


def build() -> Captioner:
    """The model with fresh weights, at the size of the checkpoint."""
    return Captioner()


def train(training: Training) -> Captioner:
    """Draw scenes and learn to say what they show; needs no data but the committed pictures."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        for _ in range(_EPOCH):
            scenes = [SCENES.invent(generator, ("seen",)) for _ in range(recipe.batch_size)]
            arrays = feed([SCENES.draw(scene, generator) for scene in scenes])
            arrays["target"] = SENTENCES.encode(scene.caption for scene in scenes)
            yield {name: torch.from_numpy(array) for name, array in arrays.items()}

    def follow(model: Captioner, batch: Batch) -> Tensor:
        logits, _ = model.follow(*model.begin(batch["image"]), batch["target"])
        return logits

    choosing = SCENES.examples(_CHOOSING, _SEED)
    return teach(module, batches, follow, recipe, training, face=FACE, drawings=SCENES, choosing=choosing)
