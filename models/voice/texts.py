"""What the voice is trained to say, and what it has to say to be scored."""

from __future__ import annotations

import numpy as np

from ..speech.words import DIGITS, TEENS, TENS, WORDS

_HELD_OUT_RUNS, _TRAINING_RUNS, _TRAINING_NUMBERS = 60, 3000, 1000
#: How often each word alone is among the texts to train on.
_ALONE = 8
_LARGEST = 10_000


def held_out() -> tuple[str, ...]:
    """Every word alone, and runs of two and three words that it was not trained on."""
    return (*WORDS, *_runs(np.random.default_rng(31), _HELD_OUT_RUNS, 3))


def training_texts() -> tuple[str, ...]:
    """Every word alone, some times; numbers; and runs of two to four words; without the runs that are held out."""
    kept = set(held_out()) - set(WORDS)
    generator = np.random.default_rng(30)
    numbers = (
        spelled(number, joined=bool(generator.integers(2)))
        for number in generator.integers(20, _LARGEST, _TRAINING_NUMBERS).tolist()
    )
    runs = _runs(generator, _TRAINING_RUNS, 4)
    return (*WORDS * _ALONE, *(text for text in dict.fromkeys((*numbers, *runs)) if text not in kept))


def spelled(number: int, *, joined: bool = True) -> str:
    """A number from 0 to 999,999 in words, with ``and`` behind hundreds where it is joined."""
    if number < len(DIGITS) + len(TEENS):
        return (*DIGITS, *TEENS)[number]
    if number < 100:
        return _with(TENS[number // 10 - 2], " ", number % 10)
    if number < 1000:
        return _with(f"{DIGITS[number // 100]} hundred", " and " if joined else " ", number % 100)
    return _with(f"{spelled(number // 1000, joined=joined)} thousand", " ", number % 1000, joined=joined)


def _with(begun: str, between: str, rest: int, *, joined: bool = True) -> str:
    return f"{begun}{between}{spelled(rest, joined=joined)}" if rest else begun


def _runs(generator: np.random.Generator, count: int, longest: int) -> tuple[str, ...]:
    """Different runs of two words or more, in no order."""
    runs: dict[str, None] = {}
    while len(runs) < count:
        runs[" ".join(generator.choice(WORDS, size=generator.integers(2, longest + 1)))] = None
    return tuple(runs)
