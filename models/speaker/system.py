"""Speaker recognition as a system of the zoo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.description import Description, LabelsWrite, SeriesRead, Table
from ..ragged import pad
from ..zoo.system import Face, Metric, Score, System
from . import train as recipe
from .data import NUM_FEATURES, NUM_SPEAKERS, Split, load
from .evaluate import score
from .exhibit import exhibit
from .model import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from ..zoo.system import Runner, Training
    from .model import SpeakerNet

FACE = Face(
    inputs=(f"features: float32[batch, time, {NUM_FEATURES}]",),
    lengths=("lengths",),
    outputs=("logits",),
    streaming="off",  # one direction begins at the end
)


def describe() -> Description:
    """What ``task.json`` says: a table of cepstrum coefficients, a row a frame, to one speaker."""
    columns = tuple(f"lpc_{number}" for number in range(1, NUM_FEATURES + 1))
    return Description(
        task="speaker-recognition",
        about="Tells which of nine men said the Japanese vowels /ae/: 12 LPC cepstrum coefficients each 6.4 ms.",
        # No utterance that it learned from or was scored on is shorter.
        read=SeriesRead(tables=(Table(input="features", columns=columns),), least_rows=7),
        # The source counts its speakers from 1.
        write=LabelsWrite(output="logits", labels=tuple(f"speaker {number}" for number in range(1, NUM_SPEAKERS + 1))),
    )


def train(training: Training) -> SpeakerNet:
    """Train on the official training split; the data are committed, so ``training.data`` is not needed."""
    settings = recipe.Recipe(seed=training.seed)
    if training.steps is not None:
        settings = replace(settings, steps=training.steps)
    return recipe.train(load("train"), settings, training.report, folder=training.folder)


def evaluate(runner: Runner, examples: Split) -> Score:
    """The share of utterances that are given to the right speaker, beside always naming the most frequent one."""

    def predict(utterances: Sequence[npt.NDArray[np.float32]], /) -> npt.NDArray[np.float32]:
        features, lengths = pad(utterances)
        return runner.run({"features": features, "lengths": lengths})["logits"]

    found = score(predict, examples)
    most = float(np.bincount(examples.labels).max() / len(examples.labels))
    return Score(value=found.accuracy, count=found.total, details={"always the most frequent speaker": most})


SPEAKER = System(
    name="speaker",
    build=build,
    train=train,
    face=FACE,
    assets=lambda: {"task.json": describe().to_bytes()},
    held_out=lambda: load("test"),
    evaluate=evaluate,
    metric=Metric(name="accuracy", unit="%"),
    int8_budget=0.005,
    exhibit=exhibit,
)
