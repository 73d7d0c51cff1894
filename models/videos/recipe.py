"""How `videos.safetensors` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ..captions.teaching import teach
from ..ragged import alike
from ..training import Recipe, seeded
from .face import FACE
from .model import Teller
from .scoring import CLIPS, feed
from .words import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import Tensor

    from ..captions.teaching import Batch
    from ..zoo.system import Training

RECIPE = Recipe(steps=2000, batch_size=32, learning_rate=3e-3, warmup=0.15, validate_every=200)

#: Clips of an epoch, drawn at once so that those of like length can go together; every clip is drawn anew.
_EPOCH = 640
#: New clips that choose the weights, and the seed of their random numbers.
_CHOOSING, _SEED = 160, 2_000_003


def build() -> Teller:
    """The model with fresh weights, at the size of the checkpoint."""
    return Teller()


def train(training: Training) -> Teller:
    """Draw clips and learn to tell what happens; needs no data but the committed pictures."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        stories = [CLIPS.invent(generator, ("seen",)) for _ in range(_EPOCH)]
        clips = [CLIPS.draw(story, generator) for story in stories]
        parts = alike(map(len, clips), recipe.batch_size)
        for part in generator.permutation(len(parts)):
            arrays = feed([clips[row] for row in parts[part]])
            arrays["target"] = SENTENCES.encode(stories[row].caption for row in parts[part])
            yield {name: torch.from_numpy(array) for name, array in arrays.items()}

    def follow(model: Teller, batch: Batch) -> Tensor:
        return model.follow(batch["frames"], batch["lengths"], batch["target"])

    choosing = CLIPS.examples(_CHOOSING, _SEED)
    return teach(module, batches, follow, recipe, training, face=FACE, drawings=CLIPS, choosing=choosing)
