"""What the lines say: pieces of Moby-Dick, and dates, sums, names and addresses that are made up."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .alphabet import SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

#: Every tenth chapter is for validation, and the one after it for the held-out lines.
_EVERY, _CHOSEN_BY, _UNSEEN = 10, 3, 4

_PLAIN = str.maketrans({"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2014": "-", "\u2013": "-"})
_OTHERS = re.compile(f"[^{re.escape(''.join(SYMBOLS))}]")
#: Shares of lines that are made up, in capitals, and with each word's first letter in capitals.
_MADE_UP, _CAPITALS, _TITLES = 0.3, 0.08, 0.1
_MARKS = "?!;:&*+=#@%$/()-\"'"
_SMALL = "abcdefghijklmnopqrstuvwxyz"
_CAPITAL = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # no I and O, which by themselves may be 1 and 0


def words(chapters: Sequence[str], part: str) -> list[str]:
    """The words of one part of the book, punctuation attached, in order.

    Args:
        chapters: from :func:`rnnx.models.datasets.moby_dick.load`.
        part: ``learnt``, ``chosen_by`` or ``unseen``: chapters that no other part has.
    """
    remainder = {"chosen_by": _CHOSEN_BY, "unseen": _UNSEEN}.get(part)
    mine = [
        text
        for number, text in enumerate(chapters, 1)
        if (number % _EVERY not in {_CHOSEN_BY, _UNSEEN} if remainder is None else number % _EVERY == remainder)
    ]
    return _OTHERS.sub("", "\n".join(mine).translate(_PLAIN).replace("\n", " ")).split()


def line(book: Sequence[str], longest: int, generator: np.random.Generator) -> str:
    """A line of 1 to ``longest`` characters, without spaces at its ends.

    Args:
        book: from :func:`words`.
        longest: characters, from 6.
        generator: of everything.
    """
    if generator.random() < _MADE_UP:
        return _made_up(generator)[:longest].strip()
    wanted = int(generator.integers(1, longest + 1))
    at = int(generator.integers(len(book) - longest))
    text = book[at]
    for word in book[at + 1 : at + longest]:
        if len(text) + 1 + len(word) > wanted:
            break
        text = f"{text} {word}"
    text = text[:longest].strip()
    draw = generator.random()
    if draw < _CAPITALS:
        return text.upper()
    return text.title() if draw < _CAPITALS + _TITLES else text


def _made_up(generator: np.random.Generator) -> str:
    def number(low: int, high: int) -> int:
        return int(generator.integers(low, high))

    def letters(low: int, high: int, alphabet: str = _SMALL) -> str:
        return "".join(alphabet[number(0, len(alphabet))] for _ in range(number(low, high)))

    def mark() -> str:
        return _MARKS[number(0, len(_MARKS))]

    year, month, day = number(1700, 2100), number(1, 13), number(1, 32)
    forms = (
        lambda: f"{year}-{month:02}-{day:02}",
        lambda: f"{day}.{month}.{year}",
        lambda: f"{month}/{day}/{year % 100:02}",
        lambda: f"{number(0, 24)}:{number(0, 60):02}",
        lambda: f"${number(0, 10**6):,}.{number(0, 100):02}",
        lambda: f"{number(0, 1000) / 10}%",
        lambda: f"+{number(1, 99)} ({number(10, 999)}) {number(10**5, 10**7)}",
        lambda: f"#{number(0, 10**5)}",
        lambda: f"{letters(2, 9)}@{letters(3, 8)}.{letters(2, 4)}",
        lambda: f"{letters(1, 4, _CAPITAL)}-{number(0, 10**4)}",
        lambda: f"{number(1, 100)} + {number(1, 100)} = {number(2, 200)}",
        lambda: f"{letters(1, 2)} = {number(0, 10**4) / 100} * {number(2, 20)}",
        lambda: f"{letters(2, 8).title()} & {letters(2, 8).title()}",
        lambda: f"({letters(1, 9)}) {number(0, 100)}",
        lambda: f'"{letters(2, 12)}{_MARKS[number(0, 2)]}"',
        lambda: f"{letters(1, 6)}{mark()}{letters(1, 6)}",
        lambda: letters(2, 12),
        lambda: letters(2, 8, _CAPITAL),
        lambda: str(number(0, 10**9)),
        lambda: f"{number(1, 20)}/{number(2, 20)}{mark()}",
    )
    return forms[number(0, len(forms))]()
