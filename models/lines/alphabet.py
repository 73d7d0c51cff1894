"""The characters that `LineReader` knows, and their classes."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

#: What class 0 stands for: no character.
BLANK = 0
#: The text of each class; the blank's is empty.
SYMBOLS = ("", " ", *string.ascii_lowercase, *string.ascii_uppercase, *string.digits, *".,;:!?'\"-()&/%$#@+=*")

_CLASSES = {symbol: index for index, symbol in enumerate(SYMBOLS) if symbol}


def encode(text: str) -> NDArray[np.int64]:
    """The class of each character, ``(characters,)``.

    Raises:
        InputError: a character is not among :data:`SYMBOLS`.
    """
    strange = sorted({symbol for symbol in text if symbol not in _CLASSES})
    if strange:
        raise InputError(f"{strange} cannot be written here; the characters are {''.join(SYMBOLS)!r}.")
    return np.array([_CLASSES[symbol] for symbol in text], dtype=np.int64)


def decode(classes: Iterable[int]) -> str:
    """The text of some classes."""
    return "".join(SYMBOLS[index] for index in classes)
