"""What the forecast of electricity demand shows in the gallery: two days, and what was foretold of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..datasets.electricity import DAY
from ..zoo.gallery.exhibit import Exhibit, Picture
from ..zoo.gallery.plots import Panel, lines
from ..zoo.running import BundleRunner
from .data import HORIZON, held_out
from .face import FACE
from .scoring import forecast

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Of the held-out forecasts, which begin each three hours, those that begin at midnight.
_MIDNIGHT = slice(None, None, 8)
#: Days of the past that are drawn.
_BEFORE = 2


def exhibit(bundle: Path) -> Exhibit:
    """The held-out day whose error is the median of all days', and the one whose error is the largest.

    Raises:
        MissingDataError: the year's table is not installed, and its licence does not allow to commit a part of it.
    """
    days = held_out().select(_MIDNIGHT)
    with load(bundle) as session:
        said = forecast(BundleRunner(session, FACE), days)
    errors = np.abs(said[..., 1] - days.demand).mean(axis=1)
    order = np.argsort(errors)
    shown = {"a day of median error": order[len(order) // 2], "the day of the largest error": order[-1]}
    pieces = []
    for what, row in shown.items():
        past = days.inputs["past"][row, -_BEFORE * DAY :, 0]
        warmest = float(days.inputs["temperature"][row].max())
        about = (
            f"{what.capitalize()} among the {len(days)} that are held out: the median is off by "
            f"{errors[row]:.2f} GW in the mean. That day reaches {warmest:.0f} degrees Celsius."
        )
        pieces.append(Picture(png=_draw(past, days.demand[row], said[row], title=what), about=about))
    return Exhibit(
        about="A day of Victoria's electricity demand, foretold at midnight from the week before, the calendar and the "
        "temperature to come: a median, and a band that 80% of what comes should lie in.",
        pieces=tuple(pieces),
    )


def _draw(past: NDArray[np.float32], came: NDArray[np.float32], said: NDArray[np.float32], *, title: str) -> bytes:
    before, ahead = np.arange(-len(past), 0) * 24 / DAY, np.arange(HORIZON) * 24 / DAY
    panel = Panel(
        series={
            "foretold, median": (ahead, said[:, 1]),
            "came": (ahead, came),
            "was known": (before, past),
        },
        band=(ahead, said[:, 0], said[:, 2]),
        band_name="foretold, 80%",
        ylabel="demand, GW",
    )
    return lines(panel, xlabel="hours from midnight", title=title)
