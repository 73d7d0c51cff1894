"""The language model as a system of the zoo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, GenerateWrite, TextRead
from ..zoo.system import Metric, System
from .characters import TOKENIZER
from .data import load_held_out
from .exhibit import exhibit
from .face import FACE
from .model import build
from .recipe import train
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..zoo.system import Runner, Score
    from .data import HeldOut

#: Enough of the text to compare int8 variants by.
_FEW = 24_000


def describe() -> Description:
    """What ``task.json`` says: it goes on from a text, character by character."""
    return Description(
        task="text-generation",
        about="Writes on in the manner of Moby-Dick, one character at a time.",
        read=TextRead(input="tokens", tokenizer=TOKENIZER),
        # An empty text is the beginning of a paragraph.
        write=GenerateWrite(output="logits", length=200, temperature=0.7, forbidden=(0,), start="\n\n"),
        samples=("Call me Ishmael.", "The whale ", "CHAPTER 136. "),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


def _quick(runner: Runner, examples: HeldOut) -> Score:
    return score(runner, replace(examples, tokens=examples.tokens[:_FEW]))


LANGUAGE = System(
    name="language",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=load_held_out,
    evaluate=score,
    metric=Metric(name="bits per character", higher_is_better=False, digits=3),
    int8_budget=0.02,
    int8_metric=_quick,
    exhibit=exhibit,
)
