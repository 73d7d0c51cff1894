"""Two systems of the zoo: one finds anomalies in an electrocardiogram, one in an arterial blood pressure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, ScoresWrite, SeriesRead, Table
from ..zoo.system import Face, Metric, System
from . import recipe
from .exhibit import exhibit
from .scoring import held_out, score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..zoo.system import Training
    from .model import AnomalyNet

FACE = Face(inputs=("signal: float32[batch, time, 1]",), outputs=("score", "expected"), streaming="on")
METRIC = Metric(name="ROC AUC", digits=4)


def describe(about: str) -> Description:
    """What `task.json` says: one column goes in, a score for each row comes out; above 1 it is an anomaly."""
    return Description(
        task="anomaly-detection",
        about=about,
        read=SeriesRead(tables=(Table(input="signal", columns=("value",), rows="all"),)),
        write=ScoresWrite(output="score", threshold=1.0),
    )


def train_ecg(training: Training) -> AnomalyNet:
    """Train on the sound electrocardiogram."""
    return recipe.train(recipe.ECG, training)


def train_kdd(training: Training) -> AnomalyNet:
    """Train on the sound blood pressure."""
    return recipe.train(recipe.KDD, training)


def _ecg() -> Mapping[str, bytes]:
    about = "Finds beats that are not like the others in an electrocardiogram of 20 steps a beat, step by step."
    return {"task.json": describe(about).to_bytes()}


def _kdd() -> Mapping[str, bytes]:
    about = "Finds what does not belong in an arterial blood pressure of some 183 steps a beat, step by step."
    return {"task.json": describe(about).to_bytes()}


ANOMALY_ECG = System(
    name="anomaly-ecg",
    build=recipe.ECG.build,
    train=train_ecg,
    face=FACE,
    assets=_ecg,
    held_out=partial(held_out, "ecg"),
    evaluate=score,
    metric=METRIC,
    exhibit=partial(
        exhibit, "ecg", "An artificial electrocardiogram, judged step by step; it alarms where the score is above 1."
    ),
)
ANOMALY_KDD = System(
    name="anomaly-kdd",
    build=recipe.KDD.build,
    train=train_kdd,
    face=FACE,
    assets=_kdd,
    held_out=partial(held_out, "bleeding"),
    evaluate=score,
    metric=METRIC,
    exhibit=partial(
        exhibit, "bleeding", "An arterial blood pressure, judged step by step; it alarms where the score is above 1."
    ),
)
