"""The vocabulary: words that numbers are made of."""

from __future__ import annotations

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
OTHERS = ("hundred", "thousand", "million", "billion", "oh", "minus", "and")

#: Every word, in the order of the classes that follow the blank.
WORDS = (*DIGITS, *TEENS, *TENS, *OTHERS)
#: The word, or "" for the blank, of each class.
SYMBOLS = ("", *WORDS)
BLANK = 0
_CLASSES = {word: number for number, word in enumerate(SYMBOLS)}


def classes(text: str) -> list[int]:
    """The classes of a text's words.

    Raises:
        KeyError: a word is not in the vocabulary.
    """
    return [_CLASSES[word] for word in text.split()]


def text(classes: list[int]) -> str:
    """The words of classes, blanks left out."""
    return " ".join(SYMBOLS[number] for number in classes if number != BLANK)
