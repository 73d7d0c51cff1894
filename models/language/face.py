"""What the exporter is told of the language model."""

from __future__ import annotations

from ..zoo.system import Face
from .characters import SYMBOLS

FACE = Face(
    inputs=(f"tokens: int64[batch, time] < {len(SYMBOLS)}",),
    states=("h_0: float32[batch, 2, 256]", "c_0: float32[batch, 2, 256]"),
    outputs=("logits", "h_n", "c_n"),
    new_states=("h_n", "c_n"),
    streaming="on",
)
