"""The address tagger as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Description, TagsWrite, TextRead
from ..zoo.system import Metric, System
from .data import load_held_out
from .exhibit import exhibit
from .face import FACE, LABELS, TOKENIZER
from .model import build
from .recipe import train
from .scoring import score

if TYPE_CHECKING:
    from collections.abc import Mapping


def describe() -> Description:
    """What ``task.json`` says: an address is taken apart."""
    return Description(
        task="address-tagging",
        about="Tells what each word of an address of the United States is.",
        read=TextRead(input="", tokenizer=TOKENIZER),
        write=TagsWrite(output="logits", labels=LABELS, join=True),
        samples=("123 E. Main St. Apt 4B, Springfield, IL 62704", "PO Box 12 Portland OR"),
    )


def _assets() -> Mapping[str, bytes]:
    return {"task.json": describe().to_bytes()}


TAGGING = System(
    name="tagging",
    build=build,
    train=train,
    face=FACE,
    assets=_assets,
    held_out=load_held_out,
    evaluate=score,
    metric=Metric(name="accuracy of words", unit="%"),
    int8_budget=0.003,
    exhibit=exhibit,
)
