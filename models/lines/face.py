"""What the exporter is told of `LineReader`."""

from __future__ import annotations

from ..zoo.system import Face

FACE = Face(
    inputs=("image: float32[batch, 1, 32, width]",),
    outputs=("log_probs", "frames"),
    lengths=("widths:width",),
    ranges={"width": (8, None)},
    streaming="off",
)
