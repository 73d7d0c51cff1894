"""Who speaks the training data, who is kept back to choose by, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..datasets.espeak import ACCENTS, CHARACTERS, EspeakVoice
from ..datasets.flite import FliteVoice
from .words import WORDS

if TYPE_CHECKING:
    from ..datasets.spoken import Voice

#: Speakers that are heard in validation only: one of flite's four people, and every eighth character of espeak-ng.
HELD_OUT_SPEAKER = "awb"
HELD_OUT_CHARACTERS = CHARACTERS[3::8]

_SPEAKERS = {"kal": 8, "kal16": 8, "rms": 12, "slt": 16}
_PHRASES = 12


def training_voices() -> list[Voice]:
    """Ways of speaking of the training data, some for each of flite's people and three for each character."""
    generator = np.random.default_rng(20)
    voices: list[Voice] = [_flite(name, generator) for name, count in _SPEAKERS.items() for _ in range(count)]
    characters = [name for name in ("", *CHARACTERS) if name not in HELD_OUT_CHARACTERS]
    return voices + [_espeak(name, generator) for name in characters for _ in range(3)]


def validation_voices() -> list[Voice]:
    """Ways of speaking of the voices that are kept back."""
    generator = np.random.default_rng(21)
    voices: list[Voice] = [_flite(HELD_OUT_SPEAKER, generator) for _ in range(12)]
    return voices + [_espeak(name, generator) for name in HELD_OUT_CHARACTERS for _ in range(2)]


def texts(number: int) -> tuple[str, ...]:
    """What the voice of this number says: every word alone, and a few runs of two to five words."""
    generator = np.random.default_rng((22, number))
    # A mark behind a word changes its melody.
    marks = [str(generator.choice(["", ".", ",", "?", "!"])) for _ in WORDS]
    runs = [" ".join(generator.choice(WORDS, size=generator.integers(2, 6))) for _ in range(_PHRASES)]
    return (*(word + mark for word, mark in zip(WORDS, marks, strict=True)), *runs)


def _flite(name: str, generator: np.random.Generator) -> FliteVoice:
    stretch, pitch = generator.uniform(0.75, 1.5), generator.uniform(0.75, 1.35)
    return FliteVoice(speaker=name, stretch=round(stretch, 2), pitch=round(pitch, 2))


def _espeak(name: str, generator: np.random.Generator) -> EspeakVoice:
    return EspeakVoice(
        accent=str(generator.choice(ACCENTS)),
        character=name,
        pitch=int(generator.integers(20, 80)),
        words_per_minute=int(generator.integers(90, 200)),
    )
