"""What the exporter is told of `Captioner`."""

from __future__ import annotations

from ..zoo.system import Face

FACE = Face(
    inputs=("image: float32[batch, 3, 64, 64]",),
    outputs=("tokens", "lengths", "scores", "attention"),
    streaming="off",
)
