"""How well the voice is understood: the recogniser of :mod:`rnnx.models.speech` reads back what it says."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ...runtime import ctc
from ...runtime.tasks.griffin_lim import mel_to_samples
from ..ragged import pad
from ..speech.words import DIGITS, SYMBOLS
from ..zoo.edit_distance import edit_distance
from ..zoo.running import TorchRunner
from ..zoo.system import Score
from ..zoo.weights import trained
from .sound import SAMPLE_RATE, WRITE
from .text import letters

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..zoo.system import Runner

#: Silence before and behind what is said, as a recording has it.
_AROUND = 800


def evaluate(runner: Runner, texts: Sequence[str]) -> Score:
    """The share of words that the recogniser reads back, as :func:`score` has it."""
    return score(texts, speak(runner, texts))


def score(texts: Sequence[str], sounds: Sequence[NDArray[np.float32]]) -> Score:
    """1 less the recogniser's word error on sounds, float32 ``(samples,)`` each at 8 kHz, of these texts.

    Details: the same for digits alone, for all words alone and for runs, and the seconds of speech for a word.
    """
    wrong = np.array([edit_distance(text.split(), words) for text, words in zip(texts, heard(sounds), strict=True)])
    counts = np.array([len(text.split()) for text in texts])
    alone = counts == 1
    digits = np.array([text in DIGITS for text in texts])

    def share(rows: NDArray[np.bool_]) -> float:
        return float(1.0 - wrong[rows].sum() / counts[rows].sum())

    parts = {"digits alone": digits, "words alone": alone, "runs of words": ~alone}
    details = {name: share(rows) for name, rows in parts.items() if rows.any()}
    details["seconds a word"] = float(sum(map(len, sounds)) / SAMPLE_RATE / counts.sum())
    return Score(value=share(np.ones(len(texts), np.bool_)), count=int(counts.sum()), details=details)


def speak(runner: Runner, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """The sound of each text, float32 ``(samples,)`` at 8 kHz."""
    padded, lengths = pad([np.array(letters(text), np.int64) for text in texts])
    outputs = runner.run({"letters": padded, "lengths": lengths})
    assert WRITE.mel is not None
    return [
        mel_to_samples(frames[:count], WRITE.mel, SAMPLE_RATE)
        for frames, count in zip(outputs["mel"], outputs["frames"].tolist(), strict=True)
    ]


def heard(sounds: Sequence[NDArray[np.float32]]) -> list[list[str]]:
    """The words that the recogniser reads from sounds, float32 ``(samples,)`` each at 8 kHz."""
    samples, lengths = pad([np.pad(np.clip(sound, -1.0, 1.0), _AROUND) for sound in sounds])
    outputs = _recogniser().run({"samples": samples, "lengths": lengths})
    return [[SYMBOLS[one] for one in told.tokens] for told in ctc.greedy(outputs["log_probs"], outputs["frames"])]


@cache
def _recogniser() -> TorchRunner:
    from ..speech.system import SPEECH  # noqa: PLC0415  (its weights are read where something is heard)

    return TorchRunner(trained(SPEECH), SPEECH.face)
