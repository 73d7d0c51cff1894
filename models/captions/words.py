"""The words of the captions, and their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from .things import THINGS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Classes that are no words: what ends a caption, and what stands before its first word.
BEGIN, END = 0, 1
_OTHERS = ("a", "an", "two", "three", "left", "right", "top", "bottom", "middle", "corner", "above", "of", "in", "the")
#: The word of each class.
WORDS = (
    "<begin>",
    "<end>",
    *_OTHERS,
    *dict.fromkeys(word for thing in THINGS for word in (thing.colour, thing.noun, thing.plural) if word),
)
#: Most words of a caption, its end among them.
LONGEST = 10

_CLASSES = {word: index for index, word in enumerate(WORDS)}


def encode(caption: str) -> list[int]:
    """The classes of a caption's words, and the end.

    Raises:
        InputError: a word is not among :data:`WORDS`.
    """
    strange = [word for word in caption.split() if word not in _CLASSES]
    if strange:
        raise InputError(f"{strange} are no words of a caption; see rnnx.models.captions.words.WORDS.")
    return [*(_CLASSES[word] for word in caption.split()), END]


def encode_all(captions: Iterable[str]) -> NDArray[np.int64]:
    """Captions as rows of :data:`LONGEST` classes; the end fills them up."""
    rows = [encode(caption) for caption in captions]
    return np.array([row + [END] * (LONGEST - len(row)) for row in rows], dtype=np.int64)


def decode(classes: Iterable[int]) -> str:
    """The words before the end."""
    words = []
    for index in classes:
        if index == END:
            break
        words.append(WORDS[index])
    return " ".join(words)
