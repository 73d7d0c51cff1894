"""What the exporter is told of the patient model."""

from __future__ import annotations

from ..datasets.pbcseq import COLUMNS
from ..zoo.system import Face

_VISITS = f"float32[batch, time, {len(COLUMNS)}]"

FACE = Face(
    inputs=(f"values: {_VISITS}", f"observed: {_VISITS}", f"gaps: {_VISITS}"),
    lengths=("lengths",),
    outputs=("risk", "curve"),
    streaming="on",
)
