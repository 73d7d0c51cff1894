"""What grapheme to phoneme by one vector shows in the gallery: what becomes of long words, beside attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.session import load
from ..seq2seq.answering import answer
from ..zoo.gallery.exhibit import Exhibit, Picture, Text
from ..zoo.gallery.plots import Panel, lines
from ..zoo.registry import system as find
from ..zoo.running import BundleRunner, TorchRunner
from ..zoo.weights import trained
from . import data
from .face import FACE, OPTIONS
from .scoring import errors
from .symbols import END, say, spell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..zoo.gallery.exhibit import Piece
    from ..zoo.system import Runner
    from .scoring import Pronunciation

#: Words of so few and of so many letters are taken together; and how many of each length are scored at most.
_SHORTEST, _LONGEST, _EACH = 4, 14, 150

#: The longest held-out words are written out.
_WRITTEN = 4


def exhibit(bundle: Path) -> Exhibit:
    """Errors by the length of the word, beside the model with attention, and the longest words."""
    words = _chosen(data.load())
    with load(bundle, provider="cpu") as session:
        vector = _said(BundleRunner(session, FACE), words)
    attention = _said(TorchRunner(trained(find("g2p")), FACE), words)
    lengths = np.arange(_SHORTEST, _LONGEST + 1)
    rates = {
        name: np.array([_rate(words, said, int(length)) for length in lengths])
        for name, said in (("one vector", vector), ("attention (g2p)", attention))
    }
    plot = lines(
        Panel(series={name: (lengths, 100 * rate) for name, rate in rates.items()}, ylabel="errors, %", low=0.0),
        xlabel=f"letters of the word ({_SHORTEST}: or fewer, {_LONGEST}: or more)",
    )
    middle, long, kept = (
        f"{100 * one:.0f}%"
        for one in (np.median(rates["one vector"]), rates["one vector"][-1], rates["attention (g2p)"][-1])
    )
    pieces: list[Piece] = [
        Picture(
            png=plot,
            about=f"Phonemes that are wrong, by the length of the word: one vector is usually wrong in {middle}, "
            f"and from {_LONGEST} letters on in {long}, attention in {kept}. Up to {_EACH} held-out words each.",
        ),
        *(
            Text(
                given=word,
                answer=f"one vector  {' '.join(vector[word])}\nattention   {' '.join(attention[word])}",
                about=f"held out; the dictionary says {' or '.join(' '.join(one) for one in words[word])}",
            )
            for word in sorted(words, key=len)[: -_WRITTEN - 1 : -1]
        ),
    ]
    return Exhibit(
        about="How English words are said by a network that holds the whole word in one vector (Cho et al., 2014). "
        "Long words do not fit: that is why Bahdanau et al. (2015) let the decoder look back at each letter.",
        pieces=tuple(pieces),
    )


def _chosen(words: data.Words) -> data.Words:
    """The first so many words of each length."""
    lengths = range(_SHORTEST, _LONGEST + 1)
    kept = {word for length in lengths for word in [one for one in words if _length(one) == length][:_EACH]}
    return {word: pronunciations for word, pronunciations in words.items() if word in kept}


def _length(word: str) -> int:
    return min(max(len(word), _SHORTEST), _LONGEST)


def _said(runner: Runner, words: data.Words) -> dict[str, Pronunciation]:
    answers = answer(runner, [spell(word) for word in words], end=END, options=OPTIONS)
    return {word: say(one) for word, one in zip(words, answers, strict=True)}


def _rate(words: data.Words, said: Mapping[str, Pronunciation], length: int) -> float:
    """The phoneme error rate without stress on words of this many letters."""
    chosen: Sequence[str] = [word for word in words if _length(word) == length]
    found = errors([said[word] for word in chosen], [words[word] for word in chosen], stress=False)
    return found.phoneme_rate
