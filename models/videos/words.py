"""The words of what is told of a clip, and their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ..captions.things import THINGS
from .clips import DOES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Classes that are no words: what stands before the first word, and what ends a sentence.
BEGIN, END = 0, 1
#: The word of each class.
WORDS = (
    "<begin>",
    "<end>",
    *("a", "an", "then"),
    *dict.fromkeys(word for does in DOES for word in does.split()),
    *dict.fromkeys(word for thing in THINGS for word in (thing.colour, thing.noun) if word),
)
#: Most words of a sentence, its end among them: two events of five words, and one that joins them.
LONGEST = 12

_CLASSES = {word: index for index, word in enumerate(WORDS)}


def encode_all(captions: Iterable[str]) -> NDArray[np.int64]:
    """Sentences as rows of :data:`LONGEST` classes; the end fills them up.

    Raises:
        InputError: a word is not among :data:`WORDS`.
    """
    rows = []
    for caption in captions:
        strange = [word for word in caption.split() if word not in _CLASSES]
        if strange:
            raise InputError(f"{strange} are no words of what is told; see rnnx.models.videos.words.WORDS.")
        row = [_CLASSES[word] for word in caption.split()]
        rows.append(row + [END] * (LONGEST - len(row)))
    return np.array(rows, dtype=np.int64)


def decode(classes: Iterable[int]) -> str:
    """The words before the end."""
    words = []
    for index in classes:
        if index == END:
            break
        words.append(WORDS[index])
    return " ".join(words)
