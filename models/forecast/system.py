"""The forecast of electricity demand as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..zoo.system import Metric, System
from .data import held_out
from .exhibit import exhibit
from .face import FACE, describe
from .model import build
from .recipe import train
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..zoo.system import Runner, Score
    from .data import Windows


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


def _quick(runner: Runner, windows: Windows) -> Score:
    """Of every ninth forecast: of all eight weeks, and at all times of the day."""
    return score(runner, windows.select(slice(None, None, 9)))


FORECAST = System(
    name="forecast",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=held_out,
    held_out_in=held_out,
    evaluate=score,
    metric=Metric(name="mean absolute error", unit="GW", higher_is_better=False, digits=3),
    int8_budget=0.003,
    int8_metric=_quick,
    exhibit=exhibit,
)
