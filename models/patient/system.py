"""The patient model as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, ScoresWrite, SeriesRead, Table
from ..datasets.pbcseq import COLUMNS
from ..zoo.system import Metric, System
from .data import load_held_out
from .exhibit import exhibit
from .face import FACE
from .model import ALERT, build
from .recipe import train
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe() -> Description:
    """What ``task.json`` says: a table of visits, with gaps, gives the risk after each of them."""
    return Description(
        task="patient-monitoring",
        about="The risk of death or liver transplantation within three years, after each visit. A last row with a day "
        "and nothing else asks for that day. For the study of models, not of patients.",
        read=SeriesRead(
            tables=(Table(input="values", columns=COLUMNS, mask="observed", gaps="gaps"),),
            missing="mask",
            time="day",
            categories={"sex": {"f": 1.0, "m": 0.0}},
        ),
        write=ScoresWrite(output="risk", threshold=ALERT, name="risk"),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


PATIENT = System(
    name="patient",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=load_held_out,
    held_out_in=load_held_out,
    evaluate=score,
    metric=Metric(name="AUC", digits=3),
    int8_budget=0.01,
    exhibit=exhibit,
)
