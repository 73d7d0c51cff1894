"""How the checkpoint is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ..datasets.electricity import load_electricity
from ..training import Recipe, fit, seeded
from ..training.batches import shuffled
from ..zoo.running import TorchRunner
from .data import PARTS, cut, origins
from .face import FACE
from .model import QUANTILES, build
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..datasets.electricity import Electricity
    from ..zoo.system import Training
    from .model import ForecastNet

    Batch = tuple[dict[str, torch.Tensor], torch.Tensor]

# A year is little: after some 250 steps the validation's weeks are foretold worse and worse.
RECIPE = Recipe(
    steps=350, batch_size=64, learning_rate=2e-3, weight_decay=0.02, average_decay=0.99, validate_every=50, patience=3
)

#: In this share of the examples the temperature to come is not told, so that the model can do without it.
BLIND = 0.3


def train(training: Training) -> ForecastNet:
    """Train on the first 281 days; the weights that foretell the four weeks after them best are kept."""
    year = load_electricity(training.data)
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        model = prepare(year)
    weeks = cut(year, origins("validation", every=6))
    scale = float(model.scale[0])
    share = torch.tensor(QUANTILES)

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        rows = origins("train")
        for few in shuffled(len(rows), recipe.batch_size, generator):
            known = (generator.random(len(few)) >= BLIND).astype(np.float32)
            windows = cut(year, rows[few], known)
            inputs = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in windows.inputs.items()}
            yield inputs, torch.from_numpy(np.ascontiguousarray(windows.demand))

    def loss(module: ForecastNet, batch: Batch, _state: None) -> tuple[torch.Tensor, None]:
        inputs, demand = batch
        error = (demand.unsqueeze(2) - module(**inputs)) / scale
        levels = share.to(error.device)
        return torch.maximum(levels * error, (levels - 1) * error).mean(), None

    def validate(module: ForecastNet) -> float:
        return score(TorchRunner(module, FACE), weeks).value

    fit(
        model,
        batches,
        loss,
        recipe,
        validate=validate,
        higher_is_better=False,
        folder=training.folder,
        report=training.report,
    )
    return model.eval()


def prepare(year: Electricity) -> ForecastNet:
    """The model with fresh weights that knows mean and deviation of the days to learn from."""
    model = build()
    end = PARTS["train"][1] * 48
    values = np.stack([year.demand[:end], year.temperature[:end]], axis=1).astype(np.float64)
    model.centre.copy_(torch.from_numpy(values.mean(axis=0)))
    model.scale.copy_(torch.from_numpy(values.std(axis=0)))
    return model
