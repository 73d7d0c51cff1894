"""Speech generation as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, TextRead
from ..zoo.system import Face, Metric, System
from .exhibit import exhibit
from .model import build
from .recipe import train
from .scoring import evaluate
from .sound import WRITE
from .text import SYMBOLS, TOKENIZER
from .texts import held_out

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longer texts, in letters, would be cut by the decoder's last step.
LONGEST = 80

FACE = Face(
    inputs=(f"letters: int64[batch, time] < {len(SYMBOLS)}",),
    lengths=("lengths",),
    outputs=("mel", "frames"),
    ranges={"time": (1, LONGEST)},
    streaming="off",  # the encoder reads from the end too
)


def describe() -> Description:
    """What ``task.json`` says: number words to sound."""
    return Description(
        task="speech-generation",
        about="Says English number words with one synthetic voice, at 8 kHz.",
        read=TextRead(input="letters", tokenizer=TOKENIZER),
        write=WRITE,
        samples=("twenty one", "nine hundred thousand"),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


VOICE = System(
    name="voice",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=held_out,
    evaluate=evaluate,
    metric=Metric(name="words read back", unit="%", digits=1),
    int8_budget=0.03,
    exhibit=exhibit,
)
