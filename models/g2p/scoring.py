"""How far from the dictionary a pronunciation is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from ..zoo.edit_distance import edit_distance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Pronunciation = tuple[str, ...]

_STRESS = re.compile(r"[012]$")


class Errors(NamedTuple):
    """What was wrong with a list of words.

    Attributes:
        phonemes: substitutions, insertions and deletions.
        of_phonemes: phonemes of the references.
        words: words with an error.
        of_words: words.
    """

    phonemes: int
    of_phonemes: int
    words: int
    of_words: int

    @property
    def phoneme_rate(self) -> float:
        """Errors a phoneme of the references."""
        return self.phonemes / self.of_phonemes

    @property
    def word_rate(self) -> float:
        """Share of words that are not right."""
        return self.words / self.of_words


def errors(
    said: Sequence[Pronunciation], references: Iterable[Sequence[Pronunciation]], *, stress: bool = True
) -> Errors:
    """Compare what was said of each word with its pronunciations; the nearest one counts.

    Args:
        said: one pronunciation each word.
        references: the word's pronunciations, at least one, by the same order.
        stress: whether a vowel of another stress is another phoneme.

    Raises:
        ValueError: there are more of one than of the other.
    """
    wrong = total = words = 0
    for one, allowed in zip(said, references, strict=True):
        plain = [reference if stress else without_stress(reference) for reference in allowed]
        answer = one if stress else without_stress(one)
        # Of two that are as near, the one of more phonemes; the choice is by share, as the rate itself is.
        distance, length = min(
            ((edit_distance(answer, reference), len(reference)) for reference in plain),
            key=lambda found: (found[0] / found[1], -found[1]),
        )
        wrong, total, words = wrong + distance, total + length, words + (distance > 0)
    return Errors(phonemes=wrong, of_phonemes=total, words=words, of_words=len(said))


def without_stress(pronunciation: Iterable[str]) -> Pronunciation:
    """The same phonemes, vowels without their digit."""
    return tuple(_STRESS.sub("", phoneme) for phoneme in pronunciation)
