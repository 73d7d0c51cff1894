"""What the exporter is told of `Teller`."""

from __future__ import annotations

from ..zoo.system import Face

FACE = Face(
    inputs=("frames: float32[batch, time, 3, 48, 48]",),
    outputs=("tokens", "lengths_out", "scores"),
    lengths=("lengths:time",),
    streaming="off",
)
