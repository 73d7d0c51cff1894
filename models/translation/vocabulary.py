"""Pieces of words, learnt by byte pair encoding."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from ...runtime.tasks.tokenizers import SPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Letters with an apostrophe behind them (`l'`), a digit, or any one sign; each with the space before it.
_UNIT = re.compile(rf"{SPACE}?(?:[^\W\d_]+'?|[^\s{SPACE}])|{SPACE}")


def learn(texts: Iterable[str], count: int, *, least: int = 5) -> tuple[str, ...]:
    """Learn pieces: single characters first, then ever again the most frequent pair of neighbours as one.

    Sennrich, Haddow and Birch, "Neural machine translation of rare words with subword units", ACL 2016. Pieces do not
    go beyond a word, a digit or a sign.

    Args:
        texts: what to learn from.
        count: how many pieces there may be.
        least: a character that occurs less often, or a pair, becomes no piece.
    """
    units = Counter(unit for text in texts for unit in _UNIT.findall("".join(SPACE + word for word in text.split())))
    cut = {unit: list(unit) for unit in units}
    characters: Counter[str] = Counter()
    pairs: Counter[tuple[str, str]] = Counter()
    where: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for unit, times in units.items():
        for character in unit:
            characters[character] += times
        for pair in pairwise(unit):
            pairs[pair] += times
            where[pair].add(unit)
    pieces = [one for one, times in characters.most_common() if times >= least][:count]
    while len(pieces) < count and pairs:
        # Of pairs that are as frequent the first by name, so that the same texts give the same pieces.
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < least:
            break
        pieces.append("".join(best))
        for unit in where.pop(best):
            before, after = cut[unit], _merged(cut[unit], best)
            cut[unit] = after
            for pair in pairwise(before):
                pairs[pair] -= units[unit]
            for pair in pairwise(after):
                pairs[pair] += units[unit]
                where[pair].add(unit)
        del pairs[best]
    return tuple(pieces)


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    found: list[str] = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found
