"""How scenes are given to a captioner and judged: exactly right, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .drawings import Drawings
from .scenes import Part, Scene, draw, invent
from .words import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Arrays


def feed(images: Sequence[NDArray[np.uint8]]) -> Arrays:
    """Images as the model takes them: float32 ``(batch, 3, 64, 64)``, 0 to 1."""
    return {"image": np.stack(images).astype(np.float32) / np.float32(255)}


#: The scenes that a captioner learns and is judged by.
SCENES: Drawings[Scene, Part] = Drawings(
    invent=invent,
    draw=draw,
    feed=feed,
    sentences=SENTENCES,
    held_out_counts={"seen": 400, "unseen pairs": 200, "unseen counts": 200, "unseen colours": 200},
)
