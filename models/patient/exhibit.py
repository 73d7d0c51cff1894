"""What patient monitoring shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.tasks import load_task
from ..datasets.pbcseq import COLUMNS
from ..zoo.gallery.exhibit import Exhibit, Picture, Text
from ..zoo.gallery.plots import Panel, lines
from .model import ALERT, DAYS_PER_YEAR

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Days of an invented patient's visits; what is measured at the first, in the order of the columns, and how bilirubin,
#: albumin and prothrombin time went on, where they were measured. At the last day but one nothing was.
_DAYS = (0, 190, 370, 800, 1100, 1500, 1530, 1800, 1830)
_FIRST = (52.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.9, 260.0, 3.8, 950.0, 95.0, 260.0, 10.3, 3.0)
_COURSE = {
    "bili": (0.9, 1.0, 1.3, 2.4, 3.9, 7.5, 8.8, None, 14.2),
    "albumin": (3.8, 3.7, None, 3.4, 3.2, 2.9, None, None, 2.5),
    "protime": (10.3, None, 10.4, 10.9, 11.2, 11.9, 12.4, None, 13.3),
    "edema": (0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, None, 1.0),
}


def table() -> dict[str, NDArray[np.float64]]:
    """The invented patient's visits by column, NaN where nothing was measured."""
    columns = {name: np.full(len(_DAYS), np.nan) for name in COLUMNS}
    for name, value in zip(COLUMNS, _FIRST, strict=True):
        columns[name][0] = value
    for name, values in _COURSE.items():
        columns[name] = np.array([np.nan if one is None else one for one in values])
    return {"day": np.array(_DAYS, dtype=np.float64), **columns}


def exhibit(bundle: Path) -> Exhibit:
    """An invented patient's bilirubin, and the risk that the bundle tells after each visit."""
    visits = table()
    with load_task(bundle) as task:
        found: Any = task(visits)
    years = visits["day"] / DAYS_PER_YEAR
    measured = np.isfinite(visits["bili"])
    drawn = lines(
        Panel(
            series={"risk within three years": (years, found.scores)},
            level=ALERT,
            level_name="pointed out above",
            ylabel="risk",
            low=0.0,
            high=1.0,
        ),
        Panel(series={"bilirubin": (years[measured], visits["bili"][measured])}, ylabel="mg/dl", low=0.0),
        xlabel="years since the first visit",
        title="an invented patient: visits at odd times, some values missing, one day without any",
    )
    return Exhibit(
        about="The risk of death or liver transplantation within three years, after each visit, by a GRU that knows "
        "what was measured and how long ago. The patient is invented; for the study of models, not of patients.",
        pieces=(
            Picture(png=drawn, about="Risk over the visits, and the level at which it is pointed out."),
            Text(given="the visits of the plot", answer=str(found)),
        ),
    )
