"""What the exporter is told of the model, and what a person gives to its bundle."""

from __future__ import annotations

from ...runtime.tasks.description import Description, ForecastWrite, SeriesRead, Table
from ..zoo.system import Face
from .data import HORIZON, PAST
from .model import CALENDAR, QUANTILES
from .model import PAST as COLUMNS

FACE = Face(
    inputs=(
        f"past: float32[batch, time, {len(COLUMNS)}]",
        f"calendar: float32[batch, horizon, {len(CALENDAR)}]",
        "temperature: float32[batch, horizon, 1]",
        "known: float32[batch, horizon, 1]",
    ),
    outputs=("quantiles",),
    # A whole week must be there: what was a week before is looked up.
    ranges={"time": (PAST, None), "horizon": (1, None)},
    example={"batch": 2, "time": PAST + 48, "horizon": HORIZON},
    streaming="off",  # what is ahead is read beside the whole past
)


def describe() -> Description:
    """What `task.json` says: a table of half-hours, whose last 48 rows are the day to forecast."""
    return Description(
        task="forecasting",
        about="Foretells a day of Victoria's electricity demand, each half-hour in GW, from the week before it, the "
        "calendar and, if known, the temperature.",
        read=SeriesRead(
            tables=(
                Table(input="past", columns=COLUMNS, fill="last", needed=COLUMNS[:1]),
                Table(input="calendar", columns=CALENDAR, rows="future"),
                Table(input="temperature", columns=("temperature",), rows="future", mask="known"),
            ),
            horizon=HORIZON,
            missing="mask",
            least_rows=PAST,
        ),
        write=ForecastWrite(output="quantiles", quantiles=QUANTILES, name="demand", unit="GW"),
    )
