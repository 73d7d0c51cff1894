"""Letters and phonemes as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

#: The token of a letter is its place in here: all that the dictionary's words are spelled with.
LETTERS = "'-.abcdefghijklmnopqrstuvwxyz"

#: Ends a pronunciation; stands before its first phoneme.
END, BEGIN = 0, 1

_VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
_CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)

#: ARPAbet: vowels with no stress (0), the main stress (1) and a lesser one (2), and consonants.
PHONEMES = (*(f"{vowel}{stress}" for vowel in _VOWELS for stress in range(3)), *_CONSONANTS)

#: The text of each token of a pronunciation.
SYMBOLS = ("</s>", "<s>", *PHONEMES)

_LETTER = {letter: token for token, letter in enumerate(LETTERS)}
_SYMBOL = {symbol: token for token, symbol in enumerate(SYMBOLS)}


def spell(word: str) -> NDArray[np.int64]:
    """The tokens of a word, int64 ``(letters,)``.

    Raises:
        InputError: it has no letter, or one that is not among :data:`LETTERS`.
    """
    unknown = sorted(set(word) - set(LETTERS))
    if unknown or not word:
        found = f"has {', '.join(map(repr, unknown))}" if unknown else "has no letter"
        raise InputError(f"the word '{word}' {found}; allowed are the letters {LETTERS}.")
    return np.array([_LETTER[letter] for letter in word], dtype=np.int64)


def tokens(phonemes: Iterable[str]) -> NDArray[np.int64]:
    """The tokens of a pronunciation with the ending one, int64 ``(phonemes + 1,)``.

    Raises:
        KeyError: there is no such phoneme.
    """
    return np.array([*(_SYMBOL[one] for one in phonemes), END], dtype=np.int64)


def say(answer: Sequence[int]) -> tuple[str, ...]:
    """The phonemes of tokens; a token before the first phoneme, which a model may still say, is shown as it is."""
    return tuple(SYMBOLS[token] for token in answer)
