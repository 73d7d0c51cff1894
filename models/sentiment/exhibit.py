"""What sentiment analysis shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...runtime.tasks import load_task
from ..zoo.gallery.exhibit import Exhibit, Picture, Text
from ..zoo.gallery.plots import heatmap
from . import data

if TYPE_CHECKING:
    from pathlib import Path

    from ..zoo.gallery.exhibit import Piece

#: Sentences of our own: plain ones, a turn, a negation, a word that no table has, and shouting.
_TEXTS = (
    "The food was wonderful and the staff were kind.",
    "The plot was good, but the acting is not great.",
    "I would not recommend this phone to anyone.",
    "An unwatchablest mess of a film.",
    "Best day EVER!!! :-)",
)
#: Every so manieth held-out text is judged, of those that are not neutral.
_EVERY = 500


def exhibit(bundle: Path) -> Exhibit:
    """Texts with the bundle's judgement, and which words it rests on."""
    held_out = data.load_held_out()
    clear = np.flatnonzero(np.abs(held_out.ratings) >= data.NEUTRAL_BELOW)[::_EVERY].tolist()
    pieces: list[Piece] = []
    with load_task(bundle) as task:
        for number in clear:
            text, rating = held_out.texts[number], held_out.ratings[number]
            about = f"held out, of {held_out.genres[number]}; people said {rating:+.1f} of 4"
            pieces.append(Text(given=text, answer=str(task(text)), about=about))
        for text in _TEXTS:
            found: Any = task(text)
            pieces.append(Text(given=text, answer=str(found)))
            drawn = heatmap(np.array([found.attention]), columns=found.tokens, rows=[found.label])
            pieces.append(
                Picture(png=drawn, about=f"'{text}' is {found.label}: what each word counted, darker is more.")
            )
    return Exhibit(
        about="Whether a text is negative or positive, by a bidirectional GRU, and the attention over its words.",
        pieces=tuple(pieces),
    )
