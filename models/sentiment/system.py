"""The sentiment model as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, LabelsWrite, TextRead
from ..zoo.system import Metric, System
from .data import load_held_out
from .exhibit import exhibit
from .face import FACE, LABELS
from .model import build
from .recipe import train
from .scoring import score
from .words import load_words, tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe() -> Description:
    """What ``task.json`` says: a text is negative or positive, and which words made it so."""
    return Description(
        task="text-classification",
        about="Tells whether a sentence is negative or positive, and which words count.",
        read=TextRead(input="tokens", tokenizer=tokenizer(load_words()[0])),
        write=LabelsWrite(output="logits", labels=LABELS, attention="attention"),
        samples=("What a wonderful day!", "The plot was good, but the acting is not great."),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


SENTIMENT = System(
    name="sentiment",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=load_held_out,
    evaluate=score,
    metric=Metric(name="accuracy", unit="%"),
    int8_budget=0.005,
    exhibit=exhibit,
)
