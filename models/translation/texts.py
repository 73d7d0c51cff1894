"""The pairs of texts: cleaned, each once, and parted so that no near twin of a held-out text is learnt."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..datasets.catalogues import Message

Part = Literal["train", "validation", "held-out"]
Kind = Literal["office", "name"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A text in both languages.

    Attributes:
        kind: of LibreOffice, or a name.
        english: the source.
        french: the target.
    """

    kind: Kind
    english: str
    french: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A text with all that it may be in French.

    Attributes:
        kind: of LibreOffice, or a name.
        english: the source.
        french: its translations, at least one.
    """

    kind: Kind
    english: str
    french: tuple[str, ...]


#: Characters that are typed in more ways than one; no-break spaces become plain ones with all white space.
REPLACED = {"\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2026": "..."}

#: The longest text, in characters.
LONGEST = 160

#: Of a thousand groups of texts: so many are held out, and so many more are the validation's.
_HELD_OUT, _VALIDATION = 30, 20

_FORBIDDEN = re.compile(r"[^\x20-\u024f\u2000-\u2bff\s]")
_WORDS = re.compile(r"[^\W\d_]+")


def clean(text: str) -> str:
    """A text without the mark of its key on the keyboard (`~File`, `Acc_ept`), in plain quotes and single spaces."""
    text = unicodedata.normalize("NFC", text)
    for old, new in REPLACED.items():
        text = text.replace(old, new)
    for mark in "~_":
        if text.count(mark) == 1:
            text = re.sub(rf"{mark}(?=\w)", "", text)
    return " ".join(text.split())


def choose(kind: Kind, messages: Iterable[Message]) -> list[Pair]:
    """Messages as pairs, each once, without what teaches nothing.

    Left out are texts without a word in lower case (abbreviations, names of functions and keys), of other scripts than
    the Latin one, or longer than :data:`LONGEST`; and names that are the same in both languages.
    """
    pairs: dict[tuple[str, str], Pair] = {}
    for message in messages:
        english, french = clean(message.text), clean(message.translation)
        both = english + french
        if not re.search(r"[a-z]{2}", english) or not french or _FORBIDDEN.search(both):
            continue
        if max(len(english), len(french)) > LONGEST or (kind == "name" and english == french):
            continue
        pairs.setdefault((english, french), Pair(kind=kind, english=english, french=french))
    return list(pairs.values())


def stem(text: str) -> str:
    """What near twins have in common: the words in lower case without accents and a last `s`; no numbers, no signs."""
    plain = "".join(one for one in unicodedata.normalize("NFD", text.lower()) if not unicodedata.combining(one))
    return " ".join(word.removesuffix("s") for word in _WORDS.findall(plain))


def parted(pairs: Iterable[Pair]) -> dict[Part, list[Pair]]:
    """Share pairs out. Those with one stem in either language, and what hangs on them in turn, stay together."""
    pairs = list(pairs)
    group: dict[str, str] = {}

    def root(key: str) -> str:
        while group.setdefault(key, key) != key:
            group[key] = group[group[key]]
            key = group[key]
        return key

    for pair in pairs:
        one, other = sorted((root(f"en {stem(pair.english)}"), root(f"fr {stem(pair.french)}")))
        group[other] = one  # the name of a group is the first of its stems, whatever the order of the pairs
    shares: dict[Part, list[Pair]] = {"train": [], "validation": [], "held-out": []}
    for pair in pairs:
        shares[_part(root(f"en {stem(pair.english)}"))].append(pair)
    return shares


def _part(name: str) -> Part:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % 1000
    if number < _HELD_OUT:
        return "held-out"
    return "validation" if number < _HELD_OUT + _VALIDATION else "train"


def grouped(pairs: Iterable[Pair]) -> list[Asked]:
    """Each source once, with all its translations."""
    found: dict[str, Asked] = {}
    for pair in pairs:
        before = found.get(pair.english)
        french = (*(before.french if before else ()), pair.french)
        found[pair.english] = Asked(kind=before.kind if before else pair.kind, english=pair.english, french=french)
    return list(found.values())
