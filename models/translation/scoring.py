"""How near translations are to those of people: BLEU and chrF, each over a whole list of texts."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: BLEU counts n-grams of up to four words, chrF of up to six characters.
_WORDS, _CHARACTERS = 4, 6

#: chrF takes recall to be twice as important as precision.
_BETA = 2

#: The tokenizer `13a` of sacreBLEU, which is mteval-v13a's: signs stand apart, points and commas but between digits.
_RULES = tuple(
    (re.compile(pattern), by)
    for pattern, by in (
        (r"([\{-\~\[-\` -\&\(-\+\:-\@\/])", r" \1 "),
        (r"([^0-9])([\.,])", r"\1 \2 "),
        (r"([\.,])([^0-9])", r" \1 \2"),
        (r"([0-9])(-)", r"\1 \2 "),
    )
)


def bleu(said: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU, from 0 to 100, as sacreBLEU computes it without smoothing.

    Papineni, Roukos, Ward and Zhu, "BLEU: a method for automatic evaluation of machine translation", ACL 2002; Post, "A
    call for clarity in reporting BLEU scores", WMT 2018.

    Args:
        said: a translation for each text.
        references: the right ones of each text, at least one, by the same order.

    Raises:
        InputError: there are more of one than of the other, or a text without a reference.
    """
    right, counted = [0] * _WORDS, [0] * _WORDS
    length = expected = 0
    for one, allowed in _together(said, references):
        words, right_words = _tokens(one), [_tokens(text) for text in allowed]
        length += len(words)
        # The length of the reference that is nearest in length; of two the shorter.
        expected += min((abs(len(found) - len(words)), len(found)) for found in right_words)[1]
        for order in range(1, _WORDS + 1):
            found = _grams(words, order)
            most: Counter[tuple[str, ...]] = Counter()
            for reference in right_words:
                most |= _grams(reference, order)
            right[order - 1] += (found & most).total()
            counted[order - 1] += found.total()
    if not all(right):
        return 0.0
    precision = sum(math.log(good / of) for good, of in zip(right, counted, strict=True)) / _WORDS
    return 100 * math.exp(precision + min(0.0, 1 - expected / length))


def chrf(said: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The F-score of character n-grams, from 0 to 100, as sacreBLEU computes it; white space does not count.

    Popović, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015. Of several references the best one
    of each text counts.

    Args:
        said: a translation for each text.
        references: the right ones of each text, at least one, by the same order.

    Raises:
        InputError: there are more of one than of the other, or a text without a reference.
    """
    totals = [(0, 0, 0)] * _CHARACTERS
    for one, allowed in _together(said, references):
        found = max((_matches(one, reference) for reference in allowed), key=_score)
        totals = [(a + x, b + y, c + z) for (a, b, c), (x, y, z) in zip(totals, found, strict=True)]
    return 100 * _score(totals)


def _matches(said: str, reference: str) -> list[tuple[int, int, int]]:
    """For each order the n-grams of what was said, those of the reference, and those of both."""
    one, other = "".join(said.split()), "".join(reference.split())
    counts = []
    for order in range(1, _CHARACTERS + 1):
        left, right = _grams(one, order), _grams(other, order)
        # As sacreBLEU does: where the reference is too short for this order, what was said is not held against it.
        counts.append((left.total() if right else 0, right.total(), (left & right).total()))
    return counts


def _score(counts: Iterable[tuple[int, int, int]]) -> float:
    shares = [(both / said, both / right) for said, right, both in counts if said and right]
    if not shares:
        return 0.0
    precision, recall = (sum(column) / len(shares) for column in zip(*shares, strict=True))
    below = _BETA**2 * precision + recall
    return (1 + _BETA**2) * precision * recall / below if below else 0.0


def _tokens(text: str) -> list[str]:
    text = f" {text} "
    for pattern, by in _RULES:
        text = pattern.sub(by, text)
    return text.split()


def _grams(sequence: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sequence[start : start + order]) for start in range(len(sequence) - order + 1))


def _together(said: Sequence[str], references: Sequence[Sequence[str]]) -> Iterable[tuple[str, Sequence[str]]]:
    if len(said) != len(references) or not all(references):
        raise InputError(
            f"there are {len(said)} translations for {len(references)} texts; one for each is needed, and at least one "
            "reference of each text."
        )
    return zip(said, references, strict=True)
