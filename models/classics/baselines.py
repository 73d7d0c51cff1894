"""How the weights of the simple recurrent networks were made that the systems are compared with.

Run ``python -m rnnx.models.classics.baselines NAME --output NAME.npz``. Each has its system's own recipe, but for the
recurrent layer.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...atomic import write_atomically
from ...bundle import npz_bytes
from ..training import seeded
from ..zoo.system import Training
from . import adding, digits, reber
from .grammar import SYMBOLS
from .networks import Stepwise, Symbolwise, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def _embedded_elman(training: Training) -> nn.Module:
    recipe = reber.EMBEDDED_RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = Symbolwise("elman", symbols=len(SYMBOLS), hidden_size=15)
    return reber.learn(module, recipe, training, embedded=True)


def _adding_elman(training: Training) -> nn.Module:
    recipe = adding.RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = Stepwise("tanh", features=2, hidden_size=adding.HIDDEN, outputs=1)
    return adding.learn(module, recipe, training)


def _digits_relu(training: Training) -> nn.Module:
    recipe = digits.RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = Stepwise("relu", features=1, hidden_size=digits.HIDDEN, outputs=digits.CLASSES)
    return digits.learn(module, recipe, training)


BASELINES: dict[str, Callable[[Training], nn.Module]] = {
    "adding_elman": _adding_elman,
    "digits_relu": _digits_relu,
    "embedded_elman": _embedded_elman,
}


@click.command()
@click.argument("name", type=click.Choice(list(BASELINES)))
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Weights to write.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--steps", type=click.IntRange(min=1), help="In place of the recipe's own.")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Unpacked source of data.")
def main(name: str, output: Path, seed: int, steps: int | None, data: Path | None) -> None:
    """Train a baseline and write its weights."""
    module = BASELINES[name](Training(seed=seed, steps=steps, data=data))
    content = npz_bytes(weights_of(module))
    write_atomically(output, content)
    click.echo(f"{hashlib.sha256(content).hexdigest()}  {output}")


if __name__ == "__main__":
    main()
