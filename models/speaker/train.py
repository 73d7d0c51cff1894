"""The recipe of `speaker.safetensors`: `python -m rnnx.models.speaker.train --output speaker.safetensors`."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from ...atomic import write_atomically
from .. import training
from ..ragged import pad
from ..training import fit, seeded
from ..training.batches import shuffled
from .augment import Augmentation, augment, measure
from .data import load
from .evaluate import score
from .model import build, predictor
from .progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from .data import Split
    from .evaluate import Score
    from .model import SpeakerNet


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides a checkpoint, besides the utterances.

    Attributes:
        seed: of the weights, the order of the utterances, the augmentation and the dropout.
        steps: optimiser steps.
        batch_size: utterances per step.
        learning_rate: the highest; it rises over the first tenth of the steps and falls to nothing after.
        weight_decay: of AdamW.
        label_smoothing: share of the target that is spread over all speakers.
        average_decay: of the moving average of the weights, per step. The average is what is kept.
        clip_norm: the longest gradient that is taken as it is.
        augmentation: how the utterances are varied.
    """

    seed: int = 0
    steps: int = 1600
    batch_size: int = 30
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    label_smoothing: float = 0.1
    average_decay: float = 0.99
    clip_norm: float = 1.0
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def fitting(self) -> training.Recipe:
        """What the loop is told: one cycle of the learning rate, on one thread of the processor."""
        return training.Recipe(
            steps=self.steps,
            seed=self.seed,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            average_decay=self.average_decay,
            device="cpu",  # where the checkpoint was made: another device gives other bits
        )


def train(
    split: Split,
    recipe: Recipe,
    report: Callable[[int, int, str], None] | None = None,
    *,
    folder: Path | None = None,
) -> SpeakerNet:
    """Train a model; the same arguments give the same bits on one machine.

    Args:
        split: what to learn from.
        recipe: how.
        report: called after every step; see :func:`rnnx.models.training.fit`.
        folder: where it keeps what it needs to go on after it was cut off.

    Returns:
        The averaged model, ready to answer (`eval`).
    """
    variation = measure(split, points=recipe.augmentation.points)
    with seeded(recipe.seed):
        model = build()
    model.mean.copy_(torch.from_numpy(np.concatenate(split.utterances).mean(axis=0)))
    model.std.copy_(torch.from_numpy(variation.std))
    objective = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)

    def batches(_generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        # All steps are one epoch of one generator, and dropout draws on where the weights ended: so the committed
        # checkpoint was made, and it can be made again bit by bit.
        generator = np.random.default_rng(recipe.seed)
        build()
        for rows in _batches(len(split.utterances), recipe, generator):
            batch = [augment(split.utterances[row], variation, recipe.augmentation, generator) for row in rows]
            features, lengths = (torch.from_numpy(array) for array in pad(batch))
            yield features, lengths, torch.from_numpy(split.labels[rows])

    def loss(module: nn.Module, batch: tuple[torch.Tensor, ...], _state: None) -> tuple[torch.Tensor, None]:
        features, lengths, labels = batch
        return objective(module(features, lengths), labels), None

    fit(model, batches, loss, recipe.fitting, folder=folder, report=report)
    return model


def _batches(count: int, recipe: Recipe, generator: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """The utterances of every step: each utterance once, in another order, before any comes again."""
    per_epoch = math.ceil(count / recipe.batch_size)
    epochs = math.ceil(recipe.steps / per_epoch)
    batches = [rows for _ in range(epochs) for rows in shuffled(count, recipe.batch_size, generator)]
    return batches[: recipe.steps]


def checkpoint(model: SpeakerNet, recipe: Recipe, held_out: Score) -> bytes:
    """Return the safetensors file of a model, with the recipe and what came of it in its metadata."""
    facts = {
        "recipe": asdict(recipe),
        "held_out": {"split": "test", "correct": held_out.correct, "total": held_out.total},
        "torch": torch.__version__,
    }
    # One entry, not three: safetensors writes its metadata in another order in every process, and a checkpoint
    # that can be made again bit by bit is one whose hash says something.
    return save(model.state_dict(), metadata={"rnnx": json.dumps(facts, sort_keys=True)})


@click.command()
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Checkpoint to write.")
@click.option("--seed", default=Recipe().seed, show_default=True, help="Of everything that is left to chance.")
@click.option("--steps", type=click.IntRange(min=1), default=Recipe().steps, show_default=True)
def main(output: Path, seed: int, steps: int) -> None:
    """Train on the training split, measure on the test split, write the checkpoint."""
    if not output.parent.is_dir():
        raise click.BadParameter(f"'{output.parent}' is no folder. Make it first.", param_hint="--output")
    # How a sum is shared among threads decides its last bits; with one, the number of cores does not matter.
    torch.set_num_threads(1)
    recipe = Recipe(seed=seed, steps=steps)
    with progress(recipe.steps, label="training") as report:
        model = train(load("train"), recipe, report)
    held_out = score(predictor(model), load("test"))
    content = checkpoint(model, recipe, held_out)
    write_atomically(output, content)
    click.echo(f"{held_out.correct} of {held_out.total} held-out utterances right ({held_out.accuracy:.2%})")
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


if __name__ == "__main__":
    main()
