"""What the exporter is told of the sentiment model."""

from __future__ import annotations

from ..zoo.system import Face
from .words import load_words

FACE = Face(
    inputs=(f"tokens: int64[batch, time] < {len(load_words()[0])}",),
    lengths=("lengths",),
    outputs=("logits", "attention"),
    streaming="off",
)

#: What the two scores are of.
LABELS = ("negative", "positive")
