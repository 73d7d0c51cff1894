"""The Mackey-Glass series, foretold by Jordan's network, whose own forecasts are its memory.

Mackey and Glass (1977), "Oscillation and chaos in physiological control systems", Science 197(4300). With a delay of 17
it is chaotic, and the usual test of memory is to read it every 6 units of time and to go on from there alone: the error
84 units ahead (Jaeger 2001, "The echo state approach to analysing and training recurrent neural networks", GMD report
148).

Jordan's network has no other memory than what it put out. So it puts out its forecast of the next eight values, and
these and a fading trace of earlier ones come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..cells import Jordan
from ..training import Recipe, fit, seeded
from ..zoo.system import Face, Score

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..zoo.system import Runner, Training

#: Values that are foretold at each step.
AHEAD = 8
HIDDEN = 64

FACE = Face(
    inputs=("x: float32[batch, time, 1]",),
    states=(f"s_0: float32[batch, {AHEAD}]",),
    outputs=("forecast", "s_n"),
    new_states=("s_n",),
    streaming="on",
)
RECIPE = Recipe(steps=3000, batch_size=32, learning_rate=5e-3, weight_decay=0.0, validate_every=250, average_decay=0.99)

#: Units of time from one value to the next, and steps of the integration in one unit.
_APART, _FINE = 6, 10
_DELAY = 17
_BETA, _GAMMA = 0.2, 0.1
_SETTLE = 300  # units of time that are thrown away

#: Values before anything is scored, values that are scored one by one, and values of the free run: 84 units of time.
WARMUP, SCORED, FREE = 60, 140, 14
_SERIES = 200
_CHOSEN = 64  # series that choose the weights
_LEARNED = 1024  # series to learn from


def draw(generator: np.random.Generator, count: int, values: int) -> NDArray[np.float32]:
    """Series from different beginnings, after they have settled: float32 ``(count, values)``."""
    start = generator.uniform(0.4, 1.4, size=count)
    x = integrate(start, _SETTLE + values * _APART)
    return x[(_SETTLE + _APART) * _FINE :: _APART * _FINE].T.astype(np.float32)


def integrate(start: NDArray[np.float64], units: int) -> NDArray[np.float64]:
    """The series from time 0, before which each stood at its ``start``, at tenths of a unit.

    dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t), by the fourth-order Runge-Kutta method at tenths of a unit,
    the delayed value half way between two tenths being their mean.

    Args:
        start: float64 ``(count,)``.
        units: of time.

    Returns:
        float64 ``(10 units + 1, count)``.
    """
    delay, steps = _DELAY * _FINE, units * _FINE
    x = np.empty((delay + steps + 1, len(start)))
    x[: delay + 1] = start
    width = 1 / _FINE
    for now in range(delay, delay + steps):
        before, after = x[now - delay], x[now - delay + 1]
        inflow = [_inflow(before), _inflow((before + after) / 2), _inflow(after)]
        k1 = inflow[0] - _GAMMA * x[now]
        k2 = inflow[1] - _GAMMA * (x[now] + width / 2 * k1)
        k3 = inflow[1] - _GAMMA * (x[now] + width / 2 * k2)
        k4 = inflow[2] - _GAMMA * (x[now] + width * k3)
        x[now + 1] = x[now] + width / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x[delay:]


def _inflow(delayed: NDArray[np.float64]) -> NDArray[np.float64]:
    # The tenth power by multiplications: they round alike everywhere, and a chaotic series forgets no last bit.
    squared = delayed * delayed
    fourth = squared * squared
    return _BETA * delayed / (1 + fourth * fourth * squared)


def held_out() -> NDArray[np.float32]:
    """The series to score."""
    return draw(np.random.default_rng(0), _SERIES, WARMUP + SCORED + FREE)


class Forecaster(nn.Module):
    """Values one by one -> after each, the next eight.

    Attributes:
        mean: float32 ``()``, of the series, subtracted on the way in and added on the way out.
    """

    mean: Tensor

    def __init__(self, hidden_size: int = HIDDEN) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(0.93))
        self.recurrent = Jordan(1, hidden_size, AHEAD, decay=0.8)

    def forward(self, x: Tensor, s_0: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Foretell.

        Args:
            x: float32 ``(batch, time, 1)``.
            s_0: what came back of earlier forecasts, float32 ``(batch, 8)``; zeros, the default, at the beginning.

        Returns:
            forecast: float32 ``(batch, time, 8)``, the values after each.
            s_n: float32 ``(batch, 8)``, for the steps to come.
        """
        forecast, s_n = self.recurrent(x - self.mean, s_0)
        return forecast + self.mean, s_n


def build() -> Forecaster:
    """The network with fresh weights."""
    return Forecaster()


def train(training: Training) -> nn.Module:
    """Train the network; the series are computed, so ``training.data`` is not needed."""
    recipe = RECIPE.for_training(training)
    with seeded(recipe.seed):
        module = build()
    steps = WARMUP + AHEAD
    learned = torch.from_numpy(draw(np.random.default_rng(2), _LEARNED, 2 * steps))
    chosen = torch.from_numpy(draw(np.random.default_rng(1), _CHOSEN, WARMUP + SCORED))

    def batches(generator: np.random.Generator) -> Iterator[Tensor]:
        rows = generator.permutation(_LEARNED)
        for start in range(0, _LEARNED, recipe.batch_size):
            begin = int(generator.integers(steps))
            yield learned[rows[start : start + recipe.batch_size], begin : begin + steps]

    def validate(model: nn.Module) -> float:
        return float(_loss(model, chosen.to(next(model.parameters()).device), None)[0])

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


def _loss(module: nn.Module, series: Tensor, _state: Any) -> tuple[Tensor, None]:  # noqa: ANN401
    values = series.size(1) - AHEAD
    forecast, _ = module(series[:, :values].unsqueeze(2))
    targets = series.unfold(1, AHEAD, 1)[:, 1 : values + 1]
    return (forecast - targets).square().mean(), None


def evaluate(runner: Runner, examples: NDArray[np.float32]) -> Score:
    """How far off the free run is after 84 units of time, in standard deviations of the series (NRMSE 84).

    Args:
        runner: what foretells, through :meth:`rnnx.models.zoo.system.Runner.stream`.
        examples: float32 ``(series, 214)``.
    """
    read = WARMUP + SCORED
    stream = runner.stream()
    forecast = stream.push({"x": examples[:, :read, np.newaxis]})["forecast"]
    deviation = float(examples.std())
    one = _off(forecast[:, WARMUP - 1 : -1, 0], examples[:, WARMUP:read])
    value = forecast[:, -1:, :1]
    for _ in range(FREE - 1):
        value = stream.push({"x": value})["forecast"][:, :, :1]
    target = examples[:, read + FREE - 1]
    details = {
        "next value": one / deviation,
        "next value, by the last one": _off(examples[:, WARMUP - 1 : read - 1], examples[:, WARMUP:read]) / deviation,
        "84 units ahead, by the last one": _off(examples[:, read - 1], target) / deviation,
    }
    return Score(value=_off(value[:, 0, 0], target) / deviation, count=len(examples), details=details)


def _off(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    return float(np.sqrt(np.square(found - wanted).mean()))
