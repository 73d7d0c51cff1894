"""Image captioning, as a system of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.description import Description, ImageRead, TokensWrite
from ..zoo.system import Metric, Score, System
from .exhibit import exhibit
from .face import FACE
from .recipe import build, train
from .scenes import PARTS, SIDE
from .scoring import SCENES
from .sentences import BEGIN, END
from .words import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..zoo.system import Runner
    from .drawings import Example

METRIC = Metric(name="captions exactly right", unit="%")
#: A scene as a picture, to try things out.
SAMPLE = Path(__file__).with_name("scene.png")


def evaluate(runner: Runner, scenes: Sequence[Example]) -> Score:
    """Share of captions that are right to the word: of new scenes; apart, of scenes with what training never showed."""
    correct = SCENES.right(runner, scenes)
    shares = {part: float(np.mean(correct[[one.part == part for one in scenes]])) for part in PARTS}
    return Score(
        value=shares["seen"],
        count=sum(one.part == "seen" for one in scenes),
        details={part: shares[part] for part in PARTS if part != "seen"},
    )


def assets() -> Mapping[str, bytes]:
    """What the bundle needs to take a picture and to answer with a sentence."""
    description = Description(
        task="image-captioning",
        about="Says what a scene of small pictures shows: what, how many, and where.",
        read=ImageRead(input="image", height=SIDE, width=SIDE),
        write=TokensWrite(output="tokens", symbols=WORDS, join=" ", end=END, skip=(BEGIN,), lengths="lengths"),
        samples=(SAMPLE.name,),
    )
    return {"task.json": description.to_bytes(), SAMPLE.name: SAMPLE.read_bytes()}


CAPTIONS = System(
    name="captions",
    build=build,
    train=train,
    face=FACE,
    assets=assets,
    held_out=SCENES.held_out,
    evaluate=evaluate,
    metric=METRIC,
    int8_budget=0.02,
    exhibit=exhibit,
)
