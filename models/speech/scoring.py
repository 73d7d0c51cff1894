"""How well a recogniser does on the held-out recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...errors import StreamingError
from ...runtime import ctc
from ..zoo.edit_distance import edit_distance
from ..zoo.system import Score
from .words import SYMBOLS, WORDS, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...runtime.decoded import Hypothesis
    from ..zoo.system import Runner
    from .held_out import HeldOut

#: Samples from one answer to the next: the front end's hop of 80, halved in rate by each of two convolutions.
STRIDE = 320
#: What a stream is given at a time: 80 ms.
CHUNK = 640
_RATE_KHZ = 8
#: A stream listens so many samples longer than a recording, which a microphone does too.
AFTER = 3200
_STRINGS, _STRING = 60, 3
_GAP = 800


def evaluate_offline(runner: Runner, examples: HeldOut) -> Score:
    """The share of words that are recognised from whole recordings, each alone.

    Details: the share of the 28 words for 0 to 90, the error of characters, and the error of words in strings of three.
    """
    found = [text(one.tokens.tolist()) for one in _whole(runner, examples.sounds)]
    return _score(examples, found, strings=_string_error(runner, examples, streaming=False))


def evaluate_streaming(runner: Runner, examples: HeldOut) -> Score:
    """The share of words that are recognised while they are said, 80 ms at a time.

    A runner that takes no chunks is given the recordings whole, with the same silence behind. Details as of
    :func:`evaluate_offline`, and how many milliseconds after the end of a word it is told, in the mean and at the most,
    for those that are told right: the time until the chunk is there that the answer needs, without computing time.
    """
    heard = _streamed(runner, examples.sounds)
    found = [text(one.tokens.tolist()) for one in heard]
    late = [
        _told(one) - _end(sound)
        for one, word, told, sound in zip(heard, examples.words, found, examples.sounds, strict=True)
        if word == told
    ]
    score = _score(examples, found, strings=_string_error(runner, examples, streaming=True))
    delays = {"delay, mean ms": float(np.mean(late)), "delay, most ms": float(np.max(late))} if late else {}
    return Score(value=score.value, count=score.count, details={**score.details, **delays})


def _score(examples: HeldOut, found: Sequence[str], *, strings: float) -> Score:
    right = [word == told for word, told in zip(examples.words, found, strict=True)]
    cardinals = [one for one, word in zip(right, examples.words, strict=True) if WORDS.index(word) < 28]
    wrong = sum(edit_distance(word, told) for word, told in zip(examples.words, found, strict=True))
    details = {
        "words for 0 to 90": float(np.mean(cardinals)),
        "character error": wrong / sum(map(len, examples.words)),
        "word error in strings of three": strings,
    }
    return Score(value=float(np.mean(right)), count=len(right), details=details)


def _string_error(runner: Runner, examples: HeldOut, *, streaming: bool) -> float:
    """Word error over strings of three words, said by joining recordings, the same ones every time."""
    generator = np.random.default_rng(25)
    picked = [generator.integers(len(examples.words), size=_STRING) for _ in range(_STRINGS)]
    pause = np.zeros(_GAP, np.float32)
    sounds = [np.concatenate([part for n in numbers for part in (examples.sounds[n], pause)]) for numbers in picked]
    heard = _streamed(runner, sounds) if streaming else _whole(runner, sounds)
    wrong = sum(
        edit_distance([examples.words[n] for n in numbers], [SYMBOLS[one] for one in told.tokens])
        for numbers, told in zip(picked, heard, strict=True)
    )
    return wrong / (_STRINGS * _STRING)


def _whole(runner: Runner, sounds: Sequence[NDArray[np.float32]]) -> list[Hypothesis]:
    samples, lengths = _padded(sounds)
    outputs = runner.run({"samples": samples, "lengths": lengths})
    return ctc.greedy(outputs["log_probs"], outputs["frames"])


def _streamed(runner: Runner, sounds: Sequence[NDArray[np.float32]]) -> list[Hypothesis]:
    samples, lengths = _padded(sounds, after=AFTER)
    # Whole chunks, so that nothing has to wait for the end.
    samples = np.pad(samples, ((0, 0), (0, -samples.shape[1] % CHUNK)))
    try:
        stream = runner.stream()
    except StreamingError:
        log_probs = runner.run({"samples": samples})["log_probs"]
    else:
        chunks = [
            stream.push({"samples": np.ascontiguousarray(samples[:, first : first + CHUNK])})["log_probs"]
            for first in range(0, samples.shape[1], CHUNK)
        ]
        log_probs = np.concatenate(chunks, axis=1)
    return ctc.greedy(log_probs, (lengths + AFTER) // STRIDE)


def _padded(sounds: Sequence[NDArray[np.float32]], after: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    lengths = np.array([len(sound) for sound in sounds], np.int64)
    samples = np.zeros((len(sounds), int(lengths.max()) + after), np.float32)
    for row, sound in zip(samples, sounds, strict=True):
        row[: len(sound)] = sound
    return samples, lengths


def _end(sound: NDArray[np.float32]) -> float:
    """Where a recording's last sound is, in milliseconds: 30 dB below its loudest one."""
    return float(np.flatnonzero(np.abs(sound) > 10**-1.5 * np.abs(sound).max())[-1]) / _RATE_KHZ


def _told(heard: Hypothesis) -> float:
    """When the chunk is there that the last word's first frame needs, in milliseconds."""
    needed = int(heard.frames[-1]) * STRIDE + 1
    return -(-needed // CHUNK) * CHUNK / _RATE_KHZ
