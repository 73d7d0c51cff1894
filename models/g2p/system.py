"""Grapheme to phoneme, as systems of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...runtime.tasks.description import Characters, Description, TextRead, TokensWrite
from ..seq2seq.answering import answer
from ..zoo.system import Metric, Score, System
from . import data
from .exhibit import exhibit
from .exhibit_cho import exhibit as exhibit_cho
from .face import FACE, MOST_LETTERS, OPTIONS
from .model import build, build_cho
from .recipe import train, train_cho
from .scoring import errors
from .symbols import BEGIN, END, LETTERS, SYMBOLS, say, spell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..zoo.system import Runner

METRIC = Metric(name="phoneme error rate", unit="%", higher_is_better=False)


def evaluate(runner: Runner, words: data.Words) -> Score:
    """Phoneme error rate: edits a phoneme of the nearest pronunciation that the dictionary has.

    A vowel of another stress is right here, as in the literature on this dictionary; `details` say what it is else.
    """
    said = [say(one) for one in answer(runner, [spell(word) for word in words], end=END, options=OPTIONS)]
    plain = errors(said, words.values(), stress=False)
    whole = errors(said, words.values())
    return Score(
        value=plain.phoneme_rate,
        count=len(words),
        details={
            "word error rate": plain.word_rate,
            "phoneme error rate, stress counted": whole.phoneme_rate,
            "word error rate, stress counted": whole.word_rate,
        },
    )


def evaluate_some(runner: Runner, words: data.Words) -> Score:
    """The score of every eighth word: the search of the int8 variant asks many times."""
    return evaluate(runner, dict(list(words.items())[::8]))


def assets() -> Mapping[str, bytes]:
    """What the bundle needs to take a word and to answer with its phonemes."""
    description = Description(
        task="grapheme-to-phoneme",
        about="Says how an English word is pronounced, in ARPAbet: vowels carry their stress (0, 1 or 2).",
        read=TextRead(
            input="source",
            tokenizer=Characters(symbols=tuple(LETTERS), lower=True, replace={"\u2019": "'"}),
            split=True,
            most=MOST_LETTERS,
        ),
        write=TokensWrite(
            output="tokens",
            symbols=SYMBOLS,
            join=" ",
            end=END,
            skip=(BEGIN,),
            lengths="lengths_out",
            scores="scores",
        ),
        options=OPTIONS,
        samples=("recurrent", "phoneme", "translation"),
    )
    return {"task.json": description.to_bytes()}


G2P = System(
    name="g2p",
    build=build,
    train=train,
    face=FACE,
    assets=assets,
    held_out=data.load,
    evaluate=evaluate,
    metric=METRIC,
    int8_budget=0.005,
    int8_metric=evaluate_some,
    exhibit=exhibit,
)

G2P_CHO = System(
    name="g2p-cho",
    build=build_cho,
    train=train_cho,
    face=FACE,
    assets=assets,
    held_out=data.load,
    evaluate=evaluate,
    metric=METRIC,
    int8_budget=0.005,
    int8_metric=evaluate_some,
    exhibit=exhibit_cho,
)
