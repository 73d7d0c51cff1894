"""Rated texts: which are learned from, which choose, which judge, and what is called good or bad."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...atomic import write_atomically
from ..datasets.vader import GENRES, Snippet, load_lexicon, load_snippets
from .words import split

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

HELD_OUT = Path(__file__).with_name("held_out.npz")

Part = Literal["training", "validation", "held out"]

#: A text is neutral, and not judged, where its mean rating is nearer to 0 than this. At least 20 people rated each,
#: and their ratings differ by about 1, so a mean is known to about 0.2: within half a point its sign is chance.
NEUTRAL_BELOW = 0.5
#: What is said plainly.
STRONG_FROM = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """Texts to be judged.

    Attributes:
        texts: as people saw them; none has a mean rating of exactly 0.
        ratings: float32 ``(texts,)``, mean ratings from -4 to 4.
        genres: the genre of each.
        by_lexicon: float32 ``(texts,)``, the sum of the valences of each text's words: what the lexicon says alone.
    """

    texts: tuple[str, ...]
    ratings: NDArray[np.float32]
    genres: tuple[str, ...]
    by_lexicon: NDArray[np.float32]


def part_of(snippet: Snippet) -> Part:
    """Where a text belongs: by the hash of its review, editorial or tweet, so that none is on two sides."""
    digest = hashlib.sha256(f"{snippet.genre}/{snippet.source}".encode()).hexdigest()
    place = int(digest, 16) % 1000
    return "held out" if place < 150 else "validation" if place < 225 else "training"


def parts(snippets: Iterable[Snippet]) -> dict[Part, list[Snippet]]:
    """The three parts. Of texts with the same words the first alone is taken, so that none is in two parts."""
    found: dict[Part, list[Snippet]] = {"training": [], "validation": [], "held out": []}
    seen: set[tuple[str, ...]] = set()
    for snippet in snippets:
        words = tuple(split(snippet.text))
        if words and words not in seen:
            seen.add(words)
            found[part_of(snippet)].append(snippet)
    return found


def to_held_out(snippets: Iterable[Snippet], lexicon: dict[str, float]) -> HeldOut:
    """Texts to be judged; those whose mean rating is exactly 0 have no sign and are left out."""
    kept = [one for one in snippets if one.rating != 0]
    sums = [sum(lexicon.get(word, 0.0) for word in split(one.text)) for one in kept]
    return HeldOut(
        texts=tuple(one.text for one in kept),
        ratings=np.array([one.rating for one in kept], dtype=np.float32),
        genres=tuple(one.genre for one in kept),
        by_lexicon=np.array(sums, dtype=np.float32),
    )


def write_held_out(folder: Path | None, path: Path = HELD_OUT) -> None:
    """Make the committed file again; the same package gives the same bytes where zlib compresses alike.

    Args:
        folder: holds the unpacked package; None where it is installed.
        path: the file to write.

    Raises:
        MissingDataError: the package is not there.
    """
    found = to_held_out(parts(load_snippets(folder))["held out"], load_lexicon(folder))
    encoded = [text.encode() for text in found.texts]
    content = io.BytesIO()
    np.savez_compressed(
        content,
        text=np.frombuffer(b"".join(encoded), dtype=np.uint8),
        lengths=np.array([len(one) for one in encoded], dtype=np.int64),
        ratings=found.ratings,
        genres=np.array([list(GENRES).index(genre) for genre in found.genres], dtype=np.uint8),
        by_lexicon=found.by_lexicon,
    )
    write_atomically(path, content.getvalue())


def load_held_out(path: Path = HELD_OUT) -> HeldOut:
    """Read the committed texts.

    Raises:
        FileNotFoundError: there is no file at ``path``.
    """
    with np.load(path, allow_pickle=False) as archive:
        content = archive["text"].tobytes()
        ends = np.cumsum(archive["lengths"]).tolist()
        return HeldOut(
            texts=tuple(content[start:end].decode() for start, end in zip([0, *ends[:-1]], ends, strict=True)),
            ratings=archive["ratings"],
            genres=tuple(list(GENRES)[number] for number in archive["genres"]),
            by_lexicon=archive["by_lexicon"],
        )
