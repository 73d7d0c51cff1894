"""How the weights of the networks were made that the systems are compared with.

Run ``python -m rnnx.models.classics.baselines NAME --output NAME.npz``. Each has its system's own recipe, but for the
recurrent layer and its learning rate.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...atomic import write_atomically
from ...bundle import npz_bytes
from ..training import seeded
from ..zoo.system import Training
from . import adding, digits, plain, reber
from .grammar import SYMBOLS
from .networks import Symbolwise, weights_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from torch import nn


def _embedded_elman(training: Training) -> nn.Module:
    recipe = reber.EMBEDDED_RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = Symbolwise("elman", symbols=len(SYMBOLS), hidden_size=15)
    return reber.learn(module, recipe, training, embedded=True)


def _other(system: ModuleType, other: plain.Other, training: Training) -> nn.Module:
    own = replace(system.RECIPE, learning_rate=other.learning_rate, steps=other.steps or system.RECIPE.steps)
    recipe = own.for_training(training)
    with seeded(recipe.seed):
        module = system.make(other.begun)
    trained: nn.Module = system.learn(module, recipe, training)
    return trained


BASELINES: dict[str, Callable[[Training], nn.Module]] = {
    "embedded_elman": _embedded_elman,
    **{other.name: partial(_other, system, other) for system in (adding, digits) for other in system.OTHERS},
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
