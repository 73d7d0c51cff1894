"""The adding problem: two numbers, marked long before the end, are to be added up.

Hochreiter and Schmidhuber (1997), "Long short-term memory", Neural Computation 9(8), experiment 4. A step has a value
from 0 to 1 and a mark; exactly two steps are marked, one of the first ten and one of the first half. At the end the sum
of both values is asked for. Always answering 1 has a mean square error of 1/6.

There numbers lie from -1 to 1, and the sum is brought to 0..1; here they lie from 0 to 1, as in Le, Jaitly and Hinton
(2015), arXiv:1504.00941, and nothing is brought anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..training import Recipe, fit, seeded
from ..zoo.system import Face, Score
from . import plain
from .networks import Stepwise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Runner, Training

    #: Float32 ``(batch, time, 2)``, and the sums, float32 ``(batch,)``.
    Sums = tuple[NDArray[np.float32], NDArray[np.float32]]

#: Steps from the end of the first ten to the end: how far the first number is to be carried at least.
LAG = 200
FIRST = 10

FACE = Face(inputs=("x: float32[batch, time, 2]",), outputs=("total",), streaming="on")
RECIPE = Recipe(steps=3000, batch_size=64, learning_rate=5e-3, weight_decay=0.0, validate_every=250, average_decay=0.99)
HIDDEN = 32

#: Networks that are compared with, of as many units.
OTHERS = (
    plain.Other(name="adding_tanh", about="Elman's network", begun="elman tanh", learning_rate=5e-3),
    plain.Other(name="adding_irnn", about="IRNN after 1000 steps", begun="irnn", learning_rate=1e-3, steps=1000),
    plain.Other(
        name="adding_gru", about="GRU after 1000 steps", begun="remembering gru", learning_rate=5e-3, steps=1000
    ),
)

#: The paper's: an answer that is further off than this is wrong.
RIGHT = 0.04

_HELD_OUT, _VALIDATION = 1000, 500
_EPOCH = 100  # batches


def draw(generator: np.random.Generator, count: int) -> Sums:
    """Examples: the steps, float32 ``(count, 210, 2)`` of values and marks, and the sums, float32 ``(count,)``."""
    steps = FIRST + LAG
    values = generator.random((count, steps), dtype=np.float32)
    marks = np.zeros((count, steps), np.float32)
    rows = np.arange(count)
    one, two = generator.integers(0, FIRST, count), generator.integers(FIRST, steps // 2, count)
    marks[rows, one] = marks[rows, two] = 1
    return np.stack([values, marks], axis=2), values[rows, one] + values[rows, two]


def held_out() -> Sums:
    """The examples to score."""
    return draw(np.random.default_rng(0), _HELD_OUT)


def build() -> Stepwise:
    """The network with fresh weights."""
    return make("remembering")


def make(layer: str) -> Stepwise:
    """A network of this layer; see :data:`.networks.LAYERS`."""
    return Stepwise(layer, features=2, hidden_size=HIDDEN, outputs=1)


def train(training: Training) -> nn.Module:
    """Train the network; examples are drawn, so ``training.data`` is not needed."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()
    return learn(module, recipe, training)


def learn(module: Stepwise, recipe: Recipe, training: Training) -> nn.Module:
    """Train any network that answers a number at every step."""
    chosen = tuple(torch.from_numpy(array) for array in draw(np.random.default_rng(1), _VALIDATION))

    def batches(generator: np.random.Generator) -> Iterator[tuple[torch.Tensor, ...]]:
        for _ in range(_EPOCH):
            yield tuple(torch.from_numpy(array) for array in draw(generator, recipe.batch_size))

    def validate(model: Stepwise) -> float:
        device = next(model.parameters()).device
        return float(_loss(model, tuple(part.to(device) for part in chosen), None)[0])

    fitted = fit(
        module,
        batches,
        _loss,
        recipe,
        validate=validate,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    return fitted.module


def _loss(module: Stepwise, batch: tuple[torch.Tensor, ...], _state: Any) -> tuple[torch.Tensor, None]:  # noqa: ANN401
    x, total = batch
    return (module.last(x)[:, 0] - total).square().mean(), None


def evaluate(runner: Runner, examples: Sums) -> Score:
    """The share of sums that are right within 0.04, beside other networks of 32 units."""
    x, total = examples
    errors = np.concatenate([runner.run({"x": part})["total"][:, -1, 0] for part in np.array_split(x, 8)]) - total
    details = {"mean square error": float(np.square(errors).mean())}
    for other in OTHERS:
        off = other.load().run(x)[:, -1, 0] - total
        details[other.about] = _right(off)
        details[f"{other.about}, mean square error"] = float(np.square(off).mean())
    details["always 1, mean square error"] = float(np.square(total - 1).mean())
    return Score(value=_right(errors), count=len(total), details=details)


def _right(errors: NDArray[np.float32]) -> float:
    return float((np.abs(errors) < RIGHT).mean())
