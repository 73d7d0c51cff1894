"""Video captioning, as a system of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.description import Description, TokensWrite, VideoRead
from ..captions.sentences import BEGIN, END
from ..zoo.system import Metric, Score, System
from .clips import FRAMES, PARTS, SIDE
from .exhibit import exhibit
from .face import FACE
from .recipe import build, train
from .scoring import CLIPS
from .words import WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..captions.drawings import Example
    from ..zoo.system import Runner

METRIC = Metric(name="clips told exactly right", unit="%")
#: A clip as an animated picture, to try things out.
SAMPLE = Path(__file__).with_name("clip.png")


def evaluate(runner: Runner, clips: Sequence[Example]) -> Score:
    """Share of sentences that are right to the word: of new clips; apart, of clips with what training never showed."""
    correct = CLIPS.right(runner, clips)

    def share(part: str, *, joined: bool = False) -> float:
        return float(np.mean(correct[[one.part == part and (not joined or " then " in one.caption) for one in clips]]))

    return Score(
        value=share("seen"),
        count=sum(one.part == "seen" for one in clips),
        details={
            "two events": share("seen", joined=True),  # the unseen parts mostly have two, which is harder
            **{part: share(part) for part in PARTS if part != "seen"},
        },
    )


def assets() -> Mapping[str, bytes]:
    """What the bundle needs to take moving pictures and to answer with a sentence."""
    description = Description(
        task="video-captioning",
        about="Tells what small pictures do, one after the other: they move, jump, blink, grow or shrink.",
        read=VideoRead(input="frames", height=SIDE, width=SIDE, least_frames=FRAMES[0]),
        write=TokensWrite(output="tokens", symbols=WORDS, join=" ", end=END, skip=(BEGIN,), lengths="lengths_out"),
        samples=(SAMPLE.name,),
    )
    return {"task.json": description.to_bytes(), SAMPLE.name: SAMPLE.read_bytes()}


VIDEOS = System(
    name="videos",
    build=build,
    train=train,
    face=FACE,
    assets=assets,
    held_out=CLIPS.held_out,
    evaluate=evaluate,
    metric=METRIC,
    int8_budget=0.02,
    exhibit=exhibit,
)
