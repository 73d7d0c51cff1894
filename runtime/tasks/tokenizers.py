"""Text to ids. One class for each tokenizer of :mod:`rnnx.runtime.tasks.read_kinds`, made by :func:`encoder`."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Protocol

from ...errors import InputError
from .read_kinds import Characters, Letters, Pieces, TextRead, Words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: How many unknown characters or words a message names, and how many places of each.
_NAMED, _PLACES = 8, 3

#: What stands for the space before a word in pieces.
SPACE = "▁"


class Encoder(Protocol):
    """A tokenizer at work."""

    def encode(self, text: str) -> list[int]:
        """The id of each token, ``begin`` and ``end`` among them; InputError where the text is empty or unknown."""
        ...

    def tokens(self, text: str) -> list[str]:
        """The text of each of these ids, as it stands in the text; empty for ``begin`` and ``end``."""
        ...

    def known(self, text: str) -> list[tuple[str, bool]]:
        """What is looked up, and whether there is an id of its own for it; what reads letters alone looks them up."""
        ...


def encoder(tokenizer: Characters | Words | Pieces) -> CharacterEncoder | WordEncoder | PieceEncoder:
    """The tokenizer at work."""
    match tokenizer:
        case Characters():
            return CharacterEncoder(tokenizer)
        case Words():
            return WordEncoder(tokenizer)
        case Pieces():
            return PieceEncoder(tokenizer)


class CharacterEncoder:
    """A text as its characters."""

    def __init__(self, kind: Characters) -> None:
        """Take over a description."""
        self._kind = kind
        self._ids = {one: number for number, one in enumerate(kind.symbols) if len(one) == 1}

    def encode(self, text: str) -> list[int]:
        """See :class:`Encoder`.

        Raises:
            InputError: the text is empty, or has characters that are refused.
        """
        found = prepared(self._kind, text)
        ids = _looked_up(found, self._ids, self._kind.unknown, "character")
        return _framed(self._kind, ids)

    def tokens(self, text: str) -> list[str]:
        """See :class:`Encoder`."""
        return _framed_text(self._kind, list(prepared(self._kind, text)))

    def known(self, text: str) -> list[tuple[str, bool]]:
        """See :class:`Encoder`."""
        return [(one, one in self._ids) for one in prepared(self._kind, text)]


class WordEncoder:
    """A text as its words, whole or in pieces, and the letters of them."""

    def __init__(self, kind: Words) -> None:
        """Take over a description."""
        self._kind = kind
        self._pattern = re.compile(kind.pattern)
        self._ids = {one: number for number, one in enumerate(kind.symbols) if one}
        self._longest = max(map(len, self._ids), default=0)
        self._letters = {} if kind.letters is None else {
            one: number for number, one in enumerate(kind.letters.symbols) if len(one) == 1
        }  # fmt: skip

    def encode(self, text: str) -> list[int]:
        """See :class:`Encoder`.

        Raises:
            InputError: the text has no words, or has words that are refused.
        """
        what = "word" if self._kind.continuing is None else "piece"
        return _framed(self._kind, _looked_up(self._keys(text), self._ids, self._kind.unknown, what))

    def tokens(self, text: str) -> list[str]:
        """See :class:`Encoder`."""
        return _framed_text(self._kind, self._words(text) if self._kind.continuing is None else self._keys(text))

    def known(self, text: str) -> list[tuple[str, bool]]:
        """See :class:`Encoder`."""
        if not self._ids:
            return [(one, one in self._letters) for one in "".join(self._words(text))]
        mark = self._kind.continuing or ""
        return [
            (one, True)
            if one in self._ids or any(letter in self._letters for letter in one)
            else (one.removeprefix(mark), False)
            for one in self._keys(text)
        ]

    def letters(self, text: str) -> list[list[int]]:
        """The ids of each word's characters, not padded; words longer than ``most`` are cut.

        Raises:
            InputError: the text has no words, or has characters that are refused.
        """
        kind = self._kind.letters
        if kind is None:
            raise InputError("this tokenizer has no letters.")
        found = [_spelled(kind, one, self._letters) for one in self._words(text)]
        # A word that is put before or behind the others has no characters.
        return [*[[]] * (self._kind.begin is not None), *found, *[[]] * (self._kind.end is not None)]

    def _words(self, text: str) -> list[str]:
        ready = replaced(self._kind.replace, self._kind.normal_form, text)
        found = [match.group() for match in self._pattern.finditer(ready) if match.group()]
        if not found:
            told = "is empty" if not ready.strip() else f"{_short(ready)} has no word that '{self._kind.pattern}' finds"
            raise InputError(f"the text {told}. Give at least one word.")
        return found

    def _key(self, word: str) -> str:
        return word.lower() if self._kind.lower else word

    def _keys(self, text: str) -> list[str]:
        """The words, or their pieces, as they are looked up."""
        words = [self._key(one) for one in self._words(text)]
        mark = self._kind.continuing
        if mark is None:
            return words
        return [piece for word in words for piece in longest_pieces(word, self._ids, self._longest, mark)]


class PieceEncoder:
    """A text as pieces that know of the spaces before them."""

    def __init__(self, kind: Pieces) -> None:
        """Take over a description."""
        self._kind = kind
        self._ids = {one: number for number, one in enumerate(kind.symbols) if one}
        self._longest = max(map(len, self._ids), default=0)

    def encode(self, text: str) -> list[int]:
        """See :class:`Encoder`.

        Raises:
            InputError: the text is empty, or has characters that are refused.
        """
        return _framed(self._kind, _looked_up(self._cut(text), self._ids, self._kind.unknown, "piece"))

    def tokens(self, text: str) -> list[str]:
        """See :class:`Encoder`."""
        return _framed_text(self._kind, self._cut(text))

    def known(self, text: str) -> list[tuple[str, bool]]:
        """See :class:`Encoder`."""
        return [(one, one in self._ids) for one in self._cut(text)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of these ids, without a space before it."""
        return "".join(self._kind.symbols[one] for one in ids).replace(SPACE, " ").strip()

    def _cut(self, text: str) -> list[str]:
        words = prepared(self._kind, text).split()
        if not words:
            raise InputError("the text is empty. Give at least one word.")
        return longest_pieces("".join(SPACE + one for one in words), self._ids, self._longest, "")


