"""The words that the sentiment model knows, and how a text is cut into them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from ...runtime.tasks.read_kinds import Words
from ...runtime.tasks.tokenizers import longest_pieces, replaced

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

WORDS = Path(__file__).with_name("words.txt")

#: Words (with their apostrophes), numbers, emoticons, runs of one punctuation mark, and any other sign alone.
PATTERN = (
    r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[:;=8xX]['\-]?[)(\]\[DdPp/\\|*]+(?!\w)|<3|(?P<mark>[!?.,])(?P=mark)*|[^\w\s]|_+"
)
#: Tweets and reviews carry HTML's escapes; typographic quotes are typewriter's ones.
REPLACED = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
}
#: Ids of nothing (what fills a batch up) and of characters that no word or piece fits.
NOTHING, UNKNOWN = 0, 1
#: What stands before a piece that goes on with a word.
CONTINUING = "##"

#: A word gets a row of its own in the table of embeddings if it stands in so many training texts; a beginning or
#: ending, if so many different words have it.
_LEAST_TEXTS = 2
_LEAST_WORDS = 40
_LONGEST_PIECE = 6


def load_words(path: Path = WORDS) -> tuple[tuple[str, ...], int]:
    """Read the committed table.

    Returns:
        The symbol of each id; and how many of the first have an embedding of their own. The others are words of the
        lexicon that training never showed.
    """
    own, others = path.read_text(encoding="utf-8").split("\n\n")
    symbols = ("", "\ufffd", *own.split("\n"))
    return (*symbols, *others.split()), len(symbols)


def save_words(own: Iterable[str], others: Iterable[str], path: Path = WORDS) -> None:
    """Write the table: symbols with an embedding of their own, an empty line, and words without."""
    path.write_text("\n".join(own) + "\n\n" + "\n".join(others) + "\n", encoding="utf-8")


def tokenizer(symbols: tuple[str, ...]) -> Words:
    """How a text becomes ids: words in lower case, unknown ones in pieces."""
    return Words(pattern=PATTERN, symbols=symbols, lower=True, replace=REPLACED, continuing=CONTINUING, unknown=UNKNOWN)


def split(text: str) -> list[str]:
    """The words of a text in lower case, known or not."""
    ready = replaced(REPLACED, "NFC", text)
    return [match.group().lower() for match in re.finditer(PATTERN, ready)]


def choose_words(texts: Iterable[str], lexicon: Collection[str]) -> tuple[list[str], list[str]]:
    """Make the table from what is learned from.

    Args:
        texts: of training.
        lexicon: words whose valence is known.

    Returns:
        Symbols with an embedding of their own: words of at least two texts, and pieces for all other words; and the
        words of the lexicon beside them.
    """
    found = Counter(word for text in texts for word in set(split(text)))
    words = sorted(word for word, count in found.items() if count >= _LEAST_TEXTS)
    letters = Counter(letter for word in found for letter in word)
    pieces = Counter(
        piece for word in found if word.isalpha() for cut in range(1, len(word)) for piece in (word[:cut], word[cut:])
    )
    beginnings, endings = set(letters), {CONTINUING + letter for letter in letters}
    for word in found:
        for cut in range(2, len(word)) if word.isalpha() else ():
            if cut <= _LONGEST_PIECE and pieces[word[:cut]] >= _LEAST_WORDS:
                beginnings.add(word[:cut])
            if len(word) - cut <= _LONGEST_PIECE and pieces[word[cut:]] >= _LEAST_WORDS:
                endings.add(CONTINUING + word[cut:])
    own = [*words, *sorted((beginnings | endings) - set(words))]
    return own, sorted({word for word in lexicon if split(word) == [word]} - set(own))


def cut_apart(symbols: tuple[str, ...]) -> dict[int, list[int]]:
    """For each word of the table the ids of the pieces that it would be cut into, were it not there."""
    known = {symbol: number for number, symbol in enumerate(symbols) if symbol}
    longest = max(map(len, known))
    found = {}
    for number, word in enumerate(symbols):
        if word.isalpha():
            del known[word]
            pieces = longest_pieces(word, known, longest, CONTINUING)
            found[number] = [known.get(piece, UNKNOWN) for piece in pieces]
            known[word] = number
    return found
