"""What the language model shows in the gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks import load_task
from ..zoo.gallery.exhibit import Exhibit, Text

if TYPE_CHECKING:
    from pathlib import Path

#: Beginnings, the temperature of what follows, and its seed.
_WRITTEN = (
    ("Call me Ishmael. ", 0.5, 0),
    ("Call me Ishmael. ", 0.8, 0),
    ("The whale ", 0.5, 1),
    ('"Captain Ahab," said Starbuck, ', 0.7, 2),
    ("CHAPTER 136. ", 0.7, 3),
)
_LENGTH = 400


def exhibit(bundle: Path) -> Exhibit:
    """Texts that the bundle writes, character by character."""
    pieces = []
    with load_task(bundle) as task:
        for begun, temperature, seed in _WRITTEN:
            written = task(begun, length=_LENGTH, temperature=temperature, seed=seed)
            pieces.append(Text(given=begun, answer=str(written), about=f"temperature {temperature}, seed {seed}"))
    return Exhibit(
        about="Text in the manner of Moby-Dick, one character at a time by a streaming LSTM that has read the book's "
        "first 115 chapters and nothing else: it learned English words from them too.",
        pieces=tuple(pieces),
    )