def check_text(read: TextRead, text: str) -> None:
    """Refuse a text of which a model knows nothing, though it has an id for what it does not know, and one too long.

    Raises:
        InputError: nothing but what lies between words is known, there is more than ``most``, or the text is empty.
    """
    made = encoder(read.tokenizer)
    count = sum(map(bool, made.tokens(text)))
    if read.most is not None and count > read.most:
        what = {"characters": "characters", "words": "words", "pieces": "pieces of words"}[read.tokenizer.kind]
        which = f"the word {_short(text)}" if read.split else "the text"
        raise InputError(f"{which} has {count} {what}; the model takes at most {read.most}. Cut it.")
    told = [known for one, known in made.known(text) if _says(one)]
    # Without an id for it, what is not known is refused when it is looked up, each by its place.
    if _tolerant(read.tokenizer) and told and not any(told):
        raise InputError(
            f"the model knows nothing of the text {_short(text)}: {named(unknown(made, text))} would all be read as "
            "the same. Give a text of the kind that it learned from."
        )


def unknown(made: Encoder, text: str) -> tuple[str, ...]:
    """What of a text is read as unknown, each once, in order; spaces left out."""
    return tuple(dict.fromkeys(one for one, known in made.known(text) if not known and _says(one)))


def _tolerant(kind: Characters | Words | Pieces) -> bool:
    letters = kind.letters if isinstance(kind, Words) else None
    return kind.unknown is not None or (letters is not None and letters.unknown is not None)


def _says(token: str) -> bool:
    """Whether there is more to it than spaces."""
    return bool(token.strip().strip(SPACE))


