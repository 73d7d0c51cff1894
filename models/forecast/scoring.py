"""How good a forecast is: the error of its median, its quantiles, and what anybody could have said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..datasets.electricity import DAY
from ..zoo.system import Score
from .data import HORIZON, PAST, Windows
from .model import QUANTILES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..zoo.system import Runner

_ROWS = 64


def forecast(runner: Runner, windows: Windows) -> NDArray[np.float32]:
    """The quantiles of every forecast, float32 `(rows, horizon, 3)`, GW."""
    parts = [windows.select(slice(start, start + _ROWS)) for start in range(0, len(windows), _ROWS)]
    return np.concatenate([runner.run(part.inputs)["quantiles"] for part in parts])


def pinball(quantiles: NDArray[np.float32], demand: NDArray[np.float32]) -> float:
    """Mean pinball loss, GW (Koenker and Bassett 1978, "Regression Quantiles", equation 3.1).

    Args:
        quantiles: float32 `(rows, horizon, 3)`.
        demand: float32 `(rows, horizon)`.
    """
    share = np.array(QUANTILES)
    error = demand[..., None].astype(np.float64) - quantiles
    return float(np.maximum(share * error, (share - 1) * error).mean())


def score(runner: Runner, windows: Windows) -> Score:
    """Mean absolute error of the median over all half-hours of all forecasts, GW.

    Details: the mean pinball loss; how often the demand lies between the outer quantiles, 80% if they are right; the
    error where the temperature to come is not told; and the errors of the same time a day, and a week, before.
    """
    said = forecast(runner, windows)
    blind = Windows(inputs=windows.inputs | {"known": np.zeros_like(windows.inputs["known"])}, demand=windows.demand)
    untold = forecast(runner, blind)
    demand, past = windows.demand, windows.inputs["past"][..., 0]
    between = (demand >= said[..., 0]) & (demand <= said[..., 2])
    return Score(
        value=_error(said[..., 1], demand),
        count=len(windows),
        details={
            "pinball loss, GW": pinball(said, demand),
            "share within the 80% band": float(between.mean()),
            "MAE of the last six hours, GW": _error(said[:, -12:, 1], demand[:, -12:]),
            "MAE, temperature to come not known, GW": _error(untold[..., 1], demand),
            "share within the 80% band, temperature to come not known": float(
                ((demand >= untold[..., 0]) & (demand <= untold[..., 2])).mean()
            ),
            "MAE of the same time a day before, GW": _error(past[:, -DAY:], demand),
            "MAE of the same time a week before, GW": _error(past[:, -PAST : HORIZON - PAST or None], demand),
        },
    )


def _error(said: NDArray[np.float32], demand: NDArray[np.float32]) -> float:
    return float(np.abs(said.astype(np.float64) - demand).mean())
