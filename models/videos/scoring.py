"""How clips are given to a teller and judged: exactly right, or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..captions.drawings import Drawings
from ..ragged import pad
from .clips import Part, Story, draw, invent
from .words import SENTENCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Arrays


def feed(clips: Sequence[NDArray[np.uint8]]) -> Arrays:
    """Clips as the model takes them.

    Returns:
        ``frames``: float32 ``(batch, time, 3, 48, 48)``, 0 to 1, black behind each one's end; and ``lengths``.
    """
    frames, lengths = pad(clips)
    return {"frames": frames.astype(np.float32) / np.float32(255), "lengths": lengths}


#: The clips that a teller learns and is judged by.
CLIPS: Drawings[Story, Part] = Drawings(
    invent=invent,
    draw=draw,
    feed=feed,
    sentences=SENTENCES,
    held_out_counts={"seen": 300, "unseen acts": 200, "unseen orders": 200},
)
