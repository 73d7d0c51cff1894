"""The words of the captions, and their classes."""

from __future__ import annotations

from .sentences import Sentences
from .things import THINGS

_OTHERS = ("a", "an", "two", "three", "left", "right", "top", "bottom", "middle", "corner", "above", "of", "in", "the")
#: The word of each class.
WORDS = (
    "<begin>",
    "<end>",
    *_OTHERS,
    *dict.fromkeys(word for thing in THINGS for word in (thing.colour, thing.noun, thing.plural) if word),
)
SENTENCES = Sentences(words=WORDS, longest=10)
