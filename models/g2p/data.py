"""The dictionary's words: which are learnt from, which choose, and which are held out (see `DATA.md`)."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..seq2seq.teaching import Pairs
from .symbols import SYMBOLS, spell, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Pronunciations by word.
Words = dict[str, tuple[tuple[str, ...], ...]]

Part = Literal["train", "validation", "held-out"]

HELD_OUT = Path(__file__).with_name("held_out.npz")

#: Of a thousand word stems: so many are held out, and so many more are the validation's.
_HELD_OUT, _VALIDATION = 20, 10

_POSSESSIVE = re.compile(r"'s?$")
_NO_LETTER = re.compile(r"[^a-z]")


def part(word: str) -> Part:
    """Where a word belongs; all its pronunciations go there.

    Words that differ in a possessive ending, in points or in hyphens alone (`smith`, `smith's`) go together,
    or a word would be held out that was all but learnt.
    """
    stem = _NO_LETTER.sub("", _POSSESSIVE.sub("", word))
    number = int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8]) % 1000
    if number < _HELD_OUT:
        return "held-out"
    return "validation" if number < _HELD_OUT + _VALIDATION else "train"


def select(words: Mapping[str, tuple[tuple[str, ...], ...]], wanted: Part) -> Words:
    """The words of one part, in their order."""
    return {word: pronunciations for word, pronunciations in words.items() if part(word) == wanted}


def pairs(words: Words) -> Pairs:
    """What to teach: each word as often as it has pronunciations."""
    both = [(spell(word), tokens(one)) for word, pronunciations in words.items() for one in pronunciations]
    return Pairs(sources=tuple(word for word, _ in both), targets=tuple(said for _, said in both))


def pack(words: Words) -> bytes:
    """Words as the file that is committed: the same words give the same bytes where zlib compresses alike."""
    said = [(row, tokens(one)[:-1]) for row, pronunciations in enumerate(words.values()) for one in pronunciations]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        words=np.array(list(words)),
        word=np.array([row for row, _ in said], dtype=np.int32),
        lengths=np.array([len(one) for _, one in said], dtype=np.int32),
        phonemes=np.concatenate([one for _, one in said]).astype(np.uint8),
    )
    return content.getvalue()


def load(path: Path = HELD_OUT) -> Words:
    """Read the words that are committed: those held out.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    with np.load(path, allow_pickle=False) as archive:
        words: Words = {str(word): () for word in archive["words"]}
        spelled = list(words)
        pronunciations = np.split(archive["phonemes"], np.cumsum(archive["lengths"])[:-1])
        for row, one in zip(archive["word"], pronunciations, strict=True):
            words[spelled[row]] += (tuple(SYMBOLS[token] for token in one),)
    return words
