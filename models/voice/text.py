"""What the voice reads: the letters of number words."""

from __future__ import annotations

from ...runtime.tasks.description import Characters
from ..speech.words import WORDS

#: The symbol of each number: nothing (behind a text's end), the end, and what the words are written with.
SYMBOLS = ("", "<end>", " ", *sorted(set("".join(WORDS))))
END = 1

#: Hyphens and commas are not heard: ``forty-two`` is read as ``forty two``.
TOKENIZER = Characters(symbols=SYMBOLS, lower=True, replace={"-": " ", ",": ""}, end=END)
_NUMBERS = {symbol: number for number, symbol in enumerate(SYMBOLS)}


def letters(text: str) -> list[int]:
    """The numbers of a text's letters, and of the end.

    Raises:
        KeyError: a letter is in no word of the vocabulary.
    """
    return [*(_NUMBERS[letter] for letter in text), END]
