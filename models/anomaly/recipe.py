"""How the checkpoints are made: from sound signals alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ..datasets.anomalies import load_signals
from ..training import Recipe, fit, seeded
from .model import AnomalyNet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Training

    Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """One of the two systems.

    Attributes:
        which: the data, see :func:`rnnx.models.datasets.anomalies.load_signals`.
        recipe: of the training.
        hidden_size, horizon, smooth, warmup: of :class:`rnnx.models.anomaly.model.AnomalyNet`.
        window: steps of an example.
        learn: share of the sound signal, from its beginning, that is learned from. What is left measures the errors and
            the alarm, and chooses the weights; where there is nothing left, the whole does.
        noise: standard deviation of what is added to the signal that is read, not to what is foretold, in the signal's
            own: it keeps the network calm where a signal is of no known form, so that rounding does not grow in it.
        correlated: whether the score knows how the errors go together, or takes each for itself.
        margin: the alarm, as a multiple of the highest distance of the sound signal that measures it.
    """

    which: Literal["ecg", "bleeding"]
    recipe: Recipe
    hidden_size: int
    horizon: int
    smooth: int
    window: int
    learn: float
    noise: float
    correlated: bool
    warmup: int = 100
    margin: float = 4.0

    def build(self) -> AnomalyNet:
        """The module with fresh weights."""
        return AnomalyNet(
            hidden_size=self.hidden_size, num_layers=1, horizon=self.horizon, smooth=self.smooth, warmup=self.warmup
        )


ECG = Settings(
    which="ecg",
    recipe=Recipe(steps=600, batch_size=16, learning_rate=5e-3, average_decay=0.98),
    hidden_size=32,
    horizon=40,  # two beats
    smooth=10,
    window=200,
    learn=0.8,
    noise=0.1,
    correlated=True,
)

#: 1,200 steps of sound signal, six and a half beats: nothing is left over. So errors are measured on what was learned
#: from, where they go together by chance.
KDD = Settings(
    which="bleeding",
    recipe=Recipe(steps=2000, batch_size=16, learning_rate=5e-3, average_decay=0.98),
    hidden_size=32,
    horizon=4,
    smooth=1,
    window=300,
    learn=1.0,
    noise=0.0,
    correlated=False,
)

#: Steps of an example that are not learned from: the network has seen too little to foretell them.
_FIRST = 50
#: Share of the errors' mean variance that is added to each, so that what was too regular is not divided by nothing.
_RIDGE = 1e-4


def train(settings: Settings, training: Training) -> AnomalyNet:
    """Train one of the systems."""
    sound = load_signals(settings.which, training.data)["sound"].values
    recipe = settings.recipe.for_training(training)
    learned = round(settings.learn * len(sound))
    with seeded(recipe.seed):
        model = settings.build()
    model.mean.fill_(float(sound.mean()))
    model.std.fill_(float(sound.std()))
    length = settings.window + settings.horizon
    windows = np.lib.stride_tricks.sliding_window_view(sound[:learned], length)
    rest = learned if learned < len(sound) else 0

    def batches(generator: np.random.Generator) -> Iterator[Batch]:
        for _ in range(50):
            signal = windows[generator.integers(0, len(windows), recipe.batch_size)]
            ahead = np.lib.stride_tricks.sliding_window_view(signal, settings.horizon, axis=1)
            read: NDArray[np.floating] = signal[:, : settings.window, None]
            if settings.noise:
                read = read + generator.normal(0, settings.noise * sound.std(), read.shape)
            yield torch.from_numpy(read.astype(np.float32)), torch.from_numpy(ahead[:, 1:].copy())

    def loss(module: AnomalyNet, batch: Batch, _state: None) -> tuple[torch.Tensor, None]:
        signal, ahead = batch
        error = module.foretell(signal) - (ahead - module.mean) / module.std
        return error[:, _FIRST:].square().mean(), None

    def validate(module: AnomalyNet) -> float:
        signal = torch.from_numpy(sound[None, :, None].copy()).to(module.mean.device)
        errors, _ = module.errors(signal)
        return float(errors[0, max(rest, settings.warmup) :].square().mean())

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
    calibrate(model, sound, max(rest, settings.warmup), settings)
    return model.eval()


@torch.inference_mode()
def calibrate(model: AnomalyNet, sound: NDArray[np.float32], first: int, settings: Settings) -> None:
    """Measure what errors a sound signal has, and what distance it reaches.

    Args:
        model: trained.
        sound: float32 `(time,)`.
        first: the step from which on it is measured.
        settings: how the score takes the errors, and the margin of the alarm.
    """
    model.eval()
    signal = torch.from_numpy(sound[None, :, None].copy())
    errors = model.errors(signal)[0][0, first:].double()
    covariance = torch.cov(errors.T).reshape(settings.horizon, settings.horizon)
    if not settings.correlated:
        covariance = torch.diag(covariance.diagonal())
    covariance += _RIDGE * covariance.diagonal().mean() * torch.eye(settings.horizon)
    model.expected_error.copy_(errors.mean(dim=0))
    # With the inverse covariance L L^T, the squared length of L^T e is the squared Mahalanobis distance of e.
    model.whitening.copy_(torch.linalg.cholesky(torch.linalg.inv(covariance)))
    model.alarm.fill_(settings.margin * float(model.distances(model.errors(signal)[0])[0, first:].max()))
