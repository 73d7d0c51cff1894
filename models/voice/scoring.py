"""How well the voice is understood: the recogniser of :mod:`rnnx.models.speech` reads back what it says."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...runtime import ctc
from ...runtime.tasks.griffin_lim import mel_to_samples
from ..speech.words import SYMBOLS, WORDS
from ..zoo.edit_distance import edit_distance
from ..zoo.running import TorchRunner
from ..zoo.system import Score
from ..zoo.weights import trained
from .recipe import training_texts
from .sound import SAMPLE_RATE, WRITE
from .text import letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner

_RUNS = 30
#: Silence before and behind what is said, as a recording has it.
_AROUND = 800


def held_out() -> tuple[str, ...]:
    """Every word alone, and runs of two and three words that were not trained on."""
    generator = np.random.default_rng(31)
    known = set(training_texts())
    runs: dict[str, None] = {}
    while len(runs) < _RUNS:
        run = " ".join(generator.choice(WORDS, size=generator.integers(2, 4)))
        if run not in known:
            runs[run] = None
    return (*WORDS, *runs)


def evaluate(runner: Runner, texts: Sequence[str]) -> Score:
    """The share of words that the recogniser reads back: 1 less its word error.

    Details: the same for words alone and for runs, and the seconds of speech for a word.
    """
    sounds = speak(runner, texts)
    found = _heard(sounds)
    wrong = [edit_distance(text.split(), words) for text, words in zip(texts, found, strict=True)]
    counts = [len(text.split()) for text in texts]
    alone = np.array(counts) == 1

    def share(rows: NDArray[np.bool_]) -> float:
        return 1.0 - float(np.sum(np.array(wrong)[rows]) / np.sum(np.array(counts)[rows]))

    seconds = sum(map(len, sounds)) / SAMPLE_RATE / sum(counts)
    details = {"words alone": share(alone), "runs of words": share(~alone), "seconds a word": seconds}
    return Score(value=share(np.ones(len(texts), np.bool_)), count=sum(counts), details=details)


def speak(runner: Runner, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """The sound of each text, float32 ``(samples,)`` at 8 kHz."""
    rows = [letters(text) for text in texts]
    lengths = np.array([len(row) for row in rows], np.int64)
    padded = np.zeros((len(rows), int(lengths.max())), np.int64)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    outputs = runner.run({"letters": padded, "lengths": lengths})
    assert WRITE.mel is not None
    return [
        mel_to_samples(frames[:count], WRITE.mel, SAMPLE_RATE)
        for frames, count in zip(outputs["mel"], outputs["frames"].tolist(), strict=True)
    ]


def _heard(sounds: Sequence[NDArray[np.float32]]) -> list[list[str]]:
    lengths = np.array([len(sound) + 2 * _AROUND for sound in sounds], np.int64)
    samples = np.zeros((len(sounds), int(lengths.max())), np.float32)
    for row, sound in zip(samples, sounds, strict=True):
        row[_AROUND : _AROUND + len(sound)] = np.clip(sound, -1.0, 1.0)
    outputs = _recogniser().run({"samples": samples, "lengths": lengths})
    return [[SYMBOLS[one] for one in told.tokens] for told in ctc.greedy(outputs["log_probs"], outputs["frames"])]


@cache
def _recogniser() -> TorchRunner:
    from ..speech.system import SPEECH  # noqa: PLC0415  (its weights are read where something is heard)

    return TorchRunner(trained(SPEECH), SPEECH.face)
