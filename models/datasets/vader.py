"""Rated sentences and the rated words of VADER, as the Python package `vaderSentiment` carries them (MIT).

C. J. Hutto and E. Gilbert (2014). "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text".
Eighth International Conference on Weblogs and Social Media.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .packages import Package, find

if TYPE_CHECKING:
    from pathlib import Path

_ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
_LEXICON = "vaderSentiment/vader_lexicon.txt"

#: Rated sentences and rated words; the wheel of the package has only the words.
PACKAGE = Package(
    kind="sdist",
    name="vaderSentiment",
    version="3.3.2",
    licence="MIT",
    files={
        _ARCHIVE: "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa",
        _LEXICON: "1ec9c6e9ee19aade328f8beb393a6afa71a5bb3acf7d3cc22d4ef568df374bf5",
    },
)

#: The kinds of text, and their files in the archive.
GENRES = {
    "products": "amazonReviewSnippets_GroundTruth.txt",
    "movies": "movieReviewSnippets_GroundTruth.txt",
    "editorials": "nytEditorialSnippets_GroundTruth.txt",
    "tweets": "tweets_GroundTruth.txt",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Snippet:
    """A sentence, or a few, that at least 20 people rated.

    Attributes:
        genre: one of :data:`GENRES`.
        source: which review, editorial or tweet it is from: the same for all sentences of one, within its genre.
        rating: the mean of what people said, from -4, extremely negative, to 4, extremely positive.
        text: as it was shown to them.
    """

    genre: str
    source: str
    rating: float
    text: str


def load_snippets(folder: Path | None = None) -> tuple[Snippet, ...]:
    """Read all rated sentences: 3,708 of product reviews, 10,605 of movie reviews, 5,190 of editorials, 4,200 tweets.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    found = []
    with tarfile.open(find(PACKAGE, folder)[_ARCHIVE]) as archive:
        for genre, name in GENRES.items():
            file = archive.extractfile(f"hutto_ICWSM_2014/{name}")
            assert file is not None, name  # the archive's hash was checked
            for line in file.read().decode().splitlines():
                number, rating, text = line.split("\t")
                # Sentences are numbered `review_sentence`; movie reviews and tweets are one snippet each.
                source = number.split("_")[0]
                found.append(Snippet(genre=genre, source=source, rating=float(rating), text=text.strip()))
    return tuple(found)


def load_lexicon(folder: Path | None = None) -> dict[str, float]:
    """Read the rated words: what ten people said of each alone, from -4 to 4, on average.

    Args:
        folder: holds the unpacked package; None where it is installed.

    Returns:
        7,000 and more words, emoticons and abbreviations in lower case.

    Raises:
        MissingDataError: the package is not there.
        AlteredDataError: it is another version's.
    """
    lines = find(PACKAGE, folder)[_LEXICON].read_text(encoding="utf-8").splitlines()
    return {word: float(valence) for word, valence, *_ in (line.split("\t") for line in lines if line.strip())}
