"""Translation from English to French, as a system of the zoo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...runtime.tasks.description import Description, TextRead, TokensWrite
from ...runtime.tasks.tokenizers import SPACE
from ..seq2seq.answering import answer
from ..zoo.system import Face, Metric, Score, System
from . import held_out
from .exhibit import exhibit
from .model import build
from .pieces import BEGIN, END, description, encoder, symbols
from .recipe import train
from .scoring import bleu, chrf

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..zoo.system import Runner
    from .texts import Asked

#: The longest text that is taken; the longest that are held out have 75 pieces.
MOST_PIECES = 80

#: What a search is given unless the user says otherwise.
OPTIONS: Mapping[str, float] = {"max_length": 96, "beam_width": 4, "length_penalty": 1.0}


def evaluate(runner: Runner, asked: Sequence[Asked]) -> Score:
    """BLEU of all texts; chrF, each kind of text, whole texts that are right, and what mere copying reaches."""
    sources = [np.array(encoder().encode(text.english), dtype=np.int64) for text in asked]
    said = [encoder().decode(one) for one in answer(runner, sources, end=END, options=OPTIONS)]
    french = [text.french for text in asked]
    copied = [text.english for text in asked]
    details = {
        "chrF": chrf(said, french),
        "exactly right": sum(one in allowed for one, allowed in zip(said, french, strict=True)) / len(asked),
        "BLEU of copying": bleu(copied, french),
        "chrF of copying": chrf(copied, french),
    }
    for kind, told in (("office", "texts of programs"), ("name", "names")):
        rows = [row for row, text in enumerate(asked) if text.kind == kind]
        if rows:
            some, of = [said[row] for row in rows], [french[row] for row in rows]
            details |= {f"BLEU, {told}": bleu(some, of), f"chrF, {told}": chrf(some, of)}
    return Score(value=bleu(said, french), count=len(asked), details=details)


def evaluate_some(runner: Runner, asked: Sequence[Asked]) -> Score:
    """The score of every fourth text: the search of the int8 variant asks many times."""
    return evaluate(runner, asked[::4])


def assets() -> Mapping[str, bytes]:
    """What the bundle needs to take a text and to answer in French."""
    told = Description(
        task="translation",
        about="Translates short English texts of programs, and names, into French.",
        read=TextRead(input="source", tokenizer=description(), most=MOST_PIECES),
        write=TokensWrite(
            output="tokens",
            symbols=symbols(),
            mark=SPACE,
            end=END,
            skip=(BEGIN,),
            lengths="lengths_out",
            scores="scores",
        ),
        options=OPTIONS,
        samples=("Opens the dialog to select the file.", "Do you want to save the changes?"),
    )
    return {"task.json": told.to_bytes()}


TRANSLATION = System(
    name="translation",
    build=build,
    train=train,
    face=Face(
        inputs=(
            f"source: int64[batch, source] < {len(symbols())}",
            "lengths: int64[batch]",
            "max_length: int64[] >= 1, < 128",
            "beam_width: int64[] >= 1, < 9",
            "length_penalty: float32[]",
        ),
        outputs=("tokens", "lengths_out", "scores"),
        lengths=("lengths:source",),
        streaming="off",
    ),
    assets=assets,
    held_out=held_out.load,
    evaluate=evaluate,
    metric=Metric(name="BLEU", digits=1),
    int8_budget=1.0,
    int8_metric=evaluate_some,
    exhibit=exhibit,
)
