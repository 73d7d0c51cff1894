"""Sentences of a few known words, as rows of classes; for scenes and for clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: Classes that are no words: what stands before a sentence's first word, and what ends it.
BEGIN, END = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Sentences:
    """The sentences that can be said.

    Attributes:
        words: the word of each class; the first two stand for :data:`BEGIN` and :data:`END`.
        longest: most words of a sentence, its end among them.
    """

    words: tuple[str, ...]
    longest: int

    def encode(self, sentences: Iterable[str]) -> NDArray[np.int64]:
        """Sentences as rows of :attr:`longest` classes; the end fills them up.

        Raises:
            InputError: a word is not known, or a sentence is too long.
        """
        classes = {word: index for index, word in enumerate(self.words)}
        rows = []
        for sentence in sentences:
            words = sentence.split()
            strange = [word for word in words if word not in classes]
            if strange:
                raise InputError(f"{strange} are no words that these sentences have; see 'words' for the known ones.")
            if len(words) >= self.longest:
                raise InputError(f"'{sentence}' has {len(words)} words; {self.longest - 1} are the most.")
            rows.append([classes[word] for word in words] + [END] * (self.longest - len(words)))
        return np.array(rows, dtype=np.int64)

    def decode(self, classes: Iterable[int]) -> str:
        """The words before the end."""
        words = []
        for index in classes:
            if index == END:
                break
            words.append(self.words[index])
        return " ".join(words)
