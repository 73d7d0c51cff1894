"""Activity recognition as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, LabelsWrite, SeriesRead, Table
from ..zoo.system import Face, Metric, System
from .data import held_out
from .exhibit import exhibit
from .model import LABELS, SIGNALS, build
from .recipe import train
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Mapping

FACE = Face(inputs=(f"signals: float32[batch, time, {len(SIGNALS)}]",), outputs=("logits",), ranges={}, streaming="on")

#: The exercises, for people.
NAMES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}


def describe() -> Description:
    """What `task.json` says: a table of a watch's signals goes in, an exercise comes out."""
    return Description(
        task="activity-recognition",
        about="Tells which of seven shoulder exercises the wearer of a watch does, from its signals, 50 rows a second: "
        "acceleration in units of gravity and angular velocity in radians per second.",
        read=SeriesRead(tables=(Table(input="signals", columns=SIGNALS, rows="all"),), least_rows=50),
        write=LabelsWrite(output="logits", labels=tuple(NAMES[one] for one in LABELS), over_time="last"),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


ACTIVITY = System(
    name="activity",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=held_out,
    evaluate=score,
    metric=Metric(name="accuracy", unit="%", digits=1),
    int8_budget=0.01,
    exhibit=exhibit,
)
