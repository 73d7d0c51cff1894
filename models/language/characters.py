"""The characters that the language model knows."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.read_kinds import Characters
from ...runtime.tasks.tokenizers import encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Stands for every character that is not in the table.
UNKNOWN = "\ufffd"

#: The table, by id: the characters that occur at least ten times in the chapters the model learned from, in the order
#: of their code points, and before them the one for all others (in the whole book ``$ & [ ]``, twice each).
SYMBOLS = (
    UNKNOWN,
    *"\n !\"'()*,-.",
    *string.digits,
    *":;?",
    *string.ascii_uppercase,
    *string.ascii_lowercase,
    "\u2014",
)

#: The book's quotation marks are typewriter's ones, and its dash is long; other forms of them mean the same.
REPLACED = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "\u2014", "\t": " "}

#: How text becomes ids, here and in the bundle.
TOKENIZER = Characters(symbols=SYMBOLS, replace=REPLACED, unknown=0)


def encode(text: str) -> NDArray[np.int64]:
    """Characters -> ids int64 ``(characters,)``; 0 where the table has none.

    Raises:
        InputError: the text is empty.
    """
    return np.array(encoder(TOKENIZER).encode(text), dtype=np.int64)
