"""The words of what is told of a clip, and their classes."""

from __future__ import annotations

from ..captions.sentences import Sentences
from ..captions.things import THINGS
from .clips import DOES

#: The word of each class.
WORDS = (
    "<begin>",
    "<end>",
    *("a", "an", "then"),
    *dict.fromkeys(word for does in DOES for word in does.split()),
    *dict.fromkeys(word for thing in THINGS for word in (thing.colour, thing.noun) if word),
)
#: The longest has two events of five words, one that joins them, and the end.
SENTENCES = Sentences(words=WORDS, longest=12)