def named(tokens: Sequence[str]) -> str:
    """The first few for a message, and how many more there are."""
    more = f" and {len(tokens) - _NAMED} more" if len(tokens) > _NAMED else ""
    return ", ".join(map(repr, tokens[:_NAMED])) + more


def prepared(kind: Characters | Words | Pieces, text: str) -> str:
    """A text as its tokenizer looks at it: replaced, in its normal form, in lower case if wanted.

    Raises:
        InputError: it is empty.
    """
    ready = replaced(kind.replace, kind.normal_form, text)
    if kind.lower:
        ready = ready.lower()
    if not ready:
        raise InputError("the text is empty. Give at least one character.")
    return ready


def replaced(table: Mapping[str, str], normal_form: str | None, text: str) -> str:
    """A text with what the table replaces, in the normal form.

    Raises:
        InputError: it is no text, or holds half of a character.
    """
    if not isinstance(text, str):
        raise InputError(f"a text is asked for, and {type(text).__name__} was given. Pass a str.")
    half = next((place for place, one in enumerate(text, 1) if "\ud800" <= one <= "\udfff"), None)
    if half is not None:  # as Python reads bytes of a command line that are no UTF-8
        raise InputError(f"character {half} of the text, {text[half - 1]!r}, is half of one. Give the text in UTF-8.")
    for old, new in table.items():
        text = text.replace(old, new)
    return text if normal_form is None else unicodedata.normalize(normal_form, text)  # type: ignore[arg-type]


def longest_pieces(word: str, known: Mapping[str, int], longest: int, continuing: str) -> list[str]:
    """A word cut from the left into the longest pieces that are known; one character where none is.

    Args:
        word: it.
        known: the pieces.
        longest: length of the longest of them.
        continuing: what stands before every piece but the first.
    """
    pieces, start = [], 0
    while start < len(word):
        mark = continuing if start else ""
        for size in range(min(longest, len(word) - start), 0, -1):
            if mark + word[start : start + size] in known:
                break
        else:
            size = 1
        pieces.append(mark + word[start : start + size])
        start += size
    return pieces


def _spelled(kind: Letters, word: str, ids: Mapping[str, int]) -> list[int]:
    return _looked_up(word if kind.most is None else word[: kind.most], ids, kind.unknown, "character")


def _looked_up(found: Sequence[str], ids: Mapping[str, int], unknown: int | None, what: str) -> list[int]:
    """The id of each; those that are not known become ``unknown``.

    Raises:
        InputError: some are not known, and there is no id for them.
    """
    missing: dict[str, list[int]] = {}
    if unknown is None:
        for place, one in enumerate(found):
            if one not in ids:
                missing.setdefault(one, []).append(place + 1)
    if missing:
        standing = ", ".join(
            f"{one!r} (at {', '.join(map(str, places[:_PLACES]))}{', ...' if len(places) > _PLACES else ''})"
            for one, places in list(missing.items())[:_NAMED]
        )
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise InputError(
            f"the text has {what}s that the model does not know: {standing}{more}, counted from 1. "
            f"It knows {len(ids)} {what}s{_listed(ids)}. Give a text of these."
        )
    otherwise = -1 if unknown is None else unknown  # None was refused above, where it would count
    return [ids.get(one, otherwise) for one in found]


def _listed(ids: Mapping[str, int]) -> str:
    """The characters that there are, where they are few enough to be read."""
    return ": " + repr("".join(ids)) if len(ids) <= 100 and all(len(one) == 1 for one in ids) else ""


def _framed(kind: Characters | Words | Pieces, ids: list[int]) -> list[int]:
    return [*([] if kind.begin is None else [kind.begin]), *ids, *([] if kind.end is None else [kind.end])]


def _framed_text(kind: Characters | Words | Pieces, tokens: list[str]) -> list[str]:
    return [*[""] * (kind.begin is not None), *tokens, *[""] * (kind.end is not None)]


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
