"""Who speaks the training data, who is kept back to choose by, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..datasets.espeak import ACCENTS, CHARACTERS, EspeakVoice
from ..datasets.festival import FestivalVoice
from ..datasets.flite import FliteVoice
from ..datasets.hibari import HibariVoice
from ..datasets.nanotts import NanoVoice
from ..datasets.piper import PiperVoice
from .words import WORDS

if TYPE_CHECKING:
    from ..datasets.spoken import Speaker, Voice

#: Speakers that are heard in validation only: three people, and every eighth character of espeak-ng.
HELD_OUT_SPEAKERS = ("awb", "en-GB", "joe")
HELD_OUT_CHARACTERS = CHARACTERS[3::8]

#: Who a voice of a person belongs to. ``kal`` is one person whatever speaks with his voice.
_PEOPLE = {"kal16": "kal", "kal_diphone": "kal", "ked_diphone": "ked"}
_PHRASES = 12


def training_voices() -> list[Voice | Speaker]:
    """Ways of speaking of the training data: many for each person, four or so for each character."""
    generator = np.random.default_rng(20)
    counts = {"kal": 8, "kal16": 8, "rms": 12, "slt": 16}
    voices: list[Voice | Speaker] = [_flite(name, generator) for name, count in counts.items() for _ in range(count)]
    characters = [name for name in ("", *CHARACTERS) if name not in HELD_OUT_CHARACTERS]
    voices += [_espeak(name, generator) for name in characters for _ in range(3)]
    counts = {"kal16": 6, "rms": 10, "slt": 12}
    voices += [_flite(name, generator, clear=True) for name, count in counts.items() for _ in range(count)]
    counts = {"ked_diphone": 20, "kal_diphone": 8}
    voices += [_festival(name, generator) for name, count in counts.items() for _ in range(count)]
    voices += [_nano("en-US", generator) for _ in range(20)]
    voices += [_hibari(generator) for _ in range(24)]
    return voices + [_espeak(name, generator, clear=True) for name in characters]


def validation_voices() -> list[Voice | Speaker]:
    """Ways of speaking of the voices that are kept back."""
    generator = np.random.default_rng(21)
    voices: list[Voice | Speaker] = [_flite("awb", generator, clear=number % 2 == 1) for number in range(12)]
    voices += [_piper(generator) for _ in range(12)]
    voices += [_nano("en-GB", generator) for _ in range(8)]
    return voices + [_espeak(name, generator, clear=clear) for name in HELD_OUT_CHARACTERS for clear in (False, True)]


def person(voice: Voice | Speaker) -> str | None:
    """The person whose recordings a voice was built from; None for a character that was thought out."""
    match voice:
        case FliteVoice() | FestivalVoice() | NanoVoice():
            return _PEOPLE.get(voice.speaker, voice.speaker)
        case HibariVoice():
            return "heart"
        case PiperVoice():
            return "joe"
    return None


def texts(number: int) -> tuple[str, ...]:
    """What the voice of this number says: every word alone, and a few runs of two to five words."""
    generator = np.random.default_rng((22, number))
    # A mark behind a word changes its melody.
    marks = [str(generator.choice(["", ".", ",", "?", "!"])) for _ in WORDS]
    runs = [" ".join(generator.choice(WORDS, size=generator.integers(2, 6))) for _ in range(_PHRASES)]
    return (*(word + mark for word, mark in zip(WORDS, marks, strict=True)), *runs)


def _flite(name: str, generator: np.random.Generator, *, clear: bool = False) -> FliteVoice:
    # Who wants to be understood is slower; and a man's voice, made higher later, is to be a woman's.
    stretch = generator.uniform(0.9, 1.8) if clear else generator.uniform(0.75, 1.5)
    pitch = generator.uniform(0.75, 1.35 if name == "slt" or not clear else 1.9)
    return FliteVoice(speaker=name, stretch=round(stretch, 2), pitch=round(pitch, 2), clear=clear)


def _festival(name: str, generator: np.random.Generator) -> FestivalVoice:
    return FestivalVoice(
        speaker=name,
        stretch=_near(0.8, 1.9, generator),
        hertz=_near(80.0, 220.0, generator),
        melody=round(generator.uniform(5.0, 40.0), 1),
        jitter=round(generator.uniform(0.0, 0.35), 2),
        seed=int(generator.integers(1000)),
        clear=bool(generator.random() < 0.5),
    )


def _nano(name: str, generator: np.random.Generator) -> NanoVoice:
    return NanoVoice(speaker=name, speed=_near(0.55, 1.2, generator), pitch=_near(0.75, 1.3, generator))


def _hibari(generator: np.random.Generator) -> HibariVoice:
    return HibariVoice(
        speed=_near(0.55, 1.3, generator),
        pitch=_near(0.75, 1.3, generator),
        seed=int(generator.integers(1000)),
        clear=bool(generator.random() < 0.5),
    )


def _piper(generator: np.random.Generator) -> PiperVoice:
    return PiperVoice(
        stretch=_near(0.9, 1.8, generator),
        seed=int(generator.integers(1000)),
        clear=bool(generator.random() < 0.5),
    )


def _espeak(name: str, generator: np.random.Generator, *, clear: bool = False) -> EspeakVoice:
    return EspeakVoice(
        accent=str(generator.choice(ACCENTS)),
        character=name,
        pitch=int(generator.integers(20, 80)),
        words_per_minute=int(generator.integers(90, 200)),
        clear=clear,
    )


def _near(low: float, high: float, generator: np.random.Generator) -> float:
    """A factor between two, each ratio as likely."""
    return round(float(np.exp(generator.uniform(np.log(low), np.log(high)))), 2)
