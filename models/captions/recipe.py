"""How `captions.safetensors` was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from ..training import Recipe, fit, seeded
from ..zoo.running import TorchRunner
from .face import FACE
from .model import Captioner
from .scenes import draw, invent
from .scoring import examples, right, scaled
from .words import END, encode_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from torch import Tensor

    from ..zoo.system import Training

    Batch = dict[str, Tensor]

RECIPE = Recipe(steps=2400, batch_size=64, learning_rate=3e-3, warmup=0.15, validate_every=200)

#: Batches of an epoch; every scene is drawn anew.
_EPOCH = 50
#: New scenes that choose the weights, and the seed of their random numbers.
_CHOOSING, _SEED = 256, 2_000_003
#: Class of what stands after a caption's end, which is not learnt.
_NOTHING = -100


def build() -> Captioner:
    """The model with fresh weights, at the size of the checkpoint."""
    return Captioner()


def train(training: Training) -> Captioner:
    """Draw scenes and learn to say what they show; needs no data but the committed pictures."""
    recipe = RECIPE.for_training(training)
    choosing = examples(_CHOOSING, _SEED)
    with seeded(recipe.seed):
        module = build()

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        for _ in range(_EPOCH):
            scenes = [invent(generator) for _ in range(recipe.batch_size)]
            images = scaled([draw(scene, generator) for scene in scenes])
            target = encode_all(scene.caption for scene in scenes)
            yield {"image": torch.from_numpy(images), "target": torch.from_numpy(target)}

    def loss(model: Captioner, batch: Batch, _state: None) -> tuple[Tensor, None]:
        target = batch["target"]
        logits, _ = model.follow(*model.begin(batch["image"]), target)
        ended = (target == END).cumsum(1) - (target == END).long() > 0
        return cross_entropy(logits.flatten(0, 1), target.masked_fill(ended, _NOTHING).flatten()), None

    def validate(model: Captioner) -> float:
        device = next(model.parameters()).device
        share = right(TorchRunner(model.cpu(), FACE), choosing).mean()
        model.to(device)
        return float(share)

    fitted = fit(module, batches, loss, recipe, validate=validate, folder=training.folder, report=training.report)
    assert isinstance(fitted.module, Captioner)
    return fitted.module
